"""Ten tabs of a browser on one origin, over TLS: ten event streams and two WebSockets share one HTTP/2 connection.

Over HTTP/1.1 a browser opens six connections to an origin, so the seventh event stream waits for one of the others to end.
"""

import asyncio
import hashlib
import json
import os
import re
import tempfile

from browser import browsing
from program import TIMEOUT, Server, certificate, publish, subscribed

TABS = 10

PAGE = """<!doctype html><meta charset="utf-8"><title>events</title><p id="opens">0</p><ul id="events"></ul><script>
let opens = 0;
const events = new EventSource("/topics/news.*");
events.onopen = () => { document.getElementById("opens").textContent = opens += 1; };
events.onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = JSON.parse(event.data).data;
    document.getElementById("events").append(item);
};
function connect() {
    return new Promise((resolve, reject) => {
        window.socket = new WebSocket(`wss://${location.host}/ws`);
        socket.onopen = () => resolve(true);
        socket.onerror = () => reject(new Error("no WebSocket"));
    });
}
function echo(text) {
    return new Promise((resolve) => {
        socket.onmessage = (event) => resolve(event.data === text);
        socket.send(text);
    });
}
const content = async (path, options) => new Uint8Array(await (await fetch(path, options)).arrayBuffer());
const same = (one, other) => one.length === other.length && one.every((octet, at) => octet === other[at]);
</script>"""

# What a page can do with requests, while the streams of all tabs are open. Each must return true.
REQUESTS = {
    "a POST of a megabyte": """(async () => {
        const sent = new Uint8Array(1_000_000).map((_, at) => at * at >> 7);
        return same(await content("/echo", {method: "POST", body: sent}), sent);
    })()""",
    "HEAD": """(async () => {
        const answer = await fetch("/data.bin", {method: "HEAD"});
        return answer.status === 200 && answer.headers.get("content-length") === "3000000" && (await answer.text()) === "";
    })()""",
    "404": """fetch("/nothing").then((answer) => answer.status === 404)""",
    "requests at once": """(async () => {
        const file = await content("/data.bin?first");
        const files = await Promise.all(Array.from({length: 40}, (_, number) => content(`/data.bin?${number}`)));
        return file.length === 3_000_000 && files.every((other) => same(other, file));
    })()""",
    "cancelled requests": """(async () => {
        for (let number = 0; number < 20; number += 1) {
            const stop = new AbortController();
            const answer = await fetch(`/data.bin?cancelled${number}`, {signal: stop.signal});
            await answer.body.getReader().read();
            stop.abort();
        }
        return (await content("/plaintext")).length === 13;
    })()""",
}

# The protocol of the document, and of everything it has fetched.
PROTOCOLS = """[...new Set([...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map((entry) => entry.nextHopProtocol))].join()"""


async def figure(tab, name):
    """Asks the server for a figure, through the tab: its question takes no connection of its own."""
    metrics = await tab.value("fetch('/metrics').then((answer) => answer.text())")
    return sum(int(count) for count in re.findall(rf"(?m)^{name}(?:\{{[^}}]*\}})? (\d+)$", metrics))


def established(server):
    """Counts the server's connections, as the kernel knows them."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        sockets = [line.split() for line in file.readlines()[1:]]
    # The second column is the local address, the fourth the state.
    return sum(socket[1].endswith(f":{server.port:04X}") and socket[3] == "01" for socket in sockets)


async def all_receive(tabs, server, text):
    await asyncio.to_thread(publish, server, "news.today", text)
    for tab in tabs:
        await tab.until(f"document.getElementById('events').lastChild?.textContent === {json.dumps(text)}")


async def browse(folder):
    public = f"{folder}/public"
    os.mkdir(public)
    with open(f"{public}/index.html", "w", encoding="utf-8") as file:
        file.write(PAGE)
    data = os.urandom(3_000_000)
    with open(f"{public}/data.bin", "wb") as file:
        file.write(data)
    flags = ["--files", public, "--workers", "2", *certificate(folder)]
    async with browsing(f"{folder}/profile") as browser:
        with Server(*flags) as server:
            tabs = [await browser.open(f"{server.origin}/", any_certificate=True) for _ in range(TABS)]
            for tab in tabs:
                await tab.until("document.getElementById('opens').textContent === '1'")
            await asyncio.to_thread(subscribed, server, "news.*", TABS)
            for number in range(3):
                await all_receive(tabs, server, f"line {number}")
            for tab in tabs[:2]:
                assert await tab.value("connect()")
            await echoes(tabs[:2])
            for name, script in REQUESTS.items():
                assert await tabs[3].value(script), name
            digest = "content('/data.bin').then((got) => crypto.subtle.digest('SHA-256', got)).then((sum) => Array.from(new Uint8Array(sum)))"
            assert bytes(await tabs[4].value(digest)) == hashlib.sha256(data).digest()
            # No other stream was harmed.
            await echoes(tabs[:2])
            await all_receive(tabs, server, "the last line")
            for tab in tabs:
                assert await tab.value(PROTOCOLS) == "h2", await tab.value(PROTOCOLS)
            assert await figure(tabs[5], "fleeting_websockets_opened_total") == 2
            assert established(server) == 1, f"{established(server)} connections"
            server.stop()
        # The browser connects again, as often as it needs to.
        with Server(*flags, port=server.port) as server:
            for tab in tabs:
                await tab.until("document.getElementById('opens').textContent === '2'")
            await all_receive(tabs, server, "after the restart")


async def echoes(tabs):
    for tab in tabs:
        for script in ("echo('hello')", "echo('€'.repeat(100_000))"):
            assert await tab.value(script), script


def ten_tabs_share_one_connection():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(asyncio.wait_for(browse(folder), 4 * TIMEOUT))
