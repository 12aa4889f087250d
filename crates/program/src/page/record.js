// How a record of the lesson is shown, in the comparison and in a tab.

import { make } from "./common.js";
import { isDamaged, isMisdirected } from "./lesson.js";

/** A record as a list of names and values. A wrong value is marked in words as well as by its colour. */
export function recordLines(record) {
  const line = (name, value, wrong) => [
    make("dt", {}, name),
    make("dd", wrong ? { class: "wrong" } : {}, value, ...(wrong ? [make("span", { class: "hidden" }, " (wrong)")] : [])),
  ];
  const lines = [
    ...line("stored as", record.stored_key),
    ...line("reads now", record.key, !record.intact),
    ...line("lookup", record.found ? "found" : "not found", !record.found),
    ...line("leads to", record.connection ?? "nobody", isMisdirected(record)),
  ];
  return make("dl", { class: "pairs" }, ...lines);
}

export function recordCard(record) {
  const damaged = isDamaged(record);
  const heading = make("div", { class: "title" }, make("h4", {}, `${record.stored_key}’s record`),
    make("span", { class: "tag" }, damaged ? "damaged" : "intact"));
  return make("li", { class: damaged ? "damaged" : "", "data-id": record.stored_key }, heading, recordLines(record));
}
