"use strict";
const $ = (id) => document.getElementById(id), player = $("player"), shown = new Map();
const LABELS = { recording: "WAV", audio: "M4A", mp3: "MP3", transcript: "Text", srt: "SRT", vtt: "VTT", json: "JSON", notes: "Notes", log: "Log" };
const WHOLE_EVERY_MS = 60_000, AGAIN_MS = 2000, GONE = "The session that was open is no longer there.";
let listed = [], first = "", following = null, pages = 1, sending = Promise.resolve();
let opened = null, gone = "", hls = null, seen = {}, entries = [], marked = [];

function make(tag, props, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  return node.append(...children), node;
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
function say(text, retry) {  // what is said already is not said again, and its button keeps the focus
  if ($("notice").dataset.text === text) return;
  $("notice").hidden = !text;
  $("notice").dataset.text = text;
  $("notice").replaceChildren(text, ...(retry ? [" ", make("button", { textContent: "Try again", onclick: retry })] : []));
}
const query = () => $("q").value.trim(), isRunning = (s) => s.enrichment.status === "in-progress";
const status = (s) => (s.state !== "completed" ? s.state : isRunning(s) ? s.enrichment.stage || "waiting" : s.processing).replaceAll("_", " ");
function row(s) {  // the same element for as long as a session is listed: a click or the focus on it is not lost
  if (!shown.has(s.id)) shown.set(s.id, make("li", {}, make("button", { onclick: () => open(s.id) })));
  const li = shown.get(s.id), text = JSON.stringify([s.title, s.total_duration_ms, status(s), s.enrichment.progress]);
  li.firstChild.ariaCurrent = String(s.id === opened);
  if (li.text === text) return li;
  li.text = text;
  li.firstChild.replaceChildren(make("strong", { textContent: s.title }), make("span", { textContent: clock(s.total_duration_ms) }),
    make("small", { textContent: `${new Date(s.created_at).toLocaleString()} · ${status(s)}` }),
    ...(isRunning(s) ? [make("progress", { max: 100, value: s.enrichment.progress, ariaLabel: "Processing" })] : []));
  return li;
}
function draw() {
  const all = listed.map(row), kept = new Set(all), list = $("sessions");
  [...list.children].filter((li) => !kept.has(li)).forEach((li) => li.remove());
  all.forEach((li, at) => list.children[at] === li || list.insertBefore(li, list.children[at] ?? null));
  $("more").hidden = !following;
}
async function list() {
  const q = query(), page = (cursor) => api(`/api/sessions?${new URLSearchParams({ limit: 50, ...(q && { q }), ...(cursor && { cursor }) })}`);
  const { items, next_cursor } = await page(), ids = [q, pages, ...items.map((s) => s.id)].join();
  let rest = listed.slice(items.length), next = following;
  if (ids !== first) {  // sessions came or went: the pages behind the first are others, too
    [rest, next] = [[], next_cursor];
    for (let n = 1; n < pages && next; n++) {
      const more = await page(next);
      next = (rest.push(...more.items), more.next_cursor);
    }
  }
  if (q !== query()) return;  // another answer is on its way
  [listed, first, following] = [[...items, ...rest], ids, next];
  draw();
}
async function refresh() {
  clearTimeout(refresh.timer);
  const id = opened;
  let wait = 5000;
  try {
    await list();
    if (id) await details(await api(`/api/sessions/${id}`));
    const none = query() ? "Nothing is found." : "Nothing is recorded yet. Import a recording to begin: everything else happens by itself.";
    say(gone || (listed.length ? "" : none));
    if (listed.some((s) => isRunning(s) || s.state !== "completed")) wait = 1000;
  } catch (error) {
    if (error.status === 404 && id === opened) open(null, GONE), say(GONE);
    else say(error.isAnswer ? `${error.message}.` : `The server does not answer (${error.message}).`, refresh);
  }
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, wait);
}
async function open(id, why = "") {
  [opened, gone, hls, seen, entries] = [id, why, hls?.destroy() ?? null, {}, []];
  player.removeAttribute("src");
  player.load();
  for (const part of ["title", "facts", "gaps", "files", "transcript"]) $(part).replaceChildren();
  $("open").hidden = !id;
  $("gaps").hidden = true;
  draw();
  if (!id) return;
  await refresh();
  $("open").scrollIntoView({ block: "nearest" });
}
async function play(id) {
  const url = `/api/sessions/${id}/media/audio.m3u8`;
  if (hls || player.src || !(await fetch(url)).ok || id !== opened) return;
  if (!Hls.isSupported()) return void (player.src = url);
  hls = new Hls({ enableWorker: false, startPosition: 0 });
  hls.on("hlsError", (_, error) => error.fatal && setTimeout(() => hls?.startLoad(), AGAIN_MS));  // it gives up when the server is away
  hls.loadSource(url);
  hls.attachMedia(player);
}
function line(e) {
  const onclick = () => { player.currentTime = e.start_ms / 1000; player.play(); };
  return make("li", {}, make("button", { onclick }, make("time", { textContent: clock(e.start_ms) }), make("b", { textContent: `${e.speaker} ` }), e.text));
}
function mark() {  // only the lines that begin or end are touched, however many there are
  const now = player.currentTime * 1000, lines = $("transcript").children;
  marked.forEach((button) => (button.ariaCurrent = null));
  marked = [];
  entries.forEach((e, n) => e.start_ms <= now && now < e.end_ms && marked.push(lines[n].firstChild));
  marked.forEach((button) => (button.ariaCurrent = "true"));
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
const post = (file, bar) => new Promise((done, fail) => {
  const request = Object.assign(new XMLHttpRequest(), { responseType: "json" });
  request.open("POST", `/api/imports?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => (bar.value = event.loaded / event.total);
  request.onloadend = () => (request.status === 201 ? done(request.response.id) : fail(request.response?.detail ?? "the connection was lost"));
  request.send(file);
});
function upload(file) {  // one after another; what failed stays until it is read
  const bar = make("progress", { max: 1, value: 0, ariaLabel: "Upload" }), line = make("li", {}, file.name, bar);
  const button = (textContent, onclick) => make("button", { textContent, onclick: () => (line.remove(), onclick?.()) });
  $("uploads").append(line);
  sending = sending.then(() => post(file, bar)).then(
    (id) => (line.remove(), player.paused ? open(id) : refresh()),
    (why) => (line.className = "failed", line.replaceChildren(`${file.name} was not imported: ${why}. `, button("Try again", () => upload(file)), " ", button("Dismiss"))));
}
$("more").onclick = () => (pages++, refresh());
$("q").oninput = () => { pages = 1; clearTimeout(refresh.timer); refresh.timer = setTimeout(refresh, 200); };
$("file").onchange = (event) => { [...event.target.files].forEach(upload); event.target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.toggle("over", kind === "dragover"); });
document.addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(upload));
window.onbeforeunload = (event) => $("uploads").querySelector("progress") && event.preventDefault();
player.ontimeupdate = mark;
refresh();
