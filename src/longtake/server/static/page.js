"use strict";
const $ = (id) => document.getElementById(id), player = $("player");
const LABELS = { recording: "WAV", audio: "M4A", mp3: "MP3", transcript: "Text", srt: "SRT", vtt: "VTT", json: "JSON", notes: "Notes", log: "Log" };
const WHOLE_EVERY_MS = 60_000, GONE = "The session that was open is no longer there.";
let opened = null, hls = null, following = null, shown = "", first = "", pages = 1, seen = {}, entries = [], isLost = false;

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
  if (!answer.ok) throw Object.assign(new Error(body.detail), { isAnswer: true, status: answer.status });
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
function ask(cursor) {
  const asked = Object.entries({ limit: 50, cursor, q: $("q").value.trim() }).filter(([, value]) => value);
  return api(`/api/sessions?${new URLSearchParams(asked)}`);
}
async function list() {
  const page = await ask(), now = JSON.stringify([page, opened]), ids = [$("q").value, ...page.items.map((s) => s.id)].join();
  if (now === shown) return page;
  let rest = [...$("sessions").children].slice(page.items.length);
  if (ids !== first) {  // sessions came or went: the pages behind the first are others, too
    rest = [];
    following = page.next_cursor;
    for (let n = 1; n < pages && following; n++) {
      const next = await ask(following);
      following = (rest.push(...next.items.map(row)), next.next_cursor);
    }
  }
  const focused = document.activeElement?.dataset.id;
  [shown, first] = [now, ids];
  $("sessions").replaceChildren(...page.items.map(row), ...rest);
  $("sessions").querySelectorAll("button").forEach((b) => (b.ariaCurrent = String(b.dataset.id === opened)));
  if (focused) $("sessions").querySelector(`[data-id="${focused}"]`)?.focus();
  $("more").hidden = !following;
  return page;
}
async function more() {
  const page = await ask(following);
  $("sessions").append(...page.items.map(row));
  [following, pages] = [page.next_cursor, pages + 1];
  $("more").hidden = !following;
}
async function refresh() {
  let wait = 5000;
  try {
    const { items } = await list();
    if (!items.length && $("q").value.trim()) say("Nothing is found.");
    else if (!items.length) say("Nothing is recorded yet. Import a recording to begin: everything else happens by itself.");
    else if (isLost || $("notice").textContent.startsWith("Nothing")) say("");
    isLost = false;
    if (opened) await look(opened);
    if (items.some((s) => isRunning(s) || s.state !== "completed")) wait = 1000;
  } catch (error) {
    isLost = true;
    say(error.isAnswer ? `${error.message}.` : `The server does not answer (${error.message}).`, refresh);
  }
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, wait);
}
async function open(id) {
  [opened, hls, seen] = [id, hls?.destroy() ?? null, {}];
  player.removeAttribute("src");
  player.load();
  $("open").hidden = !id;
  if (!id) return;
  if ($("notice").textContent === GONE) say("");
  await refresh();
  $("open").scrollIntoView({ block: "nearest" });
}
async function look(id) {
  try {
    await details(await api(`/api/sessions/${id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    if (id === opened) open(null), say(GONE);
  }
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
function line(e) {
  const go = () => { player.currentTime = e.start_ms / 1000; player.play(); };
  return make("li", {}, make("button", { onclick: go }, make("time", { textContent: clock(e.start_ms) }), make("b", { textContent: `${e.speaker} ` }), e.text));
}
async function transcript(s, { cursor, at }) {  // from there on, and where its last page begins
  for (const found = [], from = at; ; ) {
    const page = await api(`${s.refs.transcript}?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    found.push(...page.items);
    if (page.next_cursor === null) return { found, from, last: { cursor, at } };
    [cursor, at] = [page.next_cursor, from + found.length];
  }
}
function write({ found, from }) {  // what is the same stays
  let same = from;
  while (same < entries.length && same < from + found.length && JSON.stringify(entries[same]) === JSON.stringify(found[same - from])) same++;
  entries = entries.slice(0, same).concat(found.slice(same - from));
  while ($("transcript").children.length > same) $("transcript").lastChild.remove();
  $("transcript").append(...entries.slice(same).map(line));
}
async function details(s) {
  const was = seen, now = JSON.stringify([s.title, s.enrichment, s.segment_counts, s.coverage, s.state]);
  const isDue = Date.now() - was.at > WHOLE_EVERY_MS;
  if (now === was.now && (was.isWhole || !isDue)) return;
  // of a session that goes on only the end of the transcript is read: what was corrected or came late is seen within a minute
  const turn = `${s.state} ${s.enrichment.status}`, isWhole = isDue || turn !== was.turn;
  const made = JSON.stringify([s.enrichment, s.segment_counts.total > 0]), lacks = JSON.stringify([s.coverage.gap_count, s.segment_counts.failed]);
  const [files, coverage, said] = await Promise.all([
    (isWhole || made !== was.made) && api(s.refs.artifacts),
    (isWhole || lacks !== was.lacks) && api(`/api/sessions/${s.id}/coverage`),
    transcript(s, isWhole ? { cursor: "", at: 0 } : was.last),
  ]);
  if (was !== seen) return;
  seen = { now, isWhole, turn, made, lacks, at: isWhole ? Date.now() : was.at, last: said.last };
  write(said);
  $("title").textContent = s.title;
  $("facts").replaceChildren(`${clock(s.total_duration_ms)} · ${status(s)} `, ...(entries.some((e) => e.is_draft) ? [make("span", { className: "badge", textContent: "draft transcript" })] : []));
  if (coverage) missing(coverage.tracks);
  if (files) $("files").replaceChildren(...files.items.map((f) => f.state === "waiting" ? make("small", { textContent: LABELS[f.file_type] }) : make("a", { href: `${f.url}?wait_s=600`, download: f.name, textContent: LABELS[f.file_type] })));
  if (s.segment_counts.total) await play(s.id);
}
function missing(tracks) {
  const lost = [...tracks.flatMap((t) => t.gaps).map((g) => `${clock(g.start_ms)}–${clock(g.end_ms)} (${g.cause.replaceAll("_", " ")})`), ...tracks.flatMap((t) => t.damaged.map((n) => `part of segment ${n} (damaged)`))];
  $("gaps").textContent = (($("gaps").hidden = !lost.length), `Missing: ${lost.join(", ")}`);
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
$("more").onclick = more;
$("q").oninput = () => { pages = 1; clearTimeout(refresh.timer); refresh.timer = setTimeout(refresh, 200); };
$("file").onchange = (event) => { [...event.target.files].forEach(upload); event.target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.toggle("over", kind === "dragover"); });
document.addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(upload));
player.ontimeupdate = () => $("transcript").querySelectorAll("button").forEach((b, i) => b.classList.toggle("now", entries[i]?.start_ms <= player.currentTime * 1000 && player.currentTime * 1000 < entries[i]?.end_ms));
refresh();
