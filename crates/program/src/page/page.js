// The page's script. Whatever anybody has stored or published is text to it: it makes elements by name and puts
// text into them, never markup.

const find = (id) => document.getElementById(id);

/** An element with properties and children. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const socketUrl = (path) => location.origin.replace(/^http/, "ws") + path;

/** Bytes with a unit. */
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${at && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

/** Seconds, roughly. */
function age(seconds) {
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

/** Waits longer after each failure in a row, and never as long as the others. */
class Patience {
  #times = 0;
  pause() {
    this.#times += 1;
    return Math.min(5000, 250 * 2 ** this.#times) * (0.5 + Math.random() / 2);
  }
  over() {
    this.#times = 0;
  }
}

// ---------------------------------------------------------------- who this tab is

/** A name that outlives a reload, and is this tab's alone. */
function identity(fresh) {
  let id = fresh ? null : sessionStorage.getItem("id");
  if (!id) {
    const random = crypto.getRandomValues(new Uint8Array(4));
    id = "tab-" + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("id", id);
  }
  find("id").textContent = id;
  return id;
}

let id = identity(false);
let wanted = true; // to be connected
const note = find("note");
note.value = sessionStorage.getItem("note") ?? "hello";

const modes = Array.from(document.querySelectorAll("input[name=mode]"));
const modeOfHash = () => modes.find((radio) => radio.value === decodeURIComponent(location.hash.slice(1)))?.value ?? "fleeting";
let mode = modeOfHash();

const ABOUT = {
  "fleeting": "This server’s own registry. A record is a copy that the store has made; its key is the client’s id, its connection a name that is never given twice.",
  "fiber": "The same application as Go’s Fiber runs it: the map keeps strings that point into the request’s buffer, and the next request overwrites it.",
  "fiber+mutex": "The same with a lock around the map. It orders who touches the map; the buffer is overwritten by somebody who never asks for it.",
  "fiber+copy": "The same with CopyString at every place where a string is kept. Key and value stay; a connection object from the pool may be another client’s by now.",
};

function say(text, on) {
  const status = find("status");
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("on", on);
}

function verdict(text, damaged = false) {
  const place = find("verdict");
  if (place.textContent !== text) place.textContent = text;
  place.classList.toggle("damaged", damaged);
}

// ---------------------------------------------------------------- the client's own record

const base = () => (mode === "fleeting" ? "/clients" : `/lesson/${mode}/clients`);
const socketPath = () => (mode === "fleeting" ? "/clients/ws" : `/lesson/${mode}/ws`);

let tie = null; // the WebSocket that holds this tab's record
let own = null; // the record as its WebSocket has told it last
let stored = null; // what this tab has asked to be kept
let timer = 0;
let turns = 0; // of joining; only the last counts
const patience = new Patience();

async function store() {
  sessionStorage.setItem("note", note.value);
  stored = note.value;
  const answer = await fetch(base(), {
    method: "POST",
    headers: { "X-Id": id, "Content-Type": "text/plain; charset=utf-8" },
    body: stored,
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  if (mode === "fleeting") own = await answer.json();
}

/** Stores the record and opens the WebSocket that holds it; again, later, whenever that fails. */
async function join() {
  leave();
  if (!wanted) return;
  const [here, turn] = [mode, ++turns];
  say("Connecting…", false);
  try {
    await store();
  } catch (error) {
    return again(turn, `Not connected: ${error.message}`);
  }
  // Meanwhile it may have been asked for something else.
  if (turn !== turns || !wanted) return;
  const socket = new WebSocket(socketUrl(`${socketPath()}?id=${encodeURIComponent(id)}`));
  tie = socket;
  socket.onopen = () => {
    patience.over();
    say("Connected", true);
    find("toggle").textContent = "Disconnect";
  };
  socket.onmessage = (event) => {
    if (here === "fleeting") own = JSON.parse(event.data);
    look();
  };
  socket.onclose = (event) => {
    if (tie !== socket) return;
    tie = null;
    if (event.code === 4409) {
      wanted = false;
      find("toggle").textContent = "Be somebody else";
      say("Not connected", false);
      return verdict("Another tab is this client now: it was opened as a copy of this one.");
    }
    again(turn, "Not connected: trying again");
  };
}

function again(turn, text) {
  if (turn !== turns || !wanted) return;
  say(text, false);
  clearTimeout(timer);
  timer = setTimeout(join, patience.pause());
}

function leave() {
  clearTimeout(timer);
  const socket = tie;
  tie = null;
  // One that has not opened yet is closed as soon as it has: browsers complain otherwise.
  if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket?.close();
}

find("me").onsubmit = async (event) => {
  event.preventDefault();
  if (!wanted) return find("toggle").click();
  try {
    await store();
    look();
  } catch (error) {
    say(`Not stored: ${error.message}`, Boolean(tie));
  }
};

find("toggle").onclick = () => {
  if (find("toggle").textContent.startsWith("Be")) id = identity(true);
  wanted = !wanted;
  find("toggle").textContent = wanted ? "Disconnect" : "Connect";
  if (wanted) return join();
  leave();
  own = null;
  say("Not connected", false);
  look();
};

find("clear").onclick = async () => {
  await fetch(base(), { method: "DELETE" }).catch(() => {});
  look();
};

// ---------------------------------------------------------------- everybody's records

const SHOWN_MAX = 60;
const KNOWN_MAX = 500;
const records = new Map(); // of the registry, by id
let early = null; // what came while the records were fetched; null: nothing is being fetched

/** Shows what there is now, in whichever mode. */
function look() {
  if (mode === "fleeting") return showRegistry();
  lesson();
}

async function snapshot() {
  if (early) return;
  early = [];
  try {
    const answer = await fetch(`/clients?limit=${SHOWN_MAX * 2}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const all = await answer.json();
    records.clear();
    for (const [key, record] of Object.entries(all)) records.set(key, record);
  } catch {
    // What is published goes on being shown; the next look is soon.
  }
  const late = early;
  early = null;
  for (const delivery of late) change(delivery);
  if (mode === "fleeting") showRegistry();
}

function change({ topic, data }) {
  const key = topic.slice("clients.".length);
  if (early) return early.push({ topic, data });
  if (!data) records.delete(key);
  else if (records.has(key) || records.size < KNOWN_MAX || key === id) records.set(key, data);
  if (key === id && tie) own = data;
  if (mode === "fleeting") showRegistry();
}

const lines = (pairs) =>
  make("dl", {}, ...pairs.flatMap(([name, value, wrong]) => [
    make("dt", {}, name),
    make("dd", wrong ? { class: "wrong" } : {}, value),
  ]));

function card(key, kind, tag, pairs) {
  const heading = make("header", {}, make("h3", {}, key), ...(tag ? [make("span", { class: "tag" }, tag)] : []));
  return make("li", { class: kind, "data-id": key }, heading, lines(pairs));
}

function show(cards, empty) {
  const list = find("records");
  list.replaceChildren(...cards.slice(0, SHOWN_MAX));
  if (!cards.length) list.append(make("li", { class: "empty" }, empty));
  find("more").hidden = cards.length <= SHOWN_MAX;
  find("more").textContent = "There are more, which are not shown.";
}

const told = (sent) => (typeof sent === "string" ? sent : sent === null ? "nothing" : JSON.stringify(sent));

function showRegistry() {
  const all = Array.from(records.values()).sort((a, b) => (a.id === id ? -1 : b.id === id ? 1 : b.at_ms - a.at_ms));
  show(
    all.map((record) =>
      card(record.id, record.id === id ? "own" : "", record.id === id ? "you" : "", [
        ["sent", told(record.sent)],
        ["at", clock.format(record.at_ms)],
        ["from", record.from ?? "–"],
        ["connection", record.connection ?? "none: it will expire"],
      ]),
    ),
    "No client is here.",
  );
  const held = records.get(id);
  if (!wanted) {
    if (!find("verdict").textContent.startsWith("Another")) verdict("");
  } else if (tie && own && held) {
    const whole = held.id === id && told(held.sent) === stored && held.connection === own.connection;
    const others = all.length - 1;
    const who = [
      "Nobody else is here.",
      "The other client has one of its own.",
    ][others] ?? `${others} other clients have their own.`;
    verdict(whole ? `Your record is what you have stored. ${who}` : "Your record is being changed…");
  }
}

/** The lesson's map has no topic: it is asked for. */
async function lesson() {
  const here = mode;
  let all;
  try {
    const answer = await fetch(base());
    all = answer.ok ? await answer.json() : null;
  } catch {
    all = null;
  }
  if (here !== mode || !all) return;
  const strange = (record) => record.connection !== null && record.connection !== record.stored_key;
  const damaged = (record) => !record.intact || !record.found || strange(record);
  show(
    all.map((record) => {
      const mine = record.stored_key === id;
      const kind = damaged(record) ? "damaged" : mine ? "own" : "";
      const tag = [mine ? "you" : "", damaged(record) ? "damaged" : ""].filter(Boolean).join(", ");
      return card(record.stored_key, kind, tag, [
        ["key now", record.key, record.key !== record.stored_key],
        ["value now", record.value, record.value !== record.stored_value],
        ["by its id", record.found ? "found" : "not found, not deleted", !record.found],
        ["speaks to", record.connection ?? "nobody", strange(record)],
      ]);
    }),
    "The map is empty.",
  );
  const mine = all.filter((record) => record.stored_key === id);
  const wrong = mine.find(damaged);
  if (wrong) {
    const what = [];
    if (!wrong.intact) what.push(`it was stored as ${wrong.stored_key} and reads ${wrong.key} now`);
    if (!wrong.found) what.push("no lookup finds it, and no delete");
    if (strange(wrong)) what.push(`what is sent to it reaches ${wrong.connection}`);
    verdict(`Your record is damaged: ${what.join("; ")}.`, true);
  } else if (mine.length) {
    const other = all.find(damaged);
    verdict(
      other
        ? `Your record is whole, that of ${other.stored_key} is damaged: your request came after it.`
        : "Your record is whole, so far. Open a second tab.",
      Boolean(other),
    );
  } else {
    verdict(wanted ? "You are not in the map." : "");
  }
}

function choose(next) {
  mode = next;
  for (const radio of modes) radio.checked = radio.value === mode;
  const hash = mode === "fleeting" ? "" : `#${mode}`;
  history.replaceState(null, "", location.pathname + hash);
  find("second").href = `/${hash}`;
  find("about").textContent = ABOUT[mode];
  find("clear").hidden = mode === "fleeting";
  // The article's application keeps nothing but the id.
  note.hidden = find("ask").hidden = mode !== "fleeting";
  [own, stored] = [null, null];
  verdict("");
  find("records").replaceChildren();
  look();
  join();
}

for (const radio of modes) radio.onchange = () => choose(radio.value);
window.onhashchange = () => modeOfHash() !== mode && choose(modeOfHash());

// ---------------------------------------------------------------- topics

const LOG_MAX = 60;
const subscriptions = new Set(["news.*"]);
let hub = null;
const hubPatience = new Patience();

function log(name, text, kind = "") {
  const list = find("log");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  list.append(make("li", { class: kind }, make("span", {}, name), make("span", {}, text)));
  while (list.children.length > LOG_MAX) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function showSubscriptions() {
  find("subscriptions").replaceChildren(
    ...Array.from(subscriptions, (filter) => {
      const remove = make("button", { type: "button", "aria-label": `Unsubscribe from ${filter}` }, "×");
      remove.onclick = () => command({ unsubscribe: filter });
      return make("li", {}, make("span", {}, filter), remove);
    }),
  );
}

function command(members) {
  if (hub?.readyState === WebSocket.OPEN) hub.send(JSON.stringify(members));
  else log("note", "not connected: trying again", "note");
}

function openHub() {
  const socket = new WebSocket(socketUrl("/hub"));
  hub = socket;
  socket.onopen = () => {
    hubPatience.over();
    // Its own subscription, before the records are fetched: nothing is missed between the two.
    command({ subscribe: "clients.*", slow: "conflate", id: "records" });
    for (const filter of subscriptions) command({ subscribe: filter });
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.id === "records") return snapshot();
    if (message.topic?.startsWith("clients.")) return change(message);
    if (message.topic !== undefined) return log(message.topic, told(message.data));
    if (message.gap) {
      // Another node was out of reach: what it has published meanwhile is not known.
      log("note", "some messages of other servers may be missing", "note");
      return snapshot();
    }
    if (message.error) return log("note", message.error, "note");
    if (message.subscribed) subscriptions.add(message.subscribed);
    if (message.unsubscribed) subscriptions.delete(message.unsubscribed);
    showSubscriptions();
  };
  socket.onclose = () => setTimeout(openHub, hubPatience.pause());
}

find("subscribe").onsubmit = (event) => {
  event.preventDefault();
  const filter = find("filter").value.trim();
  if (filter.startsWith("clients.")) return log("note", "the registry’s changes are shown above already", "note");
  command({ subscribe: filter });
};

find("publish").onsubmit = (event) => {
  event.preventDefault();
  let data = find("data").value;
  try {
    data = JSON.parse(data);
  } catch {
    // Text, then.
  }
  command({ publish: find("topic").value.trim(), data });
};

// ---------------------------------------------------------------- figures

const SAMPLES_MAX = 60;
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

/** A curve of the last minute. */
class Chart {
  #values = [];
  constructor(place, format, ceiling) {
    this.format = format;
    this.ceiling = ceiling;
    this.output = place.querySelector("output");
    this.title = place.querySelector("span").textContent;
    const plot = make("div", { class: "plot" });
    this.top = make("span", { class: "top", "aria-hidden": "true" });
    this.svg = shape("svg", { viewBox: "0 0 600 88", preserveAspectRatio: "none", role: "img" }, plot);
    const fixed = { "vector-effect": "non-scaling-stroke" };
    shape("line", { class: "grid", x1: 0, x2: 600, y1: 8, y2: 8, ...fixed }, this.svg);
    this.under = shape("path", { class: "under" }, this.svg);
    this.curve = shape("path", { class: "curve", ...fixed }, this.svg);
    plot.append(this.top);
    place.append(plot);
  }

  add(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES_MAX) this.#values.shift();
    const top = this.ceiling(Math.max(...this.#values));
    const x = (at) => 600 - (this.#values.length - 1 - at) * (600 / (SAMPLES_MAX - 1));
    const points = this.#values.map((value, at) => `${x(at).toFixed(1)},${(88 - (value / top) * 80).toFixed(1)}`);
    this.curve.setAttribute("d", `M${points.join("L")}`);
    this.under.setAttribute("d", `M${x(0).toFixed(1)},88L${points.join("L")}L600,88Z`);
    this.top.textContent = this.format(top);
    this.output.textContent = this.format(value);
    this.svg.setAttribute("aria-label", `${this.title}, the last minute: now ${this.format(value)}, at most ${this.format(Math.max(...this.#values))}`);
  }
}

/** The next of 1, 2, 5, 10, 20... that is not below. */
function decimal(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

/** The next power of two. */
function binary(value) {
  return 2 ** Math.ceil(Math.log2(Math.max(value, 1024)));
}

const charts = {
  requests: new Chart(find("chart-requests"), (value) => number.format(Math.round(value)), decimal),
  connections: new Chart(find("chart-connections"), (value) => number.format(value), decimal),
  arena: new Chart(find("chart-arena"), bytes, binary),
};

function workers(census) {
  const names = ["fleeting_connections", "fleeting_requests_total", "fleeting_arena_high_water_bytes", "fleeting_kept_bytes_total"];
  const rows = (census[names[0]] ?? []).map(({ labels: { worker } }) => {
    const [connections, requests, arena, kept] = names.map(
      (name) => census[name]?.find((sample) => sample.labels.worker === worker)?.value ?? 0,
    );
    const cells = [worker, number.format(connections), number.format(requests), bytes(arena), bytes(requests ? kept / requests : 0)];
    return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
  });
  find("workers").replaceChildren(...rows);
}

let before = null; // requests and when, of the last look

function figures(census, now) {
  const values = (name) => (census[name] ?? []).map((sample) => sample.value);
  const sum = (name) => values(name).reduce((all, value) => all + value, 0);
  const one = (name) => (values(name).length ? sum(name) : null);
  const requests = sum("fleeting_requests_total");
  if (before && requests >= before.requests) {
    charts.requests.add(((requests - before.requests) * 1000) / (now - before.now));
  }
  before = { requests, now };
  charts.connections.add(sum("fleeting_connections"));
  const arena = Math.max(0, ...values("fleeting_arena_high_water_bytes"));
  charts.arena.add(arena);
  const rows = [
    ["Connections", sum("fleeting_connections"), sum("fleeting_connections_limit")],
    ["Topics and filters", sum("fleeting_topics"), sum("fleeting_topics_limit")],
    ["Entries of the store", one("fleeting_store_entries"), one("fleeting_store_entries_limit")],
    ["Bytes of the store", one("fleeting_store_bytes"), one("fleeting_store_bytes_limit"), bytes],
    ["Arena reserved, all workers", sum("fleeting_arena_reserved_bytes"), null, bytes],
    ["Kept of a request, on average", requests ? sum("fleeting_kept_bytes_total") / requests : 0, null, bytes],
    ["Clients", one("fleeting_clients"), null],
    ["Of these, without a connection", one("fleeting_clients_orphaned"), null],
    ["Oldest entry", one("fleeting_store_oldest_seconds"), null, age],
    ["Entries expired", one("fleeting_store_expired_total"), null],
    ["Refused: the store was full", one("fleeting_store_refused_total"), null],
    ["Refused: a stale connection id", sum("fleeting_stale_ids_refused_total"), null],
    ["Requests refused", sum("fleeting_requests_refused_total"), null],
    ["Requests in all", requests, null],
  ];
  workers(census);
  find("census").replaceChildren(
    ...rows.filter(([, value]) => value !== null).map(([name, value, limit, format = number.format]) => {
      const row = make("div", {}, make("dt", {}, name));
      row.append(make("dd", {}, limit ? `${format(value)} of ${format(limit)}` : format(value)));
      if (limit) {
        const part = make("i");
        part.style.width = `${Math.min(100, (value / limit) * 100)}%`;
        row.append(make("div", { class: "bar", "aria-hidden": "true" }, part));
      }
      return row;
    }),
  );
}

// A tab that is looked at again shows what there is now.
document.onvisibilitychange = () => {
  if (!document.hidden) look();
};

let looks = 0;

async function tick() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/census");
      if (answer.ok) figures(await answer.json(), performance.now());
    } catch {
      before = null; // the server is away; the next look finds it
    }
    if (mode !== "fleeting") await lesson();
    looks += 1;
    // A record whose life is over is not told of.
    if (looks % 15 === 0) snapshot();
  }
  setTimeout(tick, 1000);
}

showSubscriptions();
openHub();
choose(mode);
tick();
