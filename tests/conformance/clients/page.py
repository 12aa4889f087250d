"""The page in a browser: what a visitor sees at each step of the comparison, in each version, and everything else.

The tests read each tab's document and those of its frames. They check records against the server as well.
"""

import asyncio
import json
import os
import sys
import tempfile

from browser import browsing
from prefix import PrefixProxy
from program import TIMEOUT, Server, certificate, curl

OUTPUT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None

CONNECTED = "document.getElementById('status')?.textContent === 'Connected'"
OWN = "document.getElementById('id').textContent"
IDS = "Array.from(document.querySelectorAll('#records > li[data-id]'), (card) => card.dataset.id)"
VERDICT = "document.getElementById('verdict').textContent"
HAPPENED = "document.getElementById('happened').textContent"
PLAYED = "document.querySelectorAll('#steps .done').length"
WIDTH = "document.documentElement.scrollWidth"

# The versions as the page names them, in its order.
MODES = {"fiber": "Go’s Fiber", "fiber+mutex": "Fiber with a lock", "fiber+copy": "Fiber with copies", "arena": "Fleeting"}

# The contrast ratio of WCAG 2.2 between an element's colour and its background.
CONTRAST = """((selector) => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = parse(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const element = document.querySelector(selector);
    let behind = element;
    while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] === 0)) behind = behind.parentElement;
    const paper = getComputedStyle(behind ?? document.documentElement).backgroundColor;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(paper)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})"""


def card(tab_id, name):
    """A script that returns the named detail of a visitor's card."""
    return f"""(() => {{
        const card = document.querySelector('#records > li[data-id="{tab_id}"]');
        const names = Array.from(card.querySelectorAll('dt'), (name) => name.textContent);
        return card.querySelectorAll('dd')[names.indexOf({json.dumps(name)})].textContent;
    }})()"""


# What a visitor sees of the comparison: both frames, the server's map, and the column of each version in the table.
STAGE = """(() => {
    const pairs = (root) => Object.fromEntries(Array.from(root.querySelectorAll('dt'), (name) => [name.textContent, name.nextElementSibling.textContent]));
    const frame = (name) => {
        const inner = document.querySelector(`#${name} iframe`).contentDocument;
        return {
            name: inner.getElementById('name').innerText,
            status: inner.getElementById('status').innerText,
            record: pairs(inner.getElementById('record')),
            messages: Array.from(inner.querySelectorAll('#messages li'), (item) => item.innerText),
        };
    };
    const rows = Array.from(document.querySelectorAll('#results tr'), (row) => Array.from(row.cells, (cell) => cell.textContent));
    return {
        alice: frame('alice'), bob: frame('bob'),
        map: Array.from(document.querySelectorAll('#map > li[data-id]'), (card) => [card.dataset.id, pairs(card)]),
        table: Object.fromEntries(rows[0].slice(1).map((mode, at) => [mode, rows.slice(1).map((row) => row[at + 1])])),
    };
})()"""


def clients(server):
    return json.loads(curl(f"http://{server.address}/clients"))


async def store(tab, note):
    """Stores a note, using only the keyboard."""
    await tab.focus("#note")
    await retype(tab, note)
    await tab.press("Enter")


async def choose(tab, mode):
    """Moves to the versions with the Tab key, and selects one with the arrow keys."""
    await tab.focus("input[name=mode]:checked")
    for _ in range(5):
        if await tab.value(f"document.activeElement.value === {json.dumps(mode)} && document.activeElement.checked"):
            return
        await tab.press("ArrowRight")
    raise AssertionError(f"the arrow keys do not reach the version {mode}")


def record(reads, stored, leads_to):
    """A record of the comparison as the page shows it."""
    wrong = lambda text, is_wrong: f"{text} (wrong)" if is_wrong else text
    damaged = reads != stored
    return {
        "stored as": stored,
        "reads now": wrong(reads, damaged),
        "lookup": wrong("not found", True) if damaged else "found",
        "leads to": wrong(leads_to, leads_to not in (stored, "nobody")),
    }


