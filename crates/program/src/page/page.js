// The page's script. It treats everything that clients have stored or published as text: it creates elements by name
// and sets their text, never markup.

const find = (id) => document.getElementById(id);

/** Creates an element with properties and children. */
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

/** Formats a number of bytes with a unit. */
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) [count, unit] = [count / 1024, unit + 1];
  return `${unit && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

/** Formats a number of seconds, rounded down to one unit. */
function age(seconds) {
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

/** Delays between attempts to reconnect: exponential, with jitter. */
class Backoff {
  #failures = 0;
  delay() {
    this.#failures += 1;
    return Math.min(5000, 250 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
  }
  reset() {
    this.#failures = 0;
  }
}

// ---------------------------------------------------------------- this tab's identity

/** Returns this tab's id, which survives a reload. Creates a new one if `renew` is set or there is none yet. */
function identity(renew) {
  let id = renew ? null : sessionStorage.getItem("id");
  if (!id) {
    const random = crypto.getRandomValues(new Uint8Array(4));
    id = "tab-" + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("id", id);
  }
  find("id").textContent = id;
  return id;
}

let id = identity(false);
let shouldConnect = true; // whether the user wants this tab to be connected
const note = find("note");
note.value = sessionStorage.getItem("note") ?? "hello";

const modes = Array.from(document.querySelectorAll("input[name=mode]"));
const modeOfHash = () => modes.find((radio) => radio.value === decodeURIComponent(location.hash.slice(1)))?.value ?? "fleeting";
let mode = modeOfHash();

const ABOUT = {
  "fleeting": "The registry of this server. A record is a copy made by the store. Its key is the client’s id; its connection id is never reused.",
  "fiber": "The same application as Go’s Fiber runs it: the map stores strings that point into the request’s buffer, and the next request overwrites that buffer.",
  "fiber+mutex": "The same with a lock around the map. The lock orders access to the map, but the next request overwrites the buffer without taking it.",
  "fiber+copy": "The same with CopyString for every string that is stored. Keys and values stay intact, but a connection object from the pool may by now belong to another client.",
};

function setStatus(text, connected) {
  const status = find("status");
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("on", connected);
}

function setVerdict(text, damaged = false) {
  const element = find("verdict");
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("damaged", damaged);
}

// ---------------------------------------------------------------- this client's record

const base = () => (mode === "fleeting" ? "/clients" : `/lesson/${mode}/clients`);
const socketPath = () => (mode === "fleeting" ? "/clients/ws" : `/lesson/${mode}/ws`);

let clientSocket = null; // the WebSocket that keeps the record of this client alive
let ownRecord = null; // the record as the server last sent it
let storedNote = null; // the note that this tab last stored
let retryTimer = 0;
let attempts = 0; // calls of connect(); only the latest one counts
const clientBackoff = new Backoff();

async function store() {
  sessionStorage.setItem("note", note.value);
  storedNote = note.value;
  const answer = await fetch(base(), {
    method: "POST",
    headers: { "X-Id": id, "Content-Type": "text/plain; charset=utf-8" },
    body: storedNote,
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  if (mode === "fleeting") ownRecord = await answer.json();
}

/** Stores the record and opens the WebSocket that keeps it alive. Retries when either fails. */
async function connect() {
  disconnect();
  if (!shouldConnect) return;
  const [joinedMode, attempt] = [mode, ++attempts];
  setStatus("Connecting…", false);
  try {
    await store();
  } catch (error) {
    return retryLater(attempt, `Not connected: ${error.message}`);
  }
  // The user may have asked for something else in the meantime.
  if (attempt !== attempts || !shouldConnect) return;
  const socket = new WebSocket(socketUrl(`${socketPath()}?id=${encodeURIComponent(id)}`));
  clientSocket = socket;
  socket.onopen = () => {
    clientBackoff.reset();
    setStatus("Connected", true);
    find("toggle").textContent = "Disconnect";
  };
  socket.onmessage = (event) => {
    if (joinedMode === "fleeting") ownRecord = JSON.parse(event.data);
    refresh();
  };
  socket.onclose = (event) => {
    if (clientSocket !== socket) return;
    clientSocket = null;
    if (event.code === 4409) {
      shouldConnect = false;
      find("toggle").textContent = "Get a new id";
      setStatus("Not connected", false);
      return setVerdict("Another tab uses this id now: it was opened as a copy of this one.");
    }
    retryLater(attempt, "Not connected: retrying");
  };
}

function retryLater(attempt, text) {
  if (attempt !== attempts || !shouldConnect) return;
  setStatus(text, false);
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, clientBackoff.delay());
}

function disconnect() {
  clearTimeout(retryTimer);
  const socket = clientSocket;
  clientSocket = null;
  // Browsers log an error if a WebSocket is closed before it has opened.
  if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
  else socket?.close();
}

find("me").onsubmit = async (event) => {
  event.preventDefault();
  if (!shouldConnect) return find("toggle").click();
  try {
    await store();
    refresh();
  } catch (error) {
    setStatus(`Not stored: ${error.message}`, Boolean(clientSocket));
  }
};

find("toggle").onclick = () => {
  if (find("toggle").textContent.startsWith("Get")) id = identity(true);
  shouldConnect = !shouldConnect;
  find("toggle").textContent = shouldConnect ? "Disconnect" : "Connect";
  if (shouldConnect) return connect();
  disconnect();
  ownRecord = null;
  setStatus("Not connected", false);
  refresh();
};

find("clear").onclick = async () => {
  await fetch(base(), { method: "DELETE" }).catch(() => {});
  refresh();
};

// ---------------------------------------------------------------- all records

const SHOWN_MAX = 60;
const KNOWN_MAX = 500;
const records = new Map(); // the registry's records by id
let pendingChanges = null; // changes received while a snapshot is being fetched, otherwise null

/** Shows the current records of the current mode. */
function refresh() {
  if (mode === "fleeting") return showRegistry();
  refreshLesson();
}

/** Fetches the registry's records, then applies the changes received meanwhile. */
async function fetchSnapshot() {
  if (pendingChanges) return;
  pendingChanges = [];
  try {
    const answer = await fetch(`/clients?limit=${SHOWN_MAX * 2}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const all = await answer.json();
    records.clear();
    for (const [key, record] of Object.entries(all)) records.set(key, record);
  } catch {
    // Changes are still applied, and the next snapshot follows soon.
  }
  const changes = pendingChanges;
  pendingChanges = null;
  for (const message of changes) applyChange(message);
  if (mode === "fleeting") showRegistry();
}

