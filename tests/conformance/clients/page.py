"""The page in a browser: the records of two tabs stay intact, until a model of Fiber stores them.

The tests read each tab's document. They check records against the server as well.
"""

import asyncio
import json
import os
import sys
import tempfile

from browser import browsing
from program import TIMEOUT, Server, curl

OUTPUT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None

CONNECTED = "document.getElementById('status')?.textContent === 'Connected'"
OWN = "document.getElementById('id').textContent"
IDS = "Array.from(document.querySelectorAll('#records > li[data-id]'), (card) => card.dataset.id)"
VERDICT = "document.getElementById('verdict').textContent"
DAMAGED = "document.querySelectorAll('#records > li.damaged').length"
WIDTH = "document.documentElement.scrollWidth"

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
    """A script that returns the named detail of a record's card."""
    return f"""(() => {{
        const card = document.querySelector('#records > li[data-id="{tab_id}"]');
        const names = Array.from(card.querySelectorAll('dt'), (name) => name.textContent);
        return card.querySelectorAll('dd')[names.indexOf({json.dumps(name)})].textContent;
    }})()"""


def clients(server):
    return json.loads(curl(f"http://{server.address}/clients"))


async def store(tab, note):
    """Stores a note, using only the keyboard."""
    await tab.focus("#note")
    await retype(tab, note)
    await tab.press("Enter")


async def choose(tab, mode):
    """Moves to the mode switch with the Tab key, and selects a mode with the arrow keys."""
    await tab.focus("input[name=mode]:checked")
    for _ in range(5):
        if await tab.value(f"document.activeElement.value === {json.dumps(mode)} && document.activeElement.checked"):
            return
        await tab.press("ArrowRight")
    raise AssertionError(f"the arrow keys do not reach the mode {mode}")


