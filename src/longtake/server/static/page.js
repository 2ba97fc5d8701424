"use strict";
const $ = (id) => document.getElementById(id), player = $("player"), EVERY_MS = 2000;
const make = (tag, textContent, props) => Object.assign(document.createElement(tag), { textContent, ...props });
const clock = (ms) => `${Math.floor(ms / 3_600_000)}:${new Date(ms).toISOString().slice(14, 19)}`;
const hls = new Hls({ enableWorker: false, startPosition: 0 });
let turn = new AbortController(), sending = Promise.resolve(), opened, gone, seen, read, entries;
async function api(path) {
  const answer = await fetch(path, { signal: turn.signal }), body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { status: answer.status });
  return body;
}
async function refresh() {
  turn.abort();  // the newest refresh ends the one before it
  const { signal } = turn = new AbortController(), q = $("q").value.trim(), limit = $("more").checked ? 500 : 50;
  let text = gone;
  try {
    const { items } = await api(`/api/sessions?limit=${limit}${q && `&q=${encodeURIComponent(q)}`}`);
    fill($("sessions"), items, row, (s) => open(s.id));
    for (const li of $("sessions").children) li.ariaCurrent = li.id === opened || null;
    if (!items.length) text ||= q ? "Nothing is found." : "Nothing is recorded yet.";
    if (opened) await show(await api(`/api/sessions/${opened}`));
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 404) return void open(null, "The session that was open is no longer there.");
    text = error.status ? `${error.message}.` : `The server does not answer (${error.message}). It is asked again.`;
  }
  if ($("notice").textContent !== text) $("notice").textContent = text;  // what is set is read out
  $("notice").hidden = !text;
  $("open").hidden = !seen;
  setTimeout(() => signal.aborted || refresh(), EVERY_MS);
}
function fill(list, items, draw, click) {  // an item keeps its button: no click and no focus is lost
  const ids = new Set(items.map((item) => item.id));
  [...list.children].filter((li) => !ids.has(li.id)).forEach((li) => li.remove());
  items.forEach((item, n) => {
    const li = $(item.id) ?? make("li", "", { id: item.id }), button = li.firstChild ?? li.appendChild(make("button"));
    if (list.children[n] !== li) list.insertBefore(li, list.children[n]);
    if (li.item === item) return;
    li.item = item;
    button.onclick = () => click(item);
    button.replaceChildren(...draw(item));
  });
}
function row(s) {
  const { status, stage, progress } = s.enrichment, doing = `${stage ?? "waiting"} ${progress} %`;
  const state = s.state !== "completed" ? s.state : status === "in-progress" ? doing : s.processing;
  const facts = [clock(s.total_duration_ms), new Date(s.created_at).toLocaleString(), state.replaceAll("_", " ")];
  return [make("strong", s.title), make("small", facts.join(" · "))];
}
async function open(id, why = "") {
  [opened, gone, seen, read, entries] = [id, why, "", {}, []];
  hls.stopLoad();
  hls.detachMedia();
  await refresh();
  $("open").scrollIntoView({ block: "nearest" });
}
async function show(s) {
  const state = [s.state, s.enrichment.status, s.coverage.gap_count, s.segment_counts.failed].join();
  if (s.segment_counts.total && !hls.media) hls.loadSource(`/api/sessions/${s.id}/media/audio.m3u8`);
  if (seen === JSON.stringify(s)) return;
  if (state !== read.state) read = { state, cursor: "", at: 0, ...(await whole(s)) };
  await transcript(s);
  $("title").replaceChildren(...row(s), make("small", entries.some((e) => e.is_draft) ? "draft transcript" : ""));
  $("gaps").textContent = read.lost.length ? `Missing: ${read.lost.join(", ").replaceAll("_", " ")}` : "";
  if ($("files").children[0] !== read.links[0]) $("files").replaceChildren(...read.links.flatMap((a) => [a, " "]));
  seen = JSON.stringify(s);
}
async function whole(s) {
  const [{ items }, { tracks }] = await Promise.all([api(s.refs.artifacts), api(`/api/sessions/${s.id}/coverage`)]);
  const gaps = tracks.flatMap((t) => t.gaps).map((g) => `${clock(g.start_ms)}–${clock(g.end_ms)} (${g.cause})`);
  const lost = gaps.concat(tracks.flatMap((t) => t.damaged).map((n) => `part of segment ${n} (damaged)`));
  return { lost, links: items.filter((f) => f.state !== "waiting").map(link) };
}
const link = (f) => make("a", f.name.split(".").pop(), { href: `${f.url}?wait_s=600`, download: f.name });
const line = (e) => [make("time", `${clock(e.start_ms)} `), make("b", e.speaker), ` ${e.text}`];
async function transcript(s) {  // on from its last page, as long as the session's state is the same
  const { items, next_cursor } = await api(`${s.refs.transcript}?limit=500${read.cursor}`);
  entries.splice(read.at, next_cursor ? items.length : Infinity, ...items);
  fill($("transcript"), entries, line, (e) => (player.currentTime = e.start_ms / 1000));
  if (!next_cursor) return;
  read = { ...read, cursor: `&cursor=${encodeURIComponent(next_cursor)}`, at: read.at + items.length };
  await transcript(s);
}
player.ontimeupdate = () => {
  const now = player.currentTime * 1000;
  for (const e of entries) $(e.id).ariaCurrent = (e.start_ms <= now && now < e.end_ms) || null;
};
async function upload(file) {
  const request = Object.assign(new XMLHttpRequest(), { responseType: "json" });
  const sent = new Promise((done) => (request.onloadend = done));
  const li = make("li", `${file.name} `), bar = li.appendChild(make("progress", "", { value: 0 }));
  $("uploads").append(li);
  request.open("POST", `/api/imports?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => (bar.value = event.loaded / event.total);
  await (sending = sending.then(() => request.send(file)).then(() => sent));  // one after another
  if (request.status === 201) return void (li.remove(), opened ? refresh() : open(request.response.id));
  const text = `${file.name} was not imported: ${request.response?.detail ?? "the connection was lost"}. `;
  Object.assign(li, { className: "failed", textContent: text, onclick: (event) => event.target !== li && li.remove() });
  li.append(make("button", "Try again", { onclick: () => upload(file) }), make("button", "Dismiss"));
}
hls.on("hlsManifestParsed", () => hls.attachMedia(player));
hls.on("hlsError", (_, error) => error.fatal && setTimeout(() => hls.media && hls.startLoad(), EVERY_MS));
$("transcript").onclick = () => player.play();
$("list").oninput = refresh;
$("file").onclick = () => ($("file").value = "");  // else the same file could not be chosen twice
$("file").onchange = () => [...$("file").files].forEach(upload);
document.ondragover = document.ondrop = (event) => event.preventDefault();
document.addEventListener("drop", (event) => [...event.dataTransfer.files].forEach(upload));
window.onbeforeunload = (event) => $("uploads").querySelector("progress") && event.preventDefault();
open(null);
