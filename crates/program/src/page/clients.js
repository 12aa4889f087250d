// Who is here: the registry's records, and the record of this page.

import { Backoff, ask, clock, find, make, number, openSocket, setText, showItems } from "./common.js";

const SHOWN_MAX = 60;
const KNOWN_MAX = 500;
/** The WebSocket's close code if another connection has taken the record over. */
const TAKEN_OVER = 4409;

const TRAITS = ["amber", "bold", "calm", "clever", "early", "gentle", "happy", "keen", "lively", "lucky", "merry", "noble", "quick", "quiet", "sunny", "wise"];
const ANIMALS = ["badger", "crane", "dolphin", "falcon", "fox", "hare", "heron", "ibex", "lynx", "marten", "otter", "owl", "raven", "seal", "swift", "wren"];

/** Draws a name that can be remembered and is unlikely to be drawn twice. */
function drawName() {
  const [trait, animal, high, low] = crypto.getRandomValues(new Uint8Array(4));
  return `${TRAITS[trait % 16]}-${ANIMALS[animal % 16]}-${(high * 256 + low) % 10_000}`;
}

/** Returns the name of this tab, which survives a reload. Draws a new one if `renew` is set or there is none yet. */
function identity(renew) {
  let id = renew ? null : sessionStorage.getItem("id");
  if (!id) {
    id = drawName();
    sessionStorage.setItem("id", id);
  }
  setText(find("id"), id);
  return id;
}

let id = identity(false);
const note = find("note");
note.value = sessionStorage.getItem("note") ?? "hello";

let holder = null; // the WebSocket that holds this page's record
let retryTimer = 0;
let attempts = 0; // calls of join(); only the latest one counts
const backoff = new Backoff();

const records = new Map(); // by id, as last reported
let known = null; // when the records were last known to be complete, or null if they never were
let reachable = false; // whether changes are being received
let pendingChanges = null; // changes received while a snapshot is being fetched, otherwise null

const formatData = (data) => (typeof data === "string" ? data : data === null ? "nothing" : JSON.stringify(data));

/** Says what the name of a connection means: `node-1.19b70a2c3d4/0-3-1` is the second connection in slot 3 of worker 0. */
function describeConnection(name) {
  const [, node, worker, slot, generation] = name.match(/^(.*)\.[0-9a-f]+\/(\d+)-(\d+)-(\d+)$/) ?? [];
  if (node === undefined) return name;
  return `${ordinal(Number(generation) + 1)} in slot ${slot} of worker ${worker} on ${node}`;
}

function ordinal(value) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${number.format(value)}${ending[new Intl.PluralRules("en", { type: "ordinal" }).select(value)]}`;
}

async function store() {
  sessionStorage.setItem("note", note.value);
  await ask("clients", {
    method: "POST",
    headers: { "X-Id": id, "Content-Type": "text/plain; charset=utf-8" },
    body: note.value,
  });
}

/** Stores the record and opens the WebSocket that holds it. Tries again when either fails. */
async function join() {
  leave();
  const attempt = ++attempts;
  const later = () => {
    if (attempt === attempts) retryTimer = setTimeout(join, backoff.delay());
  };
  try {
    await store();
  } catch (error) {
    if (reachable) say(`You are not in the list: ${error.message}. Trying again.`);
    return later();
  }
  if (attempt !== attempts) return;
  const socket = openSocket(`clients/ws?id=${encodeURIComponent(id)}`);
  holder = socket;
  socket.onopen = () => backoff.reset();
  socket.onmessage = show;
  socket.onclose = (event) => {
    if (holder !== socket) return;
    holder = null;
    show();
    if (event.code !== TAKEN_OVER) return later();
    say("Another tab uses your name now: it was opened as a copy of this one.");
    setText(find("save"), "Take a new name");
  };
}

function leave() {
  clearTimeout(retryTimer);
  const socket = holder;
  holder = null;
  // Browsers log an error if a WebSocket is closed before it has opened.
  if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket?.close();
}

function say(text) {
  setText(find("verdict"), text);
}

/** Shows what is known, and says if it is not up to date. */
function show() {
  if (known === null) {
    find("records").replaceChildren(make("li", { class: "empty" }, "Unknown: the server has not answered yet."));
    return;
  }
  const all = Array.from(records.values()).sort((a, b) => (a.id === id ? -1 : b.id === id ? 1 : b.at_ms - a.at_ms));
  showItems(find("records"), all.slice(0, SHOWN_MAX).map((record) => [record.id, JSON.stringify(record), () => card(record)]));
  if (!all.length) find("records").replaceChildren(make("li", { class: "empty" }, reachable ? "Nobody." : "Nobody, when last heard."));
  find("records").classList.toggle("stale", !reachable);
  find("more").hidden = all.length <= SHOWN_MAX;
  setText(find("more"), "There are more than are shown here.");
  if (!reachable) return say(`The server cannot be reached. Who is here now is unknown; this was the list at ${clock.format(known)}.`);
  if (!holder) return;
  setText(find("save"), "Store");
  const others = all.filter((record) => record.id !== id).length;
  if (records.has(id)) say(others === 0 ? "Nobody else is here." : others === 1 ? "One other visitor is here." : `${others} others are here.`);
}

function card(record) {
  const mine = record.id === id;
  const pairs = [
    ["note", formatData(record.sent)],
    ["stored at", clock.format(record.at_ms)],
    ["from", record.from ?? "unknown"],
    ["connection", record.connection === null ? "none: the record will expire" : describeConnection(record.connection)],
  ];
  const heading = make("div", { class: "title" }, make("h3", {}, record.id), ...(mine ? [make("span", { class: "tag" }, "you")] : []));
  const lines = make("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  return make("li", { class: mine ? "own" : "", "data-id": record.id }, heading, lines);
}

/** Fetches all records, then applies the changes received meanwhile. */
export async function fetchRecords() {
  if (pendingChanges) return;
  pendingChanges = [];
  try {
    const all = await (await ask(`clients?limit=${SHOWN_MAX * 2}`)).json();
    records.clear();
    for (const [key, record] of Object.entries(all)) records.set(key, record);
    known = Date.now();
  } catch {
    // Changes are still applied, and the next snapshot follows soon.
  }
  const changes = pendingChanges;
  pendingChanges = null;
  changes.forEach(apply);
  show();
}

function apply({ key, record }) {
  if (!record) records.delete(key);
  else if (records.has(key) || records.size < KNOWN_MAX || key === id) records.set(key, record);
}

/** A record has changed, or was removed if it is null. */
export function recordChanged(key, record) {
  if (pendingChanges) return void pendingChanges.push({ key, record });
  apply({ key, record });
  if (known !== null) known = Date.now();
  show();
}

/** Changes are received from now on, or no longer. */
export function recordsReachable(yes) {
  reachable = yes;
  if (yes) fetchRecords();
  else show();
}

export function startClients() {
  find("me").onsubmit = async (event) => {
    event.preventDefault();
    if (find("save").textContent.startsWith("Take")) {
      id = identity(true);
      return join();
    }
    try {
      await store();
      say("Stored.");
    } catch (error) {
      say(`Not stored: ${error.message}.`);
    }
  };
  show();
  join();
}
