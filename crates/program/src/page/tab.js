// One client of the lesson, in a frame of the comparison or in a tab of its own:
// tab.html?mode=MODE&room=ROOM&name=NAME. In a frame, the comparison calls `window.client`.

import { find, make, setText, showItems } from "./common.js";
import { Lesson, MODES, isDamaged } from "./lesson.js";
import { recordCard, recordLines } from "./record.js";

const given = new URLSearchParams(location.search);
const alone = window.parent === window;
const mode = given.get("mode") in MODES ? given.get("mode") : "fiber";
const lesson = new Lesson(mode, given.get("room") || "lobby");

class Client {
  name = "";
  messages = [];
  #socket = null;
  #waiting = [];

  /** Shows the name of the client, which has stored nothing yet. */
  become(name) {
    this.name = name;
    setText(find("name"), `${name[0].toUpperCase()}${name.slice(1)}’s tab`);
    document.title = `${name} – Fleeting`;
    this.show(undefined);
  }

  /** Stores the name. A stored record has no connection, so one that is open ends first. */
  async store() {
    await this.disconnect();
    const map = await lesson.store(this.name);
    this.showMap(map);
    return map;
  }

  /** Opens the WebSocket. Its first message says that the server has it. */
  connect() {
    this.#say("connecting");
    return new Promise((resolve, reject) => {
      const socket = lesson.socket(this.name);
      this.#socket = socket;
      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        if (message.for !== undefined) return this.#receive(message.for);
        this.#say("connected");
        this.refresh().then(resolve, reject);
      };
      socket.onclose = () => {
        if (this.#socket !== socket) return;
        this.#socket = null;
        this.#say("not connected");
        reject(new Error(`${this.name}’s connection has ended`));
      };
    });
  }

  /** Closes the WebSocket, and waits until the server has noticed. */
  async disconnect() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.close();
    await closed;
    this.#say("not connected");
    // The server answers the close first, and forgets the connection after that. Another tab of this name may be open.
    for (let tries = 0; tries < 50; tries += 1) {
      const map = await lesson.list();
      this.showMap(map);
      if (!map.some((record) => record.stored_key === this.name && record.connection === this.name)) break;
    }
  }

  /** Waits until a message for this name has arrived here. */
  received(name) {
    if (this.messages.includes(name)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push([name, resolve]));
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  async refresh() {
    this.showMap(await lesson.list());
  }

  showMap(map) {
    this.show(map.findLast((record) => record.stored_key === this.name));
    if (alone) {
      showItems(find("map"), map.map((record, at) => [String(at), JSON.stringify(record), () => recordCard(record)]));
      if (!map.length) find("map").replaceChildren(make("li", { class: "empty" }, "The map is empty."));
    }
  }

  show(record) {
    const own = record ? recordLines(record) : make("dl", {}, make("dt", {}, "record"), make("dd", {}, "none"));
    find("record").replaceChildren(...own.children);
    document.body.classList.toggle("damaged", Boolean(record && isDamaged(record)));
  }

  #receive(name) {
    this.messages.push(name);
    const mine = name === this.name;
    find("messages").append(make("li", mine ? {} : { class: "wrong" }, mine ? `for ${name}` : `for ${name}, not for ${this.name}!`));
    while (find("messages").children.length > 20) find("messages").firstChild.remove();
    this.#waiting = this.#waiting.filter(([wanted, resolve]) => wanted !== name || resolve());
  }

  #say(text) {
    setText(find("status"), text);
    find("status").classList.toggle("on", text === "connected");
    find("join").textContent = text === "connected" ? "Store again and reconnect" : "Store and connect";
    find("leave").hidden = text !== "connected";
  }
}

const client = new Client();
window.client = client;
client.become(given.get("name")?.slice(0, 32) || "carol");
document.body.classList.toggle("framed", !alone);

if (alone) {
  find("as").value = client.name;
  find("about").textContent = `${MODES[mode].name}: ${MODES[mode].about}`;
  const attempt = async (act) => {
    try {
      await act();
    } catch (error) {
      setText(find("status"), error.message);
    }
  };
  find("me").onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      await client.disconnect();
      client.become(find("as").value);
      await client.store();
      await client.connect();
    });
  };
  find("leave").onclick = () => attempt(() => client.disconnect());
  find("send").onclick = () => attempt(() => lesson.notify());
  // The map publishes no changes, so it is asked again.
  const poll = async () => {
    if (!document.hidden) {
      await client.refresh().catch(() => find("map").replaceChildren(make("li", { class: "empty" }, "Unknown: the server cannot be reached.")));
    }
    setTimeout(poll, 1000);
  };
  poll();
}
