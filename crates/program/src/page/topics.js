// Topics: the hub's WebSocket, what arrives on it, and what this page publishes.

import { Backoff, find, make, milliseconds, openSocket } from "./common.js";
import { fetchRecords, recordChanged, recordsReachable } from "./clients.js";

const LOG_MAX = 60;
/** Topics of the registry's changes. */
const RECORDS = "clients.";

const subscriptions = new Set(["news.*"]);
const published = new Map(); // when this page published something, by topic and data
let hub = null;
let commands = 0;
const backoff = new Backoff();

const formatData = (data) => (typeof data === "string" ? data : JSON.stringify(data));

function log(name, text, kind = "") {
  const list = find("log");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  list.append(make("li", { class: kind }, make("span", {}, name), make("span", {}, text)));
  while (list.children.length > LOG_MAX) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const say = (text) => log("·", text, "note");

function showSubscriptions() {
  find("subscriptions").replaceChildren(
    ...Array.from(subscriptions, (filter) => {
      const remove = make("button", { type: "button", "aria-label": `Unsubscribe from ${filter}` }, "×");
      remove.onclick = () => command({ unsubscribe: filter, id: "asked" });
      return make("li", {}, make("span", {}, filter), remove);
    }),
  );
}

function command(members) {
  const open = hub?.readyState === WebSocket.OPEN;
  if (open) hub.send(JSON.stringify(members));
  else say("not sent: there is no connection to the server");
  return open;
}

/** Shows a message of a topic, and how long it took if this page published it. */
function showMessage({ topic, data }) {
  const key = JSON.stringify([topic, data]);
  const since = published.get(key);
  published.delete(key);
  log(topic, formatData(data) + (since === undefined ? "" : `  (${milliseconds(performance.now() - since)} after you published it)`));
}

/** A gap: something was published that this page did not receive. */
function showGap(gap) {
  const count = gap.publications ? `${gap.publications} messages` : "messages";
  say(`${count} may be missing: ${gap.reason ?? "this page read too slowly"}`);
  fetchRecords();
}

function receive(message) {
  if (message.id === "records" && message.subscribed) return recordsReachable(true);
  if (message.topic?.startsWith(RECORDS)) return recordChanged(message.topic.slice(RECORDS.length), message.data);
  if (message.topic !== undefined) return showMessage(message);
  if (message.gap) return showGap(message.gap);
  if (message.error) return say(message.error);
  if (message.subscribed) {
    subscriptions.add(message.subscribed);
    if (message.id === "asked") say(`subscribed to ${message.subscribed}: what is published there appears here`);
  }
  if (message.unsubscribed) {
    subscriptions.delete(message.unsubscribed);
    if (message.id === "asked") say(`no longer subscribed to ${message.unsubscribed}`);
  }
  if (message.subscribed || message.unsubscribed) showSubscriptions();
}

/** Opens the hub's WebSocket, and again whenever it ends. Calls `onStatus` with whether it is open. */
export function startTopics(onStatus) {
  const open = () => {
    const socket = openSocket("hub");
    hub = socket;
    socket.onopen = () => {
      backoff.reset();
      onStatus(true);
      // Subscribe before fetching the records, so that no change is missed between the two.
      command({ subscribe: `${RECORDS}*`, slow: "conflate", id: "records" });
      for (const filter of subscriptions) command({ subscribe: filter });
    };
    socket.onmessage = (event) => receive(JSON.parse(event.data));
    socket.onclose = () => {
      onStatus(false);
      recordsReachable(false);
      published.clear();
      setTimeout(open, backoff.delay());
    };
  };
  find("subscribe").onsubmit = (event) => {
    event.preventDefault();
    const filter = find("filter").value.trim();
    if (filter.startsWith(RECORDS)) return say("changes of the registry are shown above");
    command({ subscribe: filter, id: "asked" });
  };
  find("publish").onsubmit = (event) => {
    event.preventDefault();
    let data = find("data").value;
    try {
      data = JSON.parse(data);
    } catch {
      // Not JSON: publish it as text.
    }
    const topic = find("topic").value.trim();
    const covered = Array.from(subscriptions).some((filter) =>
      filter.endsWith("*") ? topic.startsWith(filter.slice(0, -1)) && topic.length >= filter.length : topic === filter);
    if (covered) published.set(JSON.stringify([topic, data]), performance.now());
    if (command({ publish: topic, data, id: ++commands }) && !covered) say(`published to ${topic}; you are not subscribed to it`);
  };
  showSubscriptions();
  open();
}
