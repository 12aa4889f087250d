// The server's figures: three charts of the last minute, and a list for those who want more.
//
// A figure that is not known is shown as unknown, never as zero or as it was.

import { Backoff, find, make, milliseconds, number, openSocket, setText } from "./common.js";

const SAMPLES_MAX = 60;
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}

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

/** Rounds up to the next of 1, 2, 5, 10, 20 and so on. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((digit) => digit * power).find((top) => top >= value) ?? 10 * power;
}

/** A line chart of the last minute. A value that is not known is a gap in the line. */
class Chart {
  #values = [];
  constructor(figure, format) {
    this.format = format;
    this.output = figure.querySelector("output");
    this.title = figure.querySelector("span").textContent;
    const plot = make("div", { class: "plot" });
    this.top = make("span", { class: "top", "aria-hidden": "true" });
    this.svg = shape("svg", { viewBox: "0 0 600 88", preserveAspectRatio: "none", role: "img", "aria-label": `${this.title}: unknown` }, plot);
    const fixed = { "vector-effect": "non-scaling-stroke" };
    shape("line", { class: "grid", x1: 0, x2: 600, y1: 8, y2: 8, ...fixed }, this.svg);
    this.curve = shape("path", { class: "curve", ...fixed }, this.svg);
    plot.append(this.top);
    figure.append(plot);
  }

  /** Adds the value of this second, or null if it is not known. */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > SAMPLES_MAX) this.#values.shift();
    const known = this.#values.filter((one) => one !== null);
    const most = Math.max(0, ...known);
    const top = ceiling(most);
    const x = (at) => (600 - (this.#values.length - 1 - at) * (600 / (SAMPLES_MAX - 1))).toFixed(1);
    const y = (one) => (88 - (one / top) * 80).toFixed(1);
    let path = "";
    this.#values.forEach((one, at) => {
      if (one !== null) path += `${at && this.#values[at - 1] !== null ? "L" : "M"}${x(at)},${y(one)}`;
    });
    this.curve.setAttribute("d", path);
    this.top.textContent = known.length ? this.format(top) : "";
    const now = value === null ? "unknown" : this.format(value);
    setText(this.output, now);
    this.svg.setAttribute("aria-label", `${this.title}, the last minute: now ${now}${known.length ? `, at most ${this.format(most)}` : ""}`);
  }

  /** Returns the middle and the largest of the known values, or null if there are none. */
  summary() {
    const known = this.#values.filter((one) => one !== null).sort((a, b) => a - b);
    return known.length ? { median: known[known.length >> 1], worst: known[known.length - 1], count: known.length } : null;
  }
}

const charts = {
  latency: new Chart(find("chart-latency"), milliseconds),
  requests: new Chart(find("chart-requests"), (value) => number.format(Math.round(value))),
  connections: new Chart(find("chart-connections"), (value) => number.format(value)),
};

// ---------------------------------------------------------------- the round trip, over the echo of /ws

let echo = null;
let sent = null; // when the last message left, or null if it came back
let roundTrip = null;
const backoff = new Backoff();

function openEcho() {
  const socket = openSocket("ws");
  echo = socket;
  socket.onopen = () => {
    backoff.reset();
    ping();
  };
  socket.onmessage = () => {
    roundTrip = performance.now() - sent;
    sent = null;
    setText(find("latency"), `· ${milliseconds(roundTrip)} round trip`);
  };
  socket.onclose = () => {
    [echo, sent, roundTrip] = [null, null, null];
    setText(find("latency"), "");
    setTimeout(openEcho, backoff.delay());
  };
}

function ping() {
  if (echo?.readyState !== WebSocket.OPEN || sent !== null) return;
  sent = performance.now();
  echo.send("ping");
}

// ---------------------------------------------------------------- the census

let previous = null; // the number of requests and the time of the last sample
let onNoCensus = () => {}; // called when the census turns out to be served elsewhere; null from then on

function hideCensus() {
  onNoCensus();
  onNoCensus = null;
  for (const id of ["chart-requests", "chart-connections", "census-links"]) find(id).hidden = true;
  showRows([["All figures", "not served at this address"]]);
}

function showCensus(census, now) {
  const values = (name) => (census[name] ?? []).map((sample) => sample.value);
  const sum = (name) => values(name).reduce((total, value) => total + value, 0);
  const sumIfAny = (name) => (values(name).length ? sum(name) : null);
  const requests = sum("fleeting_requests_total");
  const elapsed = previous && requests >= previous.requests ? now - previous.now : 0;
  charts.requests.add(elapsed ? ((requests - previous.requests) * 1000) / elapsed : null);
  charts.connections.add(sum("fleeting_connections"));
  previous = { requests, now };
  const of = (value, limit, format = number.format) => (value === null ? null : limit ? `${format(value)} of ${format(limit)}` : format(value));
  const rows = [
    ["Requests since the start", number.format(requests)],
    ["Requests refused", number.format(sum("fleeting_requests_refused_total"))],
    ["Connections", of(sum("fleeting_connections"), sum("fleeting_connections_limit"))],
    ["Topics and filters", of(sum("fleeting_topics"), sum("fleeting_topics_limit"))],
    ["Entries in the store", of(sumIfAny("fleeting_store_entries"), sumIfAny("fleeting_store_entries_limit"))],
    ["Bytes in the store", of(sumIfAny("fleeting_store_bytes"), sumIfAny("fleeting_store_bytes_limit"), bytes)],
    ["Oldest entry", of(sumIfAny("fleeting_store_oldest_seconds"), null, age)],
    ["Most memory one request has used", bytes(Math.max(0, ...values("fleeting_arena_high_water_bytes")))],
    ["Bytes copied out of a request, on average", bytes(requests ? sum("fleeting_kept_bytes_total") / requests : 0)],
    ["Workers", number.format(values("fleeting_connections").length)],
  ];
  showRows(rows.filter(([, value]) => value !== null));
}

function showRows(rows) {
  find("census").replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** Samples everything once. */
export async function sampleFigures() {
  charts.latency.add(roundTrip);
  roundTrip = null;
  ping();
  const summary = charts.latency.summary();
  setText(find("figures-note"), summary
    ? `Round trips in the last minute, measured by this tab over a WebSocket: median ${milliseconds(summary.median)}, worst ${milliseconds(summary.worst)}, ${summary.count} in all. This page itself causes some of the requests.`
    : "Round trips in the last minute: unknown.");
  if (!onNoCensus) return;
  try {
    const answer = await fetch("census");
    if (answer.status === 404) return hideCensus();
    if (!answer.ok) throw new Error(String(answer.status));
    showCensus(await answer.json(), performance.now());
  } catch {
    previous = null;
    charts.requests.add(null);
    charts.connections.add(null);
    showRows([["All figures", "unknown: the server does not answer"]]);
  }
}

/** Starts the parts. `noCensus` is called if the figures have an address of their own (`--admin-listen`). */
export function startFigures(noCensus) {
  onNoCensus = noCensus;
  openEcho();
}