async def compare(tab, mode, again=False):
    """Plays each step of a version with the keyboard, and checks what a visitor sees after it. If it was played before, its column is full."""
    borrowed, pooled = mode in ("fiber", "fiber+mutex"), mode != "arena"
    reads, leads_to = "bobce" if borrowed else "alice", "bob" if pooled else "nobody"
    own, late = record("alice", "alice", "alice"), record("bob", "bob", "bob")
    texts = [
        "The map has one record. Alice’s reads “alice”, and leads to her.",
        "Alice’s record now reads “bobce”. Bob’s request was read into the bytes that her record points to, and a lookup of “alice” no longer finds it."
        if borrowed else "Both records read as they were stored: each is a copy of its own.",
        "Alice’s record now leads to bob. The connection object went back to a pool, and Bob was next."
        if pooled else "Alice’s record leads to nobody, because she has left. Bob’s connection has an id that was never used before.",
        "Bob received the message that was meant for Alice."
        if pooled else "Bob received his own message and no other. Alice’s reached nobody.",
        "No record was found under “alice”, so hers stays in the map forever: a leak."
        if borrowed else "Her record was found and deleted.",
    ]
    alices = [own, record(reads, "alice", "alice")] + 3 * [record(reads, "alice", leads_to)]
    bobs = [None, record("bob", "bob", "nobody")] + 3 * [late]
    if not borrowed:
        alices[4] = None
    column = [f"{reads} (wrong)" if borrowed else reads, *2 * [f"{leads_to} (wrong)" if pooled else leads_to],
              "not found (wrong)" if borrowed else "works"]
    await tab.until(f"{PLAYED} === 0 && document.getElementById('next').textContent === '1. Alice connects'")
    for step, text in enumerate(texts):
        await tab.focus("#next")
        await tab.press("Enter")
        await tab.until(f"{PLAYED} === {step + 1} && {HAPPENED}.startsWith({json.dumps(text)})")
        # Each step says how long it took.
        assert await tab.value(f"/ \\([\\d.]+ ms\\)$/.test({HAPPENED})"), await tab.value(HAPPENED)
        seen = await tab.value(STAGE)
        alice, bob = alices[step], bobs[step]
        shown = {"alice": alice or {"record": "none"}, "bob": bob or {"record": "none"}}
        assert {name: seen[name]["record"] for name in shown} == shown, (mode, step, seen)
        assert seen["map"] == [[name, one] for name, one in (("alice", alice), ("bob", bob)) if one], (mode, step, seen)
        assert (seen["alice"]["name"], seen["bob"]["name"]) == ("Alice’s tab", "Bob’s tab"), seen
        states = (seen["alice"]["status"], seen["bob"]["status"])
        assert states == (("connected", "not connected") if step < 2 else ("not connected", "connected")), (mode, step, states)
        received = (["for alice, not for bob!"] if pooled else []) + ["for bob"] if step >= 3 else []
        assert (seen["alice"]["messages"], seen["bob"]["messages"]) == ([], received), (mode, step, seen)
        done = 4 if again else step
        assert seen["table"][MODES[mode]] == column[:done] + ["not played yet"] * (4 - done), (mode, step, seen)


async def on_one_screen(tab):
    """Checks that the steps, both tabs and the map are on one screen of a laptop."""
    await tab.set_screen(1280, 800, "light")
    span = await tab.value("""(() => {
        const boxes = ['steps', 'next', 'happened', 'alice', 'map', 'bob'].map((id) => document.getElementById(id).getBoundingClientRect());
        const frames = boxes.filter((_, at) => at === 3 || at === 5);
        return [Math.max(...boxes.map((box) => box.bottom)) - Math.min(...boxes.map((box) => box.top)), frames[1].left - frames[0].right];
    })()""")
    assert span[0] <= 800 and span[1] > 0, span