function applyChange({ topic, data }) {
  const key = topic.slice("clients.".length);
  if (pendingChanges) return pendingChanges.push({ topic, data });
  if (!data) records.delete(key);
  else if (records.has(key) || records.size < KNOWN_MAX || key === id) records.set(key, data);
  if (key === id && clientSocket) ownRecord = data;
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
  find("more").textContent = "More records exist than are shown here.";
}

const formatData = (data) => (typeof data === "string" ? data : data === null ? "nothing" : JSON.stringify(data));

function showRegistry() {
  const all = Array.from(records.values()).sort((a, b) => (a.id === id ? -1 : b.id === id ? 1 : b.at_ms - a.at_ms));
  show(
    all.map((record) =>
      card(record.id, record.id === id ? "own" : "", record.id === id ? "you" : "", [
        ["sent", formatData(record.sent)],
        ["at", clock.format(record.at_ms)],
        ["from", record.from ?? "–"],
        ["connection", record.connection ?? "none: the record will expire"],
      ]),
    ),
    "There are no clients.",
  );
  const held = records.get(id);
  if (!shouldConnect) {
    if (!find("verdict").textContent.startsWith("Another")) setVerdict("");
  } else if (clientSocket && ownRecord && held) {
    const intact = held.id === id && formatData(held.sent) === storedNote && held.connection === ownRecord.connection;
    const others = all.length - 1;
    const summary = [
      "There are no other clients.",
      "The other client has a separate record.",
    ][others] ?? `The ${others} other clients have separate records.`;
    setVerdict(intact ? `Your record is what you stored. ${summary}` : "Your record is changing…");
  }
}

