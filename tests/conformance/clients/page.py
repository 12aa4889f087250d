"""The page in a browser: two tabs stay whole, until they are served as Fiber would.

What is said here of a tab is read off its document, and what is said of a record off the server as well.
"""

import asyncio
import json
import os
import sys
import tempfile

from browser import browsing
from program import PATIENCE, Server, curl

OUTPUT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None

CONNECTED = "document.getElementById('status')?.textContent === 'Connected'"
OWN = "document.getElementById('id').textContent"
IDS = "Array.from(document.querySelectorAll('#records > li[data-id]'), (card) => card.dataset.id)"
VERDICT = "document.getElementById('verdict').textContent"
DAMAGED = "document.querySelectorAll('#records > li.damaged').length"
WIDTH = "document.documentElement.scrollWidth"

# The ratio of WCAG 2.2 between an element's colour and what is behind it.
CONTRAST = """((selector) => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
        const [r, g, b] = parse(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const element = document.querySelector(selector);
    let behind = element;
    while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] === 0)) behind = behind.parentElement;
    const paper = getComputedStyle(behind ?? document.documentElement).backgroundColor;
    const [a, b] = [light(getComputedStyle(element).color), light(paper)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})"""


def card(tab_id, what):
    """What a tab shows of a record."""
    return f"""(() => {{
        const card = document.querySelector('#records > li[data-id="{tab_id}"]');
        const names = Array.from(card.querySelectorAll('dt'), (name) => name.textContent);
        return card.querySelectorAll('dd')[names.indexOf({json.dumps(what)})].textContent;
    }})()"""


def clients(server):
    return json.loads(curl(f"http://{server.at}/clients"))


async def store(tab, note):
    """Stores something with the keyboard alone."""
    await tab.focus("#note")
    await retype(tab, note)
    await tab.press("Enter")


async def choose(tab, wanted):
    """Goes to the switch with the Tab key, and through it with the arrows."""
    await tab.focus("input[name=mode]:checked")
    for _ in range(5):
        if await tab.value(f"document.activeElement.value === {json.dumps(wanted)} && document.activeElement.checked"):
            return
        await tab.press("ArrowRight")
    raise AssertionError(f"the arrows do not reach {wanted}")


async def whole(server, tabs, notes):
    """Both tabs and the server have the records of both, each with what its tab has stored."""
    ids = [await tab.value(OWN) for tab in tabs]
    assert len(set(ids)) == len(ids), ids
    for tab, own in zip(tabs, ids):
        await tab.until(f"{IDS}.length === {len(ids)}")
        await tab.until(f"{VERDICT}.startsWith('Your record is what you have stored.')")
        assert (await tab.value(IDS))[0] == own, "one's own is the first"
        for other, note in zip(ids, notes):
            await tab.until(f"{card(other, 'sent')} === {json.dumps(note)}")
        assert await tab.value(DAMAGED) == 0
    there = clients(server)
    assert {key: record["sent"] for key, record in there.items()} == dict(zip(ids, notes)), there
    names = {record["connection"] for record in there.values()}
    assert len(names) == len(ids) and None not in names, there
    return ids


async def shot(tab, name, *look):
    if OUTPUT:
        os.makedirs(OUTPUT, exist_ok=True)
        await tab.shot(f"{OUTPUT}/{name}.png", *look)
    else:
        await tab.look(*look)


async def fits(tab, name):
    """On a phone nothing is wider than the screen."""
    for width in (360, 320):
        await tab.look(width, 740, "light", True)
        assert await tab.value(WIDTH) <= width, f"{name} is {await tab.value(WIDTH)} wide on {width}"


async def readable(tab, *selectors):
    """In the light and in the dark."""
    for scheme in ("light", "dark"):
        await tab.look(1280, 900, scheme)
        for selector in selectors:
            contrast = await tab.value(f"{CONTRAST}({json.dumps(selector)})")
            assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.2f} in the {scheme}"