async def guided(server, browser, tab):
    """Plays all versions, while another visitor does the same."""
    other = await browser.open(f"http://{server.address}/")
    await other.until(CONNECTED)
    await tab.send("Page.bringToFront")
    for number, mode in enumerate(MODES):
        if number:
            await tab.focus("#next")
            await tab.until(f"document.getElementById('next').textContent === 'The same with {MODES[mode]}'")
            await tab.press("Enter")
            await tab.until(f"document.querySelector('input[name=mode]:checked').value === {json.dumps(mode)}")
        await compare(tab, mode)
        if mode == "fiber":
            await screenshot(tab, "fiber-light", 1280, 900, "light")
            await screenshot(tab, "fiber-dark", 1280, 900, "dark")
            await screenshot(tab, "fiber-phone", 360, 740, "light", True)
            await fits_on_a_phone(tab, "the damage")
            await on_one_screen(tab)
            await readable(tab, "#happened", "#results td.wrong", "#map .damaged .tag", "#map .damaged dt", "#map dd.wrong",
                           "#about", "#steps .done", "#steps .next, #steps li")
            for selector in ("#happened", "#map dd.wrong", "#map .tag", "#results td.wrong"):
                red, green, blue = await tab.value(f"getComputedStyle(document.querySelector({json.dumps(selector)})).color.match(/\\d+/g).map(Number)")
                assert red > 1.5 * green and red > 1.5 * blue, f"{selector} is not red: {red}, {green}, {blue}"
    await tab.value("document.getElementById('code').open = true")
    await tab.until("document.querySelector('#code code').textContent.includes('id.keep()')")
    # Going back to a version, by its name, begins it again. The other visitor plays the same one at the same time.
    await choose(tab, "fiber")
    await other.send("Page.bringToFront")
    await compare(other, "fiber")
    await tab.send("Page.bringToFront")
    await compare(tab, "fiber", again=True)
    # All versions by themselves.
    await tab.focus("#all")
    await tab.press("Enter")
    await tab.until(f"{HAPPENED} === 'Go’s Fiber: 4 of 4 went wrong. Fiber with a lock: 4 of 4 went wrong. Fiber with copies: 2 of 4 went wrong. Fleeting: nothing went wrong.'")
    # A third client, in a real tab, is in the same map. To store again does not part it from its record (finding F9).
    await tab.focus("#third")
    third = await browser.opened_by(lambda: tab.press("Enter"))
    await third.send("Page.bringToFront")
    await third.until("window.client && document.getElementById('map').children.length")
    await third.value("""window.connects = 0; new MutationObserver(() => {
        if (document.getElementById('status').textContent === 'connected') window.connects += 1;
    }).observe(document.getElementById('status'), {childList: true})""")
    for times in (1, 2):
        await third.focus("#join")
        await third.press("Enter")
        await third.until(f"window.connects === {times} && document.getElementById('record').innerText.includes('leads to\\ncarol')")
        await third.focus("#as")
    await third.focus("#send")
    await third.press("Enter")
    await third.until("document.getElementById('messages').textContent === 'for carol'")
    await screenshot(third, "tab", 900, 740, "light")
    await fits_on_a_phone(third, "a tab")
    await tab.send("Page.bringToFront")
    await tab.until("Array.from(document.querySelectorAll('#map > li'), (card) => card.dataset.id).join() === 'bob,carol'")
    assert third.errors == other.errors == [], f"the console shows: {third.errors} {other.errors}"
    for closed in (third, other):
        await closed.close()


async def all_intact(server, tabs, notes):
    """Checks that each tab and the server show the records of all tabs, each with the note its tab stored."""
    ids = [await tab.value(OWN) for tab in tabs]
    assert len(set(ids)) == len(ids), ids
    for tab, own in zip(tabs, ids):
        await tab.until(f"{IDS}.length === {len(ids)}")
        verdict = ["Nobody else is here.", "One other visitor is here."][len(ids) - 1]
        await tab.until(f"{VERDICT} === {json.dumps(verdict)} || {VERDICT} === 'Stored.'")
        assert (await tab.value(IDS))[0] == own, "a tab shows its own record first"
        for other, note in zip(ids, notes):
            await tab.until(f"{card(other, 'note')} === {json.dumps(note)}")
            # The name of a connection says what it means.
            await tab.until(f"/^\\d+(st|nd|rd|th) in slot \\d+ of worker [01] on .+/.test({card(other, 'connection')})")
    records = clients(server)
    assert {key: record["sent"] for key, record in records.items()} == dict(zip(ids, notes)), records
    connections = {record["connection"] for record in records.values()}
    assert len(connections) == len(ids) and None not in connections, records
    return ids


async def screenshot(tab, name, *screen):
    if OUTPUT:
        os.makedirs(OUTPUT, exist_ok=True)
        await tab.screenshot(f"{OUTPUT}/{name}.png", *screen)
    else:
        await tab.set_screen(*screen)


async def fits_on_a_phone(tab, name):
    """Checks that nothing is wider than a phone's screen."""
    for width in (360, 320):
        await tab.set_screen(width, 740, "light", True)
        assert await tab.value(WIDTH) <= width, f"{name} is {await tab.value(WIDTH)} pixels wide on a screen of {width}"