/** Fetches and shows the lesson's map, which publishes no changes. */
async function refreshLesson() {
  const requestedMode = mode;
  let all;
  try {
    const answer = await fetch(base());
    all = answer.ok ? await answer.json() : null;
  } catch {
    all = null;
  }
  if (requestedMode !== mode || !all) return;
  const isMisdirected = (record) => record.connection !== null && record.connection !== record.stored_key;
  const isDamaged = (record) => !record.intact || !record.found || isMisdirected(record);
  show(
    all.map((record) => {
      const mine = record.stored_key === id;
      const kind = isDamaged(record) ? "damaged" : mine ? "own" : "";
      const tag = [mine ? "you" : "", isDamaged(record) ? "damaged" : ""].filter(Boolean).join(", ");
      return card(record.stored_key, kind, tag, [
        ["key now", record.key, record.key !== record.stored_key],
        ["value now", record.value, record.value !== record.stored_value],
        ["lookup by id", record.found ? "found" : "not found", !record.found],
        ["connected to", record.connection ?? "nobody", isMisdirected(record)],
      ]);
    }),
    "The map is empty.",
  );
  const mine = all.filter((record) => record.stored_key === id);
  const broken = mine.find(isDamaged);
  if (broken) {
    const problems = [];
    if (!broken.intact) problems.push(`it was stored as ${broken.stored_key} and now reads ${broken.key}`);
    if (!broken.found) problems.push("neither lookup nor delete finds it");
    if (isMisdirected(broken)) problems.push(`messages for it reach ${broken.connection}`);
    setVerdict(`Your record is damaged: ${problems.join("; ")}.`, true);
  } else if (mine.length) {
    const other = all.find(isDamaged);
    setVerdict(
      other
        ? `Your record is intact. The record of ${other.stored_key} is damaged: your request came after it.`
        : "Your record is intact so far. Open a second tab.",
      Boolean(other),
    );
  } else {
    setVerdict(shouldConnect ? "You are not in the map." : "");
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
  // The lesson's application stores only the id.
  note.hidden = find("ask").hidden = mode !== "fleeting";
  [ownRecord, storedNote] = [null, null];
  setVerdict("");
  find("records").replaceChildren();
  refresh();
  connect();
}

for (const radio of modes) radio.onchange = () => choose(radio.value);
window.onhashchange = () => modeOfHash() !== mode && choose(modeOfHash());

// ---------------------------------------------------------------- topics

const LOG_MAX = 60;
const subscriptions = new Set(["news.*"]);
let hub = null;
const hubBackoff = new Backoff();

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
  else log("note", "not connected: retrying", "note");
}

function openHub() {
  const socket = new WebSocket(socketUrl("/hub"));
  hub = socket;
  socket.onopen = () => {
    hubBackoff.reset();
    // Subscribe before fetching the records, so that no change is missed between the two.
    command({ subscribe: "clients.*", slow: "conflate", id: "records" });
    for (const filter of subscriptions) command({ subscribe: filter });
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.id === "records") return fetchSnapshot();
    if (message.topic?.startsWith("clients.")) return applyChange(message);
    if (message.topic !== undefined) return log(message.topic, formatData(message.data));
    if (message.gap) {
      // Another node was unreachable, and may have published something meanwhile.
      log("note", "messages from other servers may be missing", "note");
      return fetchSnapshot();
    }
    if (message.error) return log("note", message.error, "note");
    if (message.subscribed) subscriptions.add(message.subscribed);
    if (message.unsubscribed) subscriptions.delete(message.unsubscribed);
    showSubscriptions();
  };
  socket.onclose = () => setTimeout(openHub, hubBackoff.delay());
}

find("subscribe").onsubmit = (event) => {
  event.preventDefault();
  const filter = find("filter").value.trim();
  if (filter.startsWith("clients.")) return log("note", "changes of the registry are already shown above", "note");
  command({ subscribe: filter });
};

find("publish").onsubmit = (event) => {
  event.preventDefault();
  let data = find("data").value;
  try {
    data = JSON.parse(data);
  } catch {
    // Not JSON: publish it as text.
  }
  command({ publish: find("topic").value.trim(), data });
};

// ---------------------------------------------------------------- metrics

const SAMPLES_MAX = 60;
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

/** A line chart of the last minute. */
class Chart {
  #values = [];
  constructor(figure, format, ceiling) {
    this.format = format;
    this.ceiling = ceiling;
    this.output = figure.querySelector("output");
    this.title = figure.querySelector("span").textContent;
    const plot = make("div", { class: "plot" });
    this.top = make("span", { class: "top", "aria-hidden": "true" });
    this.svg = shape("svg", { viewBox: "0 0 600 88", preserveAspectRatio: "none", role: "img" }, plot);
    const fixed = { "vector-effect": "non-scaling-stroke" };
    shape("line", { class: "grid", x1: 0, x2: 600, y1: 8, y2: 8, ...fixed }, this.svg);
    this.under = shape("path", { class: "under" }, this.svg);
    this.curve = shape("path", { class: "curve", ...fixed }, this.svg);
    plot.append(this.top);
    figure.append(plot);
  }