async def reached_by_keyboard(tab):
    """The Tab key comes to each control, and each shows that it is there, and has a name."""
    controls = await tab.value("""Array.from(document.querySelectorAll('a[href], button, input, [tabindex]'))
        .filter((e) => e.checkVisibility() && !e.disabled && !(e.type === 'radio' && !e.checked)).length""")
    assert controls > 10, controls
    seen = set()
    # From wherever it is, around: the document itself is one step more.
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
            what, outlined, name = element
            assert outlined and name, what
            seen.add(what)
    assert len(seen) == controls, f"{controls} controls, and the Tab key comes to {seen}"


async def retype(tab, text):
    """Types over what is in the field that has the focus."""
    await tab.value("document.activeElement.select()")
    await tab.type(text)


async def topics(server, one, two):
    await one.focus("#topic")
    await retype(one, "news.local")
    await one.press("Tab")
    await retype(one, '{"rain": [1, 2]}')
    await one.press("Enter")
    for tab in (one, two):
        await tab.until("document.getElementById('log').lastChild?.textContent === 'news.local{\"rain\":[1,2]}'")
    # Whatever is stored or published is text.
    evil = "<img src=x onerror='window.evil = true'><script>window.evil = true</script>"
    for url, extra in (("topics/news.evil", []), ("clients", ["-H", f"X-Id: {evil.replace('/', '')}"])):
        curl("-H", "Content-Type: text/plain", *extra, "-d", evil, f"http://{server.at}/{url}")
    for tab in (one, two):
        await tab.until(f"document.getElementById('log').lastChild?.textContent.endsWith({json.dumps(evil)})")
        await tab.until(f"{IDS}.length === 3")
        assert await tab.value("window.evil === undefined && document.images.length === 0")
    there = [key for key in clients(server) if key.startswith("<")]
    path = "".join(f"%{byte:02X}" for byte in there[0].encode())
    curl("-X", "DELETE", f"http://{server.at}/clients/{path}")
    for tab in (one, two):
        await tab.until(f"{IDS}.length === 2")
    # A subscription of one's own, and its end.
    await one.focus("#filter")
    await retype(one, "weather")
    await one.press("Enter")
    await one.until("document.querySelectorAll('#subscriptions li').length === 2")
    await one.focus("[aria-label='Unsubscribe from weather']")
    await one.press(" ")
    await one.until("document.querySelectorAll('#subscriptions li').length === 1")


async def figures(tab):
    """Charts and census are drawn, from what the server says."""
    for chart in ("requests", "connections", "arena"):
        await tab.until(f"(document.querySelector('#chart-{chart} .curve')?.getAttribute('d') ?? '').includes('L')")
        await tab.until(f"/, the last minute: now \\d/.test(document.querySelector('#chart-{chart} svg').getAttribute('aria-label'))")
    await tab.until("document.querySelectorAll('#workers tr').length === 2")
    row = "Array.from(document.querySelectorAll('#census > div')).find((row) => row.firstChild.textContent === '{}')"
    await tab.until(f"/^\\d+ of [\\d,]+$/.test({row.format('Connections')}.children[1].textContent)")
    await tab.until(f"{row.format('Clients')}.children[1].textContent === '2'")
    await tab.until(f"{row.format('Of these, without a connection')}.children[1].textContent === '0'")


async def damaged(server, one, two):
    """The same two tabs, served as Fiber would."""
    first, second = [await tab.value(OWN) for tab in (one, two)]
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fiber")
        await tab.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Your record is damaged: it was stored as {first} and reads {second} now')")
    assert await one.value(card(first, "key now")) == second
    assert await one.value(card(first, "by its id")) == "not found, not deleted"
    assert await one.value(DAMAGED) == 1
    for selector in ("#verdict", f"#records > li[data-id='{first}'] dd.wrong", f"#records > li[data-id='{first}'] .tag"):
        red, green, blue = await one.value(f"getComputedStyle(document.querySelector({json.dumps(selector)})).color.match(/\\d+/g).map(Number)")
        assert red > 1.5 * green and red > 1.5 * blue, f"{selector} is not red: {red}, {green}, {blue}"
    # The server says the same.
    told = json.loads(curl(f"http://{server.at}/lesson/fiber/clients"))
    mine = next(record for record in told if record["stored_key"] == first)
    assert not mine["intact"] and not mine["found"] and mine["key"] == second, told
    await shot(one, "fiber-light", 1280, 900, "light")
    await shot(one, "fiber-dark", 1280, 900, "dark")
    await shot(one, "fiber-phone", 360, 740, "light", True)
    await fits(one, "the damage")
    await readable(one, "#verdict", "dd.wrong", ".damaged .tag", ".damaged dt", "#about")
    await two.send("Page.bringToFront")
    await two.until(f"{VERDICT} === 'Your record is whole, that of {first} is damaged: your request came after it.'")
    # A lock mends nothing of it.
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fiber+mutex")
        await tab.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Your record is damaged: it was stored as {first} and reads {second} now')")
    # And here both are whole again.
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await choose(tab, "fleeting")
        await tab.until(CONNECTED)


