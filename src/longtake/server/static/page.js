"use strict";
const $ = (id) => document.getElementById(id), player = $("player");
const LABELS = { recording: "WAV", audio: "M4A", mp3: "MP3", transcript: "Text", srt: "SRT", vtt: "VTT", json: "JSON", notes: "Notes", log: "Log" };
let opened = null, hls = null, following = null, shown = "", detailed = "", entries = [], isLost = false;

function make(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}
function clock(ms) {
  const s = Math.floor(ms / 1000), two = (n) => String(n).padStart(2, "0");
  return `${s >= 3600 ? `${Math.floor(s / 3600)}:` : ""}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
async function api(path) {
  const answer = await fetch(path), body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { isAnswer: true });
  return body;
}
function say(text, retry) {
  $("notice").hidden = !text;
  $("notice").replaceChildren(text || "", ...(retry ? [" ", make("button", { textContent: "Try again", onclick: retry })] : []));
}
const isRunning = (s) => s.enrichment.status === "in-progress";
const status = (s) => (s.state !== "completed" ? s.state : isRunning(s) ? s.enrichment.stage || "waiting" : s.processing).replaceAll("_", " ");
function row(s) {
  const bar = isRunning(s) ? [make("progress", { max: 100, value: s.enrichment.progress, ariaLabel: "Processing" })] : [];
  const line = make("button", { onclick: () => open(s.id), ariaCurrent: String(s.id === opened) }, make("strong", { textContent: s.title }),
    make("span", { textContent: clock(s.total_duration_ms) }), make("small", { textContent: `${new Date(s.created_at).toLocaleString()} · ${status(s)}` }), ...bar);
  line.dataset.id = s.id;
  return make("li", {}, line);
}
async function list(cursor) {
  const asked = Object.entries({ limit: 50, cursor, q: $("q").value.trim() }).filter(([, value]) => value);
  const page = await api(`/api/sessions?${new URLSearchParams(asked)}`);
  const now = JSON.stringify([page, opened]), focused = document.activeElement?.dataset.id;
  if (!cursor && now === shown) return page;
  if (!cursor) [shown] = [now, $("sessions").replaceChildren()];
  $("sessions").append(...page.items.map(row));
  if (focused) $("sessions").querySelector(`[data-id="${focused}"]`)?.focus();
  following = page.next_cursor;
  $("more").hidden = !following;
  return page;
}
async function refresh() {
  let wait = 5000;
  try {
    const { items } = await list();
    if (!items.length && $("q").value.trim()) say("Nothing is found.");
    else if (!items.length) say("Nothing is recorded yet. Import a recording to begin: everything else happens by itself.");
    else if (isLost || $("notice").textContent.startsWith("Nothing")) say("");
    isLost = false;
    if (opened) await details(await api(`/api/sessions/${opened}`));
    if (items.some((s) => isRunning(s) || s.state !== "completed")) wait = 1000;
  } catch (error) {
    isLost = true;
    say(error.isAnswer ? `${error.message}.` : `The server does not answer (${error.message}).`, refresh);
  }
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, wait);
}
async function open(id) {
  [opened, hls, detailed] = [id, hls?.destroy() ?? null, ""];
  player.removeAttribute("src");
  player.load();
  $("open").hidden = false;
  await refresh();
  $("open").scrollIntoView({ block: "nearest" });
}
async function play(id) {
  const url = `/api/sessions/${id}/media/audio.m3u8`;
  if (!window.Hls) await new Promise((done, fail) => document.head.append(make("script", { src: "/static/hls.light.min.js", onload: done, onerror: fail })));
  if (hls || player.src || !(await fetch(url)).ok || id !== opened) return;
  if (!window.Hls.isSupported()) return void (player.src = url);
  hls = new window.Hls({ enableWorker: false, startPosition: 0 });
  hls.loadSource(url);
  hls.attachMedia(player);
}
async function details(s) {
  const now = JSON.stringify([s.enrichment, s.segment_counts, s.coverage, s.state]);
  if (now === detailed) return;
  const [files, coverage] = await Promise.all([api(s.refs.artifacts), api(`/api/sessions/${s.id}/coverage`)]), found = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await api(`${s.refs.transcript}?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    cursor = (found.push(...page.items), page.next_cursor);
  }
  if (s.id !== opened) return;
  [detailed, entries] = [now, found];
  const gaps = coverage.tracks.flatMap((t) => t.gaps);
  $("title").textContent = s.title;
  $("facts").replaceChildren(`${clock(s.total_duration_ms)} · ${status(s)} `, ...(entries.some((e) => e.is_draft) ? [make("span", { className: "badge", textContent: "draft transcript" })] : []));
  const lost = [...gaps.map((g) => `${clock(g.start_ms)}–${clock(g.end_ms)} (${g.cause.replaceAll("_", " ")})`), ...coverage.tracks.flatMap((t) => t.damaged.map((n) => `part of segment ${n} (damaged)`))];
  $("gaps").textContent = (($("gaps").hidden = !lost.length), `Missing: ${lost.join(", ")}`);
  $("files").replaceChildren(...files.items.map((f) => f.state === "waiting" ? make("small", { textContent: LABELS[f.file_type] }) : make("a", { href: `${f.url}?wait_s=600`, download: f.name, textContent: LABELS[f.file_type] })));
  $("transcript").replaceChildren(...entries.map((e) => make("li", {}, make("button", { onclick: () => { player.currentTime = e.start_ms / 1000; player.play(); } }, make("time", { textContent: clock(e.start_ms) }), make("b", { textContent: `${e.speaker} ` }), e.text))));
  if (s.segment_counts.total) await play(s.id);
}
function upload(file) {
  const request = new XMLHttpRequest(), bar = $("upload");
  request.open("POST", `/api/imports?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => { bar.hidden = false; bar.value = event.loaded / event.total; };
  request.onloadend = () => {
    bar.hidden = true;
    if (request.status === 201) return say(""), open(JSON.parse(request.responseText).id);
    return say(`${file.name} was not imported: ${request.status ? JSON.parse(request.responseText).detail : "the connection was lost"}.`, () => upload(file));
  };
  request.send(file);
}
$("more").onclick = () => list(following);
$("q").oninput = () => { clearTimeout(refresh.timer); refresh.timer = setTimeout(refresh, 200); };
$("file").onchange = (event) => { [...event.target.files].forEach(upload); event.target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.toggle("over", kind === "dragover"); });
document.addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(upload));
player.ontimeupdate = () => $("transcript").querySelectorAll("button").forEach((b, i) => b.classList.toggle("now", entries[i]?.start_ms <= player.currentTime * 1000 && player.currentTime * 1000 < entries[i]?.end_ms));
refresh();
