// What all parts of the page share. Everything that clients have stored or published is shown as text: elements are
// created by name and their text is set, never markup. Addresses are relative to the document, so that the page works
// below any path.

export const find = (id) => document.getElementById(id);

/** Creates an element with properties and children. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Sets the text of an element, unless it is the same: a live region would be read again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Opens a WebSocket at a path relative to the document. */
export function openSocket(path) {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url);
}

/** Fetches a path relative to the document. An answer that is not a success is an error with the server's sentence. */
export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server cannot be reached");
  }
  if (!answer.ok) throw new Error((await answer.text()) || `status ${answer.status}`);
  return answer;
}

/** Returns this many random bytes in hexadecimal digits. */
export function randomHex(count) {
  return Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const number = new Intl.NumberFormat("en");
export const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Formats a duration in milliseconds. */
export function milliseconds(time) {
  return `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
}

/** Delays between attempts to reconnect: exponential, with jitter. */
export class Backoff {
  #failures = 0;
  delay() {
    this.#failures += 1;
    return Math.min(5000, 250 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
  }
  reset() {
    this.#failures = 0;
  }
}

/** Keeps a list on the screen without replacing what has not changed, so that the focus and a selection survive. */
export function showItems(list, items) {
  const wanted = items.map(([key, text, build]) => {
    const old = Array.from(list.children).find((child) => child.dataset.key === key && child.dataset.text === text);
    if (old) return old;
    const element = build();
    [element.dataset.key, element.dataset.text] = [key, text];
    return element;
  });
  if (wanted.length !== list.children.length || wanted.some((child, at) => child !== list.children[at])) {
    list.replaceChildren(...wanted);
  }
}
