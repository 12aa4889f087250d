// The guided comparison: Alice's and Bob's tabs in two frames, and one story that is played in each version.
//
// Every sentence and every cell says what the server reported. The story of a version is played in a room that was not
// used for that version before, so nothing of an earlier play is left.

import { find, make, milliseconds, randomHex, setText, showItems } from "./common.js";
import { Lesson, MODES } from "./lesson.js";
import { recordCard } from "./record.js";

const NAMES = Object.keys(MODES);
/** The time between two steps when all versions are played, so that one can follow. */
const PAUSE = 450;
/** How long a step may take. */
const STEP_LIMIT = 10_000;

const recordOf = (map, name) => map.find((record) => record.stored_key === name);

/**
 * The steps. `run` plays a step and returns a sentence about what was seen, and whether it is wrong. `seen`, if
 * any, goes into the table.
 */
const STEPS = [
  {
    title: "Alice connects",
    about: "Alice’s tab stores her name and opens a WebSocket.",
    async run({ alice, lesson }) {
      await alice.store();
      await alice.connect();
      const map = await lesson.list();
      const record = recordOf(map, "alice");
      return { map, text: `The map has ${map.length === 1 ? "one record" : `${map.length} records`}. Alice’s reads “${record.key}”, and leads to her.` };
    },
  },
  {
    title: "Bob stores his name",
    about: "Bob’s request comes right after Alice’s.",
    row: "Her record reads",
    async run({ bob, lesson }) {
      await bob.store();
      const map = await lesson.list();
      const { key, found, intact } = recordOf(map, "alice");
      const text = intact
        ? "Both records read as they were stored: each is a copy of its own."
        : `Alice’s record now reads “${key}”. Bob’s request was read into the bytes that her record points to` +
          (found ? "." : ", and a lookup of “alice” no longer finds it.");
      return { map, text, wrong: !intact, seen: key };
    },
  },
  {
    title: "Alice leaves, Bob connects",
    about: "Alice’s WebSocket closes. After that Bob opens his.",
    row: "Her record leads to",
    async run({ alice, bob, lesson }) {
      await alice.disconnect();
      await bob.connect();
      const map = await lesson.list();
      const { connection } = recordOf(map, "alice");
      const text = connection === null
        ? "Alice’s record leads to nobody, because she has left. Bob’s connection has an id that was never used before."
        : `Alice’s record now leads to ${connection}. The connection object went back to a pool, and Bob was next.`;
      return { map, text, wrong: connection !== null, seen: connection ?? "nobody" };
    },
  },
  {
    title: "A message to everybody",
    about: "The server sends each client a message, over the connection in its record.",
    row: "Her message reaches",
    async run({ bob, lesson }) {
      await lesson.notify();
      // The map lists Alice first, so a message for her that goes to Bob arrives before his own.
      await bob.received("bob");
      const wrong = bob.messages.includes("alice");
      const text = wrong
        ? "Bob received the message that was meant for Alice."
        : "Bob received his own message and no other. Alice’s reached nobody.";
      return { map: await lesson.list(), text, wrong, seen: wrong ? "bob" : "nobody" };
    },
  },
  {
    title: "Alice is deleted",
    about: "The server is asked to delete the record of “alice”.",
    row: "Deleting her",
    async run({ lesson }) {
      const map = await lesson.remove("alice");
      const wrong = Boolean(recordOf(map, "alice"));
      const text = wrong
        ? "No record was found under “alice”, so hers stays in the map forever: a leak."
        : "Her record was found and deleted.";
      return { map, text, wrong, seen: wrong ? "not found" : "works" };
    },
  },
];

let mode = NAMES[0];
let room = "";
let step = 0; // the number of steps played
let play = 0; // counts what the visitor has asked for; only the latest goes on
let stage = Promise.resolve(null); // the frames' clients and the version, or null if they could not be loaded
const used = new Set(); // rooms and versions that were played
const results = new Map(NAMES.map((name) => [name, new Map()]));

/** Loads a tab into a frame, and returns its client. */
function load(name) {
  const query = new URLSearchParams({ mode, room, name });
  const title = `${name[0].toUpperCase()}${name.slice(1)}’s tab`;
  const frame = make("iframe", { title, src: `tab.html?${query}` });
  find(name).replaceChildren(frame);
  return new Promise((resolve, reject) => {
    frame.onload = () => {
      const { client, document: inner } = frame.contentWindow;
      if (!client) return reject(new Error("the server cannot be reached"));
      new ResizeObserver(() => (frame.style.height = `${inner.documentElement.offsetHeight}px`)).observe(inner.documentElement);
      resolve(client);
    };
  });
}

function showMap(map) {
  find("map-note").hidden = true;
  showItems(find("map"), map.map((record, at) => [String(at), JSON.stringify(record), () => recordCard(record)]));
  if (!map.length) find("map").replaceChildren(make("li", { class: "empty" }, "The map is empty."));
}

function showAll({ alice, bob }, map) {
  showMap(map);
  alice.showMap(map);
  bob.showMap(map);
}

function say(text, wrong = false) {
  setText(find("happened"), text);
  find("happened").classList.toggle("damaged", wrong);
}