  add(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES_MAX) this.#values.shift();
    const top = this.ceiling(Math.max(...this.#values));
    const x = (index) => 600 - (this.#values.length - 1 - index) * (600 / (SAMPLES_MAX - 1));
    const points = this.#values.map((value, index) => `${x(index).toFixed(1)},${(88 - (value / top) * 80).toFixed(1)}`);
    this.curve.setAttribute("d", `M${points.join("L")}`);
    this.under.setAttribute("d", `M${x(0).toFixed(1)},88L${points.join("L")}L600,88Z`);
    this.top.textContent = this.format(top);
    this.output.textContent = this.format(value);
    this.svg.setAttribute("aria-label", `${this.title}, the last minute: now ${this.format(value)}, at most ${this.format(Math.max(...this.#values))}`);
  }
}

/** Rounds up to the next of 1, 2, 5, 10, 20 and so on. */
function decimal(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

/** Rounds up to the next power of two, at least 1024. */
function binary(value) {
  return 2 ** Math.ceil(Math.log2(Math.max(value, 1024)));
}

const charts = {
  requests: new Chart(find("chart-requests"), (value) => number.format(Math.round(value)), decimal),
  connections: new Chart(find("chart-connections"), (value) => number.format(value), decimal),
  arena: new Chart(find("chart-arena"), bytes, binary),
};

function showWorkers(census) {
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

let previous = null; // the last sample: the number of requests and its time

function showMetrics(census, now) {
  const values = (name) => (census[name] ?? []).map((sample) => sample.value);
  const sum = (name) => values(name).reduce((total, value) => total + value, 0);
  const sumIfAny = (name) => (values(name).length ? sum(name) : null);
  const requests = sum("fleeting_requests_total");
  if (previous && requests >= previous.requests) {
    charts.requests.add(((requests - previous.requests) * 1000) / (now - previous.now));
  }
  previous = { requests, now };
  charts.connections.add(sum("fleeting_connections"));
  const arena = Math.max(0, ...values("fleeting_arena_high_water_bytes"));
  charts.arena.add(arena);
  const rows = [
    ["Connections", sum("fleeting_connections"), sum("fleeting_connections_limit")],
    ["Topics and filters", sum("fleeting_topics"), sum("fleeting_topics_limit")],
    ["Store entries", sumIfAny("fleeting_store_entries"), sumIfAny("fleeting_store_entries_limit")],
    ["Store bytes", sumIfAny("fleeting_store_bytes"), sumIfAny("fleeting_store_bytes_limit"), bytes],
    ["Arena reserved, all workers", sum("fleeting_arena_reserved_bytes"), null, bytes],
    ["Average copied per request", requests ? sum("fleeting_kept_bytes_total") / requests : 0, null, bytes],
    ["Clients", sumIfAny("fleeting_clients"), null],
    ["Clients without a connection", sumIfAny("fleeting_clients_orphaned"), null],
    ["Oldest entry", sumIfAny("fleeting_store_oldest_seconds"), null, age],
    ["Expired entries", sumIfAny("fleeting_store_expired_total"), null],
    ["Refused: store full", sumIfAny("fleeting_store_refused_total"), null],
    ["Refused: stale connection id", sum("fleeting_stale_ids_refused_total"), null],
    ["Refused requests", sum("fleeting_requests_refused_total"), null],
    ["Total requests", requests, null],
  ];
  showWorkers(census);
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

// A tab that becomes visible again shows the current records.
document.onvisibilitychange = () => {
  if (!document.hidden) refresh();
};

let ticks = 0;

async function tick() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/census");
      if (answer.ok) showMetrics(await answer.json(), performance.now());
    } catch {
      previous = null; // the server is unreachable; the next tick tries again
    }
    if (mode !== "fleeting") await refreshLesson();
    ticks += 1;
    // The server publishes nothing when a record expires.
    if (ticks % 15 === 0) fetchSnapshot();
  }
  setTimeout(tick, 1000);
}

showSubscriptions();
openHub();
choose(mode);
tick();
