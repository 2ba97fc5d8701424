"use strict";
const $ = (id) => document.getElementById(id);
const player = $("player");
let opened = null, hls = null, following = null, shown = "", entries = [];

function make(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}
function clock(ms) {
  const s = Math.floor(ms / 1000), two = (n) => String(n).padStart(2, "0");
  return `${s >= 3600 ? Math.floor(s / 3600) + ":" : ""}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
async function api(path) {
  const answer = await fetch(path), body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), body);
  return body;
}
function say(text, retry) {
  $("notice").hidden = !text;
  $("notice").replaceChildren(text || "", ...(retry ? [" ", make("button", { textContent: "Try again", onclick: retry })] : []));
}
function row(s) {
  const running = s.enrichment.status === "in-progress";
  const bar = running ? [make("progress", { max: 100, value: s.enrichment.progress, ariaLabel: s.enrichment.stage || "waiting" })] : [];
  const line = make("button", { onclick: () => open(s.id) }, make("strong", { textContent: s.title }), make("span", { textContent: clock(s.total_duration_ms) }),
    make("small", { textContent: `${new Date(s.created_at).toLocaleString()} · ${s.state} · ${running ? s.enrichment.stage || "waiting" : s.processing.replaceAll("_", " ")}` }), ...bar);
  line.ariaCurrent = String(s.id === opened);
  line.dataset.id = s.id;
  return make("li", {}, line);
}
async function refresh() {
  let wait = 5000;
  try {
    const page = await api("/api/sessions?limit=50");
    const now = JSON.stringify([page, opened]);
    if (now !== shown) {
      const focused = document.activeElement?.dataset?.id;
      $("sessions").replaceChildren(...page.items.map(row));
      if (focused) $("sessions").querySelector(`[data-id="${focused}"]`)?.focus();
      following = page.next_cursor;
      $("more").hidden = !following;
      shown = now;
      const current = page.items.find((s) => s.id === opened);
      if (current) await details(current);
    }
    if (!page.items.length) say("Nothing is recorded yet. Import a recording to begin: everything else happens by itself.");
    else if ($("notice").textContent.startsWith("Nothing") || $("notice").dataset.lost) say("");
    $("notice").dataset.lost = "";
    if (page.items.some((s) => s.enrichment.status === "in-progress" || s.state !== "completed")) wait = 1000;
  } catch (error) {
    say(`The server does not answer (${error.message}).`, refresh);
    $("notice").dataset.lost = "1";
  }
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, wait);
}
async function more() {
  const page = await api(`/api/sessions?limit=50&cursor=${encodeURIComponent(following)}`);
  $("sessions").append(...page.items.map(row));
  following = page.next_cursor;
  $("more").hidden = !following;
}
async function open(id) {
  opened = id;
  hls?.destroy();
  hls = null;
  player.removeAttribute("src");
  player.load();
  $("open").hidden = false;
  await details(await api(`/api/sessions/${id}`));
  $("open").scrollIntoView({ behavior: "smooth", block: "nearest" });
  await load(id);
  refresh();
}
async function load(id) {
  const url = `/api/sessions/${id}/media/audio.m3u8`;
  if (!window.Hls) await new Promise((done, fail) => document.head.append(make("script", { src: "/static/hls.light.min.js", onload: done, onerror: fail })));
  if (!(await fetch(url)).ok || id !== opened) return;
  if (!window.Hls.isSupported()) return void (player.src = url);
  hls = new window.Hls({ enableWorker: false, startPosition: 0, autoStartLoad: false });
  hls.loadSource(url);
  hls.attachMedia(player);
  hls.once(window.Hls.Events.MANIFEST_PARSED, () => hls.startLoad(0));
}
async function details(s) {
  const [files, coverage] = await Promise.all([api(s.refs.artifacts), api(`/api/sessions/${s.id}/coverage`)]);
  entries = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await api(`${s.refs.transcript}?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    entries.push(...page.items);
    cursor = page.next_cursor;
  }
  if (s.id !== opened) return;
  const gaps = coverage.tracks.flatMap((t) => t.gaps);
  $("title").textContent = s.title;
  $("facts").replaceChildren(`${clock(s.total_duration_ms)} · ${s.processing.replaceAll("_", " ")} `, ...(entries.some((e) => e.is_draft) ? [make("span", { className: "badge", textContent: "draft transcript" })] : []));
  $("gaps").hidden = !gaps.length;
  $("gaps").textContent = `Missing: ${gaps.map((g) => `${clock(g.start_ms)}–${clock(g.end_ms)} (${g.cause.replaceAll("_", " ")})`).join(", ")}`;
  $("files").replaceChildren(...files.items.map((f) => f.state === "waiting" ? make("small", { textContent: f.file_type }) : make("a", { href: f.url, download: f.name, textContent: f.file_type })));
  $("transcript").replaceChildren(...entries.map((e) => make("li", {}, make("button", { onclick: () => seek(e.start_ms) }, make("time", { textContent: clock(e.start_ms) }), make("b", { textContent: `${e.speaker} ` }), e.text))));
  if (s.total_duration_ms && !hls && !player.getAttribute("src") && window.Hls) await load(s.id);
}
function seek(ms) {
  player.currentTime = ms / 1000;
  player.play();
}
function upload(file) {
  const request = new XMLHttpRequest(), bar = $("upload");
  request.open("POST", `/api/imports?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => { bar.hidden = false; bar.value = event.loaded / event.total; };
  request.onloadend = () => {
    bar.hidden = true;
    if (request.status === 201) { say(""); open(JSON.parse(request.responseText).id); }
    else say(`${file.name} was not imported: ${request.status ? JSON.parse(request.responseText).detail : "the connection was lost"}.`, () => upload(file));
  };
  request.send(file);
}
$("more").onclick = more;
$("file").onchange = (event) => { [...event.target.files].forEach(upload); event.target.value = ""; };
$("drop").onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); $("file").click(); } };
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.toggle("over", kind === "dragover"); });
document.addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(upload));
player.ontimeupdate = () => [...$("transcript").querySelectorAll("button")].forEach((b, i) => b.classList.toggle("now", entries[i]?.start_ms <= player.currentTime * 1000 && player.currentTime * 1000 < entries[i]?.end_ms));
refresh();
