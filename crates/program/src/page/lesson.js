// The lesson's routes, as a client of one version in one room uses them. docs/lesson.md describes them.

import { ask, openSocket } from "./common.js";

/** The versions, in the order of the comparison. */
export const MODES = {
  "fiber": {
    name: "Go’s Fiber",
    about: "The handler stores the text that the request lends it. That text lies in a buffer, and the next request is read into the same buffer.",
  },
  "fiber+mutex": {
    name: "Fiber with a lock",
    about: "The same, with a lock around the map. But nobody takes the lock to read the next request into the buffer.",
  },
  "fiber+copy": {
    name: "Fiber with copies",
    about: "Every text is copied before it is stored. A connection is not a text: it is an object that a pool hands to the next client.",
  },
  "arena": {
    name: "Fleeting",
    about: "Text from a request cannot be stored without a copy: the compiler refuses. A connection is stored as an id that is never used again.",
  },
};

export class Lesson {
  constructor(mode, room) {
    [this.mode, this.room] = [mode, room];
  }

  path(rest, query = "") {
    return `lesson/${encodeURIComponent(this.mode)}/${rest}?room=${encodeURIComponent(this.room)}${query}`;
  }

  /** Returns all records of the map. */
  async list() {
    return (await ask(this.path("clients"))).json();
  }

  /** Stores a client under its name, and returns the map. */
  async store(name) {
    return (await ask(this.path("clients"), { method: "POST", headers: { "X-Id": name } })).json();
  }

  /** Deletes a client by its name, and returns the map. */
  async remove(name) {
    return (await ask(this.path(`clients/${encodeURIComponent(name)}`, "&then=list"), { method: "DELETE" })).json();
  }

  /** Clears the map. */
  async clear() {
    await ask(this.path("clients"), { method: "DELETE" });
  }

  /** Sends a message to the connection of each record. */
  async notify() {
    await ask(this.path("messages"), { method: "POST" });
  }

  /** Opens the WebSocket of a client. */
  socket(name) {
    return openSocket(this.path("ws", `&id=${encodeURIComponent(name)}`));
  }

  /** Returns the code of the version. */
  async code() {
    return (await ask(this.path("code"))).text();
  }
}

export const isMisdirected = (record) => record.connection !== null && record.connection !== record.stored_key;
export const isDamaged = (record) => !record.intact || !record.found || isMisdirected(record);
