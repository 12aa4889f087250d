// The page's script: it starts the parts, and keeps the time.

import { find, setText } from "./common.js";
import { fetchRecords, startClients } from "./clients.js";
import { sampleFigures, startFigures } from "./figures.js";
import { refreshGuide, startGuide } from "./guide.js";
import { startTopics } from "./topics.js";

/** Seconds between two snapshots of the records: the server publishes nothing when a record expires. */
const SNAPSHOT = 15;

function showStatus(connected) {
  setText(find("status"), connected ? "Connected" : "Not connected: the server cannot be reached. Trying again");
  find("status").classList.toggle("on", connected);
}

function showCommands(hasMetrics) {
  const here = new URL("./", document.baseURI).href;
  find("commands").textContent = [
    "# Subscribe here, then publish above and see it arrive:",
    `curl -N '${here}topics/news.*'`,
    "# And the other way round:",
    `curl ${here}topics/news.today -H 'Content-Type: text/plain' -d 'it stopped'`,
    `# Who is here,${hasMetrics ? " the figures for Prometheus," : ""} and an echo:`,
    `curl ${here}clients`,
    ...(hasMetrics ? [`curl ${here}metrics`] : []),
    `curl ${here}echo -d 'anything'`,
    "# The comparison in the terminal, with the code of each version:",
    "fleeting lesson --explain",
  ].join("\n");
}

let ticks = 0;

async function tick() {
  // A tab that nobody sees asks for nothing.
  if (!document.hidden) {
    await Promise.all([sampleFigures(), refreshGuide()]);
    ticks += 1;
    if (ticks % SNAPSHOT === 0) fetchRecords();
  }
  setTimeout(tick, 1000);
}

// A tab that becomes visible again shows the current records.
document.onvisibilitychange = () => {
  if (!document.hidden) fetchRecords();
};

showCommands(true);
startGuide();
startClients();
startTopics(showStatus);
startFigures(() => showCommands(false));
tick();