async def readable(tab, *selectors):
    """Checks the contrast of these elements in the light and the dark scheme."""
    for scheme in ("light", "dark"):
        await tab.set_screen(1280, 900, scheme)
        for selector in selectors:
            contrast = await tab.value(f"{CONTRAST}({json.dumps(selector)})")
            assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.2f} in the {scheme} scheme; at least 4.5 is required"


async def reachable_by_keyboard(tab):
    """Checks that the Tab key reaches every control, and that each has a name and a visible focus."""
    controls = await tab.value("""Array.from(document.querySelectorAll('a[href], button, input, summary, [tabindex]'))
        .filter((e) => e.checkVisibility() && !e.disabled && !(e.type === 'radio' && !e.checked)).length""")
    assert controls > 10, controls
    seen = set()
    # One full round from the current focus. The document itself and the two frames are extra steps.
    for _ in range(controls + 4):
        await tab.press("Tab")
        element = await tab.value("""(() => {
            const e = document.activeElement;
            if (e === document.body || e.tagName === 'IFRAME') return null;
            const style = getComputedStyle(e.type === 'radio' ? e.nextElementSibling : e);
            const labelled = document.getElementById(e.getAttribute('aria-labelledby'));
            const name = e.labels?.[0]?.textContent || e.getAttribute('aria-label') || labelled?.textContent || e.textContent;
            return [e.outerHTML, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, name.trim()];
        })()""")
        if element:
            html, outlined, name = element
            assert outlined and name, html
            seen.add(html)
    assert len(seen) == controls, f"there are {controls} controls, but the Tab key reaches only {seen}"


async def retype(tab, text):
    """Replaces the text of the focused field."""
    await tab.value("document.activeElement.select()")
    await tab.type(text)


async def topics(server, one, two):
    """Publishes and subscribes in one tab, and checks that the page shows stored and published markup as text."""
    await one.focus("#topic")
    await retype(one, "news.local")
    await one.press("Tab")
    await retype(one, '{"rain": [1, 2]}')
    await one.press("Enter")
    for tab in (one, two):
        await tab.until("document.getElementById('log').lastChild?.textContent.startsWith('news.local{\"rain\":[1,2]}')")
    # The tab that published it says how long it took.
    assert await one.value("/\\([\\d.]+ ms after you published it\\)$/.test(document.getElementById('log').lastChild.textContent)")
    # The page must show everything stored or published as text.
    evil = "<img src=x onerror='window.evil = true'><script>window.evil = true</script>"
    for url, extra in (("topics/news.evil", []), ("clients", ["-H", f"X-Id: {evil.replace('/', '')}"])):
        curl("-H", "Content-Type: text/plain", *extra, "-d", evil, f"http://{server.address}/{url}")
    for tab in (one, two):
        await tab.until(f"document.getElementById('log').lastChild?.textContent.endsWith({json.dumps(evil)})")
        await tab.until(f"{IDS}.length === 3")
        assert await tab.value("window.evil === undefined && document.images.length === 0")
    evil_ids = [key for key in clients(server) if key.startswith("<")]
    path = "".join(f"%{byte:02X}" for byte in evil_ids[0].encode())
    curl("-X", "DELETE", f"http://{server.address}/clients/{path}")
    for tab in (one, two):
        await tab.until(f"{IDS}.length === 2")
    # Subscribe to another topic, and unsubscribe.
    await one.focus("#filter")
    await retype(one, "weather")
    await one.press("Enter")
    await one.until("document.querySelectorAll('#subscriptions li').length === 2")
    await one.until("document.getElementById('log').lastChild.textContent.includes('subscribed to weather: what is published there appears here')")
    await one.focus("[aria-label='Unsubscribe from weather']")
    await one.press(" ")
    await one.until("document.querySelectorAll('#subscriptions li').length === 1")