async def browse(profile):
    with Server("--workers", "2") as server:
        async with browsing(profile) as browser:
            await visit(server, browser)


async def visit(server, browser):
    one = await browser.open(f"http://{server.at}/")
    await one.until(CONNECTED)
    await one.until(f"{VERDICT} === 'Your record is what you have stored. Nobody else is here.'")
    await one.focus("#second")
    two = await browser.opened_by(lambda: one.press("Enter"))
    await two.until(CONNECTED)
    await whole(server, (one, two), ("hello", "hello"))
    notes = ("the first tab's", "the second's – €, “quoted”")
    for tab, note in zip((one, two), notes):
        await tab.send("Page.bringToFront")
        await store(tab, note)
    before = await whole(server, (one, two), notes)
    for tab in (one, two):
        await tab.send("Page.bringToFront")
        await tab.reload()
        await tab.until(CONNECTED)
    assert await whole(server, (one, two), notes) == before, "who they are outlives a reload"
    await one.send("Page.bringToFront")
    await topics(server, one, two)
    await figures(one)
    await shot(one, "light", 1280, 900, "light")
    await shot(one, "dark", 1280, 900, "dark")
    await shot(one, "phone", 360, 740, "light", True)
    await shot(one, "phone-dark", 360, 740, "dark", True)
    await fits(one, "the page")
    await readable(one, "body", ".lead", "#status", "#about", "#verdict", ".tag", "dt", "dd", "a", "button.first",
                   "#toggle", "#modes input:checked + span", "#modes input:not(:checked) + span", "label", "th", "td",
                   "#log li > :first-child", "figcaption", "figcaption output", ".plot .top", ".routes dt")
    await one.look(1280, 900, "light")
    await reached_by_keyboard(one)
    # One tab is closed: its record goes, the other stays.
    await two.close()
    await one.until(f"{IDS}.length === 1")
    await whole(server, (one,), notes[:1])
    await one.focus("#second")
    two = await browser.opened_by(lambda: one.press("Enter"))
    await two.until(CONNECTED)
    await damaged(server, one, two)
    await whole(server, (one, two), (notes[0], "hello"))
    # A tab that is a copy of another takes its place; the other says so, and can be somebody new.
    await two.value(f"sessionStorage.setItem('id', {json.dumps(before[0])})")
    await two.send("Page.bringToFront")
    await two.reload()
    await two.until(CONNECTED)
    await one.send("Page.bringToFront")
    await one.until(f"{VERDICT}.startsWith('Another tab is this client now')")
    await one.focus("#toggle")
    await one.press("Enter")
    await one.until(CONNECTED)
    await whole(server, (one, two), (notes[0], "hello"))
    # Another server takes the place of this one: both come back.
    assert one.errors == two.errors == [], f"the console says: {one.errors} {two.errors}"
    server.end()
    for tab in (one, two):
        await tab.until(f"!({CONNECTED})")
    with Server("--workers", "2", port=server.port) as server:
        for tab in (one, two):
            await tab.send("Page.bringToFront")
            await tab.until(CONNECTED)
        await whole(server, (one, two), (notes[0], "hello"))
        # That there was no server for a while is the only thing it has to say.
        others = [error for tab in (one, two) for error in tab.errors if "net::ERR_" not in error[1]]
        assert others == [], f"the console says: {others}"


def the_page_keeps_two_tabs_whole_and_shows_the_damage():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        asyncio.run(asyncio.wait_for(browse(profile), 6 * PATIENCE))