function showSteps() {
  find("steps").replaceChildren(
    ...STEPS.map(({ title, about }, at) => {
      const state = at < step ? "done" : at === step ? "next" : "";
      const properties = { class: state, ...(at === step ? { "aria-current": "step" } : {}) };
      return make("li", properties, make("strong", {}, title), make("span", {}, about));
    }),
  );
  const following = NAMES[NAMES.indexOf(mode) + 1];
  const button = find("next");
  if (step < STEPS.length) setText(button, `${step + 1}. ${STEPS[step].title}`);
  else if (following) setText(button, `The same with ${MODES[following].name}`);
  else setText(button, "From the beginning");
}

function showResults() {
  const rows = STEPS.filter(({ row }) => row).map(({ row }) => {
    const cells = NAMES.map((name) => {
      const result = results.get(name).get(row);
      if (!result) return make("td", {}, make("span", { class: "hidden" }, "not played yet"));
      const marks = result.wrong ? [make("span", { class: "hidden" }, " (wrong)")] : [];
      return make("td", { class: result.wrong ? "wrong" : "right" }, result.seen, ...marks);
    });
    return make("tr", {}, make("th", { scope: "row" }, row), ...cells);
  });
  find("results").tBodies[0].replaceChildren(...rows);
}

/** Begins a version from its first step. */
function begin(next) {
  play += 1;
  mode = next;
  if (!room || used.has(`${room} ${mode}`)) room = randomHex(6);
  used.add(`${room} ${mode}`);
  step = 0;
  for (const radio of radios()) radio.checked = radio.value === mode;
  setText(find("about"), `${MODES[mode].name}: ${MODES[mode].about}`);
  find("third").href = `tab.html?${new URLSearchParams({ mode, room, name: "carol" })}`;
  say("");
  showSteps();
  showMap([]);
  showCode();
  const lesson = new Lesson(mode, room);
  stage = Promise.all([load("alice"), load("bob")]).then(
    ([alice, bob]) => ({ alice, bob, lesson, busy: false }),
    (error) => void say(`The two tabs could not be loaded: ${error.message}. Start over to try again.`, true),
  );
}

/** Plays a step, or fails if that takes too long. */
async function timed(run) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("the server does not answer")), STEP_LIMIT)));
  const started = performance.now();
  try {
    return { ...(await Promise.race([run(), late])), took: performance.now() - started };
  } finally {
    clearTimeout(timer);
  }
}

/** Plays the next step. Returns whether it was played. */
async function advance() {
  const mine = stage;
  const on = await mine;
  if (!on || on.busy || mine !== stage || step >= STEPS.length) return false;
  on.busy = true;
  const { run, row } = STEPS[step];
  try {
    const { map, text, wrong = false, seen, took } = await timed(() => run(on));
    if (mine !== stage) return false;
    step += 1;
    showAll(on, map);
    if (row) results.get(mode).set(row, { seen, wrong });
    showResults();
    showSteps();
    say(`${text} (${milliseconds(took)})`, wrong);
    return true;
  } catch (error) {
    if (mine === stage) say(`This step failed: ${error.message}. Start over to try again.`, true);
    return false;
  } finally {
    on.busy = false;
  }
}

async function playAll() {
  for (const name of NAMES) {
    begin(name);
    const current = play;
    for (let at = 0; at < STEPS.length; at += 1) {
      if (!(await advance()) || current !== play) return;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      if (current !== play) return;
    }
  }
  const counts = NAMES.map((name) => {
    const wrong = Array.from(results.get(name).values()).filter((result) => result.wrong).length;
    return `${MODES[name].name}: ${wrong ? `${wrong} of ${results.get(name).size} went wrong` : "nothing went wrong"}`;
  });
  say(`${counts.join(". ")}.`);
}

/** Shows the map as it is now: clients in tabs of their own change it too. */
export async function refreshGuide() {
  const mine = stage;
  const on = await mine;
  if (!on || on.busy || mine !== stage || step === 0) return;
  const before = step;
  try {
    const map = await on.lesson.list();
    if (mine !== stage || on.busy || before !== step) return;
    showAll(on, map);
  } catch {
    find("map-note").hidden = false;
  }
}

async function showCode() {
  if (!find("code").open) return;
  const shown = mode;
  const code = find("code").querySelector("code");
  try {
    const [original, text] = await Promise.all([new Lesson("fiber", room).code(), new Lesson(mode, room).code()]);
    if (shown !== mode) return;
    const known = original.split("\n");
    code.replaceChildren(...text.split("\n").flatMap((line) => [known.includes(line) ? line : make("mark", {}, line), "\n"]));
  } catch (error) {
    code.replaceChildren(`Unknown: ${error.message}.`);
  }
}

const radios = () => Array.from(document.querySelectorAll("input[name=mode]"));

export function startGuide() {
  find("modes").append(
    ...NAMES.map((name) => make("label", {}, make("input", { type: "radio", name: "mode", value: name }), make("span", {}, MODES[name].name))),
  );
  find("results").tHead.rows[0].append(...NAMES.map((name) => make("th", { scope: "col" }, MODES[name].name)));
  for (const radio of radios()) radio.onchange = () => begin(radio.value);
  find("next").onclick = () => {
    if (step >= STEPS.length) return begin(NAMES[(NAMES.indexOf(mode) + 1) % NAMES.length]);
    play += 1; // all versions are no longer played by themselves
    advance();
  };
  find("all").onclick = () => playAll();
  find("again").onclick = () => begin(mode);
  find("code").ontoggle = () => showCode();
  showResults();
  begin(mode);
}