async def metrics(tab):
    """Checks that the page draws the charts, the round trip among them, and lists what the server reports."""
    for chart in ("latency", "requests", "connections"):
        await tab.until(f"(document.querySelector('#chart-{chart} .curve')?.getAttribute('d') ?? '').includes('L')")
        await tab.until(f"/, the last minute: now \\d/.test(document.querySelector('#chart-{chart} svg').getAttribute('aria-label'))")
    await tab.until("/^· [\\d.]+ ms round trip$/.test(document.getElementById('latency').textContent)")
    await tab.until("/median [\\d.]+ ms, worst [\\d.]+ ms/.test(document.getElementById('figures-note').textContent)")
    row = "Array.from(document.querySelectorAll('#census > div')).find((row) => row.firstChild.textContent === '{}')"
    await tab.until(f"/^\\d+ of [\\d,]+$/.test({row.format('Connections')}.children[1].textContent)")
    await tab.until(f"{row.format('Workers')}.children[1].textContent === '2'")


async def documents(server, tab):
    """Checks that every link of the page leads somewhere."""
    links = await tab.value("Array.from(document.querySelectorAll('a[href]'), (link) => link.href)")
    assert len(links) >= 8, links
    for link in set(links):
        status = curl("-o", os.devnull, "-w", "%{http_code}", link)
        assert status == b"200", (link, status)
    assert "# The lesson" in curl(f"http://{server.address}/docs/lesson.md").decode()


async def publishes(tab):
    """Publishes what the page proposes, and waits until it has come back."""
    await tab.until(f"{IDS}.length >= 1")
    await tab.focus("#topic")
    await tab.press("Enter")
    await tab.until("document.getElementById('log').lastChild?.textContent.startsWith('news.todayit is raining')")
    await tab.until("/^· [\\d.]+ ms round trip$/.test(document.getElementById('latency').textContent)")


async def below_a_prefix(server, browser):
    """Opens the page below a path, as behind a proxy, and plays a version there (finding F12)."""
    async with PrefixProxy(server.port, "/demo") as proxy:
        tab = await browser.open(f"http://{proxy.address}/demo/")
        await tab.until(CONNECTED)
        await compare(tab, "fiber")
        await publishes(tab)
        # Links and commands name the prefix.
        links = await tab.value("Array.from(document.querySelectorAll('a[href]'), (link) => new URL(link.href).pathname)")
        assert all(path.startswith("/demo/") for path in links), links
        assert f"curl http://{proxy.address}/demo/clients" in await tab.value("document.getElementById('commands').textContent")
        await screenshot(tab, "prefix", 1280, 900, "light")
        assert tab.errors == [], f"the console shows: {tab.errors}"
        await tab.close()