async def all_intact(server, tabs, notes):
    """Checks that each tab and the server show the records of all tabs, each with the note its tab stored."""
    ids = [await tab.value(OWN) for tab in tabs]
    assert len(set(ids)) == len(ids), ids
    for tab, own in zip(tabs, ids):
        await tab.until(f"{IDS}.length === {len(ids)}")
        await tab.until(f"{VERDICT}.startsWith('Your record is what you stored.')")
        assert (await tab.value(IDS))[0] == own, "a tab shows its own record first"
        for other, note in zip(ids, notes):
            await tab.until(f"{card(other, 'sent')} === {json.dumps(note)}")
        assert await tab.value(DAMAGED) == 0
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
    controls = await tab.value("""Array.from(document.querySelectorAll('a[href], button, input, [tabindex]'))
        .filter((e) => e.checkVisibility() && !e.disabled && !(e.type === 'radio' && !e.checked)).length""")
    assert controls > 10, controls
    seen = set()
    # One full round from the current focus. The document itself is an extra step.
    for _ in range(controls + 2):
        await tab.press("Tab")
        element = await tab.value("""(() => {
            const e = document.activeElement;
            if (e === document.body) return null;
            const style = getComputedStyle(e.type === 'radio' ? e.nextElementSibling : e);
            const name = e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent;
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
        await tab.until("document.getElementById('log').lastChild?.textContent === 'news.local{\"rain\":[1,2]}'")
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
    await one.focus("[aria-label='Unsubscribe from weather']")
    await one.press(" ")
    await one.until("document.querySelectorAll('#subscriptions li').length === 1")


async def metrics(tab):
    """Checks that the page draws the charts and lists the metrics that the server reports."""
    for chart in ("requests", "connections", "arena"):
        await tab.until(f"(document.querySelector('#chart-{chart} .curve')?.getAttribute('d') ?? '').includes('L')")
        await tab.until(f"/, the last minute: now \\d/.test(document.querySelector('#chart-{chart} svg').getAttribute('aria-label'))")
    await tab.until("document.querySelectorAll('#workers tr').length === 2")
    row = "Array.from(document.querySelectorAll('#census > div')).find((row) => row.firstChild.textContent === '{}')"
    await tab.until(f"/^\\d+ of [\\d,]+$/.test({row.format('Connections')}.children[1].textContent)")
    await tab.until(f"{row.format('Clients')}.children[1].textContent === '2'")
    await tab.until(f"{row.format('Clients without a connection')}.children[1].textContent === '0'")


async def damaged(server, one, two):
    """Switches both tabs to the model of Fiber, and checks that the page shows the damage."""
    first, second = [await tab.value(OWN) for tab in (one, two)]
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fiber")
        await tab.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Your record is damaged: it was stored as {first} and now reads {second}')")
    assert await one.value(card(first, "key now")) == second
    assert await one.value(card(first, "lookup by id")) == "not found"
    assert await one.value(DAMAGED) == 1
    for selector in ("#verdict", f"#records > li[data-id='{first}'] dd.wrong", f"#records > li[data-id='{first}'] .tag"):
        red, green, blue = await one.value(f"getComputedStyle(document.querySelector({json.dumps(selector)})).color.match(/\\d+/g).map(Number)")
        assert red > 1.5 * green and red > 1.5 * blue, f"{selector} is not red: {red}, {green}, {blue}"
    # The server reports the same.
    records = json.loads(curl(f"http://{server.address}/lesson/fiber/clients"))
    mine = next(record for record in records if record["stored_key"] == first)
    assert not mine["intact"] and not mine["found"] and mine["key"] == second, records
    await screenshot(one, "fiber-light", 1280, 900, "light")
    await screenshot(one, "fiber-dark", 1280, 900, "dark")
    await screenshot(one, "fiber-phone", 360, 740, "light", True)
    await fits_on_a_phone(one, "the damage")
    await readable(one, "#verdict", "dd.wrong", ".damaged .tag", ".damaged dt", "#about")
    await two.send("Page.bringToFront")
    await two.until(f"{VERDICT} === 'Your record is intact. The record of {first} is damaged: your request came after it.'")
    # The lock does not help.
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fiber+mutex")
        await tab.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Your record is damaged: it was stored as {first} and now reads {second}')")
    # In the registry both are intact again.
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fleeting")
        await tab.until(CONNECTED)


async def browse(profile):
    with Server("--workers", "2") as server:
        async with browsing(profile) as browser:
            await visit(server, browser)


async def visit(server, browser):
    one = await browser.open(f"http://{server.address}/")
    await one.until(CONNECTED)
    await one.until(f"{VERDICT} === 'Your record is what you stored. There are no other clients.'")
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
    assert await all_intact(server, (one, two), notes) == before, "a tab's id survives a reload"
    await one.send("Page.bringToFront")
    await topics(server, one, two)
    await metrics(one)
    await screenshot(one, "light", 1280, 900, "light")
    await screenshot(one, "dark", 1280, 900, "dark")
    await screenshot(one, "phone", 360, 740, "light", True)
    await screenshot(one, "phone-dark", 360, 740, "dark", True)
    await fits_on_a_phone(one, "the page")
    await readable(one, "body", ".lead", "#status", "#about", "#verdict", ".tag", "dt", "dd", "a", "button.first",
                   "#toggle", "#modes input:checked + span", "#modes input:not(:checked) + span", "label", "th", "td",
                   "#log li > :first-child", "figcaption", "figcaption output", ".plot .top", ".routes dt")
    await one.set_screen(1280, 900, "light")
    await reachable_by_keyboard(one)
    # When one tab is closed, its record is deleted and the other stays.
    await two.close()
    await one.until(f"{IDS}.length === 1")
    await all_intact(server, (one,), notes[:1])
    await one.focus("#second")
    two = await browser.opened_by(lambda: one.press("Enter"))
    await two.until(CONNECTED)
    await damaged(server, one, two)
    await all_intact(server, (one, two), (notes[0], "hello"))
    # A tab with a copied id replaces the original tab, which says so and can get a new id.
    await two.value(f"sessionStorage.setItem('id', {json.dumps(before[0])})")
    await two.send("Page.bringToFront")
    await two.reload()
    await two.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Another tab uses this id now')")
    await one.focus("#toggle")
    await one.press("Enter")
    await one.until(CONNECTED)
    await all_intact(server, (one, two), (notes[0], "hello"))
    # After a restart of the server both tabs reconnect.
    assert one.errors == two.errors == [], f"the console shows: {one.errors} {two.errors}"
    server.stop()
    for tab in (one, two):
        await tab.until(f"!({CONNECTED})")
    with Server("--workers", "2", port=server.port) as server:
        for tab in (one, two):
            await tab.send("Page.bringToFront")
            await tab.until(CONNECTED)
        await all_intact(server, (one, two), (notes[0], "hello"))
        # The only errors in the console are failed connections while the server was down.
        others = [error for tab in (one, two) for error in tab.errors if "net::ERR_" not in error[1]]
        assert others == [], f"the console shows: {others}"


def the_page_keeps_records_intact_and_shows_the_damage():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        asyncio.run(asyncio.wait_for(browse(profile), 6 * TIMEOUT))