async def over_tls(folder, browser):
    """Opens the page over TLS: nothing of it is loaded, or connects, in plain text."""
    with Server(*certificate(folder)) as server:
        # The certificate is its own authority. curl, which trusts it, has tests of its own.
        tab = await browser.open(f"https://localhost:{server.port}/", any_certificate=True)
        await tab.until(CONNECTED)
        assert await tab.value("location.protocol + isSecureContext") == "https:true"
        loaded = await tab.value("performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert len(loaded) >= 3 and all(url.startswith(f"https://localhost:{server.port}/") for url in loaded), loaded
        await compare(tab, "fiber")
        await publishes(tab)
        assert f"curl https://localhost:{server.port}/clients" in await tab.value("document.getElementById('commands').textContent")
        await screenshot(tab, "tls", 1280, 900, "light")
        assert tab.errors == [], f"the console shows: {tab.errors}"
        await tab.close()


async def unknown(tab):
    """Checks that the page says that it does not know, while the server is down (finding F10)."""
    await tab.until(f"!({CONNECTED})")
    await tab.until(f"/^The server cannot be reached. Who is here now is unknown; this was the list at \\d\\d:\\d\\d:\\d\\d.$/.test({VERDICT})")
    for chart in ("latency", "requests", "connections"):
        await tab.until(f"document.querySelector('#chart-{chart} output').textContent === 'unknown'")
    await tab.until("document.getElementById('census').innerText === '' || document.getElementById('census').textContent.includes('unknown')")
    await tab.until("document.getElementById('latency').textContent === ''")
    await tab.until("!document.getElementById('map-note').hidden")
    await screenshot(tab, "down", 1280, 900, "light")


async def without_figures(server, browser):
    """Opens the page of a server whose figures have an address of their own, and checks that it does not ask for them again."""
    tab = await browser.open(f"http://{server.address}/")
    await tab.until(CONNECTED)
    await tab.until("document.getElementById('census').textContent === 'All figuresnot served at this address'")
    assert await tab.value("['requests', 'connections'].every((name) => document.getElementById(`chart-${name}`).hidden)")
    assert "/metrics" not in await tab.value("document.getElementById('commands').textContent")
    latency = "document.querySelector('#chart-latency svg').getAttribute('aria-label')"
    await tab.until(f"/now \\d/.test({latency})")
    # Another second, another round trip.
    await tab.until("/, ([2-9]|\\d\\d) in all\\. /.test(document.getElementById('figures-note').textContent)")
    assert len(tab.errors) == 1 and "/census" in tab.errors[0][1], tab.errors
    await tab.close()


async def browse(profile):
    async with browsing(profile) as browser:
        with Server("--workers", "2") as server:
            await visit(server, browser)
        with Server("--admin-listen", "127.0.0.1:0") as server:
            await without_figures(server, browser)
        with tempfile.TemporaryDirectory() as folder:
            await over_tls(folder, browser)


async def visit(server, browser):
    one = await browser.open(f"http://{server.address}/")
    await one.until(CONNECTED)
    await one.until(f"{VERDICT} === 'Nobody else is here.'")
    lead = await one.value("document.querySelector('.lead').innerText")
    assert lead.startswith("Fleeting is an HTTP and WebSocket server written in Rust."), lead
    await screenshot(one, "start", 1280, 900, "light")
    await documents(server, one)
    await guided(server, browser, one)
    await one.focus("#second")
    two = await browser.opened_by(lambda: one.press("Enter"))
    await two.until(CONNECTED)
    await all_intact(server, (one, two), ("hello", "hello"))
    notes = ("the first tab's", "the second's – €, “quoted”")
    for tab, note in zip((one, two), notes):
        await tab.send("Page.bringToFront")
        await store(tab, note)
    before = await all_intact(server, (one, two), notes)
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await tab.reload()
        await tab.until(CONNECTED)
    assert await all_intact(server, (one, two), notes) == before, "a tab's name survives a reload"
    await one.send("Page.bringToFront")
    await compare(one, "fiber")
    await topics(server, one, two)
    await metrics(one)
    await screenshot(one, "light", 1280, 900, "light")
    await screenshot(one, "dark", 1280, 900, "dark")
    await screenshot(one, "phone", 360, 740, "light", True)
    await screenshot(one, "phone-dark", 360, 740, "dark", True)
    await fits_on_a_phone(one, "the page")
    await readable(one, "body", ".lead", "#status", "#latency", "#about", "#happened", "#verdict", ".tag", "dt", "dd", "a",
                   "button.first", "#all", "#modes input:checked + span", "#modes input:not(:checked) + span", "label", "th", "td.wrong",
                   "caption", "summary", "pre", "#log li > :first-child", "figcaption", "figcaption output", ".plot .top")
    await one.set_screen(1280, 900, "light")
    await reachable_by_keyboard(one)
    await below_a_prefix(server, browser)
    # When one tab is closed, its record is deleted and the other stays.
    await one.send("Page.bringToFront")
    await two.close()
    await one.until(f"{IDS}.length === 1")
    await all_intact(server, (one,), notes[:1])
    await one.focus("#second")
    two = await browser.opened_by(lambda: one.press("Enter"))
    await two.until(CONNECTED)
    # A tab with a copied name replaces the original tab, which says so and can take a new name.
    await two.value(f"sessionStorage.setItem('id', {json.dumps(before[0])})")
    await two.send("Page.bringToFront")
    await two.reload()
    await two.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Another tab uses your name now')")
    await one.focus("#save")
    await one.press("Enter")
    await all_intact(server, (one, two), (notes[0], "hello"))
    # After a restart of the server both tabs reconnect.
    assert one.errors == two.errors == [], f"the console shows: {one.errors} {two.errors}"
    server.stop()
    await unknown(one)
    with Server("--workers", "2", port=server.port) as server:
        for tab in (one, two):
            await tab.send("Page.bringToFront")
            await tab.until(CONNECTED)
        await all_intact(server, (one, two), (notes[0], "hello"))
        # The only errors in the console are failed connections while the server was down.
        others = [error for tab in (one, two) for error in tab.errors if "net::ERR_" not in error[1]]
        assert others == [], f"the console shows: {others}"


def the_page_shows_each_step_in_each_version():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        asyncio.run(asyncio.wait_for(browse(profile), 8 * TIMEOUT))
