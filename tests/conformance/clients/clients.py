"""Third-party clients against the program; see run.

Every test starts the program on a free port and waits for what it expects, with a timeout that only a failure reaches.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback

import http2
from browser import chromium
from page import the_page_shows_each_step_in_each_version
from program import TIMEOUT, Server, curl, publish, running, subscribed
from tabs import ten_tabs_share_one_connection
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

PAGE = """<!doctype html><meta charset="utf-8"><title>events</title><script>
let opens = 0;
const report = (text) => fetch("/topics/seen", {method: "POST", headers: {"Content-Type": "text/plain"}, body: text});
const events = new EventSource("/topics/news.*");
events.onopen = () => { opens += 1; };
events.onmessage = (event) => report("got " + event.data).catch(() => {});
// Repeated, because the test may subscribe after the page has loaded.
setInterval(() => { if (events.readyState === 1) report("open " + opens).catch(() => {}); }, 200);
</script>"""


# ---------------------------------------------------------------- curl


def curl_gets_an_answer_from_every_route():
    with Server() as server:
        url = f"http://{server.address}"
        assert curl(f"{url}/plaintext") == b"Hello, World!"
        assert json.loads(curl(f"{url}/json")) == {"message": "Hello, World!"}
        assert curl(f"{url}/healthz") == b"ok"
        assert b"<html" in curl(f"{url}/").lower()
        assert curl("-d", "anything", f"{url}/echo") == b"anything"
        # The length is unknown: curl sends chunks, after waiting for 100 (Continue).
        large = os.urandom(900_000)
        assert curl("-T", "-", "-X", "POST", "-H", "Expect: 100-continue", f"{url}/echo", content=large) == large
        status = curl("-o", os.devnull, "-w", "%{http_code}", "-I", f"{url}/plaintext")
        assert status == b"200", status


def curl_gets_parts_of_files():
    with tempfile.TemporaryDirectory() as directory:
        content = os.urandom(300_000)
        with open(f"{directory}/data.bin", "wb") as file:
            file.write(content)
        with Server("--files", directory) as server:
            url = f"http://{server.address}/data.bin"
            assert curl(url) == content
            assert curl("-r", "1000-1999", url) == content[1000:2000]
            assert curl("-r", "-500", url) == content[-500:]
            part = f"{directory}/part"
            with open(part, "wb") as file:
                file.write(content[:100_000])
            curl("-C", "-", "-o", part, url)
            with open(part, "rb") as file:
                assert file.read() == content, "curl resumes the download"
            etag = re.search(rb"(?i)^etag: (.*?)\r$", curl("-I", url), re.M)[1].decode()
            status = curl("-o", os.devnull, "-w", "%{http_code}", "-H", f"If-None-Match: {etag}", url)
            assert status == b"304", status


def curl_reads_events():
    with Server("--workers", "2") as server:
        command = ["curl", "-sN", "--max-time", str(TIMEOUT), f"http://{server.address}/topics/prices.*"]
        with running(command, stdout=subprocess.PIPE, text=True) as listener:
            subscribed(server, "prices.*", 1)
            # An empty comment comes at once, with the head.
            assert (listener.stdout.readline(), listener.stdout.readline()) == (":\n", "\n")
            for number in range(3):
                publish(server, "prices.eur", f"price {number}")
                publish(server, "other", "for no subscriber")
            for number in range(3):
                line = listener.stdout.readline()
                expected = {"topic": "prices.eur", "data": f"price {number}"}
                assert line.startswith("data: ") and json.loads(line[6:]) == expected, line
                assert listener.stdout.readline() == "\n"
            # Stopping the server ends the stream properly.
            server.stop()
            assert listener.stdout.read() == "" and listener.wait(TIMEOUT) == 0


# ---------------------------------------------------------------- websockets


async def command(socket, **members):
    await socket.send(json.dumps(members))
    return json.loads(await socket.recv())


def hub(server, **options):
    return connect(f"ws://{server.address}/hub", open_timeout=TIMEOUT, max_size=4 << 20, **options)


async def echoes(mode, offer, expected):
    with Server("--compression", mode) as server:
        extensions = None if offer is None else [ClientPerMessageDeflateFactory(**offer)]
        options = {"max_size": 4 << 20, "open_timeout": TIMEOUT}
        if extensions is not None:
            options.update(compression=None, extensions=extensions)
        async with connect(f"ws://{server.address}/ws", **options) as socket:
            agreed = socket.response.headers.get("Sec-WebSocket-Extensions", "")
            for part in expected:
                assert part in agreed, f"{mode}: {part} is not in {agreed!r}"
            assert bool(expected) == bool(agreed), f"{mode}: {agreed!r}"
            for size in (0, 1, 63, 64, 127, 128, 1000, 70_000, 1 << 20):
                for seed in range(3):
                    text = ("%d of %d, over and over; " % (seed, size) * (size // 8 + 1))[:size]
                    await socket.send(text)
                    assert await socket.recv() == text
                    noise = os.urandom(size)
                    await socket.send(noise)
                    assert await socket.recv() == noise
            # A fragmented message, which the client compresses as a whole.
            await socket.send(["some ", "text ", "in pieces " * 1000])
            assert await socket.recv() == "some text " + "in pieces " * 1000
            await asyncio.wait_for(await socket.ping(), TIMEOUT)
        assert socket.close_code == 1000
        server.stop()


def websockets_echoes_in_every_mode():
    offers = [
        ("off", None, []),
        ("shared", None, ["server_no_context_takeover", "client_no_context_takeover"]),
        ("shared,window=9", None, ["server_max_window_bits=9"]),
        ("dedicated", None, ["permessage-deflate"]),
        ("dedicated", {"server_no_context_takeover": True}, ["server_no_context_takeover"]),
        ("dedicated", {"client_no_context_takeover": True}, ["client_no_context_takeover"]),
        ("dedicated", {"server_max_window_bits": 9, "client_max_window_bits": 9}, ["server_max_window_bits=9"]),
        ("dedicated,window=10", {"client_max_window_bits": True}, ["client_max_window_bits=10"]),
    ]
    for mode, offer, expected in offers:
        asyncio.run(echoes(mode, offer, expected))


async def chat():
    with Server("--compression", "dedicated", "--workers", "2") as server:
        async with hub(server) as one, hub(server) as other, hub(server, compression=None) as plain:
            for socket in (one, other, plain):
                assert await command(socket, subscribe="room.*", id=7) == {"subscribed": "room.*", "id": 7}
            for number in range(50):
                data = {"number": number, "text": "a message to everyone in the room. " * 20}
                assert await command(one, publish="room.1", data=data, to_others=True) == {"published": "room.1"}
                for socket in (other, plain):
                    assert json.loads(await socket.recv()) == {"topic": "room.1", "data": data}
            assert "unknown command" in (await command(other, subscrbe="x"))["error"]
            publish(server, "room.2", "from curl")
            for socket in (one, other, plain):
                assert json.loads(await socket.recv()) == {"topic": "room.2", "data": "from curl"}
            counts = json.loads(curl(f"http://{server.address}/topics"))
            assert [(topic["name"], topic["subscribers"]) for topic in counts] == [("room.*", 3)], counts
            # Waiting clients answer the Close frame, so the server cuts off no connection.
            waiting = [asyncio.create_task(socket.wait_closed()) for socket in (one, other, plain)]
            server.terminate()
            await asyncio.wait_for(asyncio.gather(*waiting), TIMEOUT)
            assert {socket.close_code for socket in (one, other, plain)} == {1001}
            server.wait()


def websockets_clients_exchange_messages_through_the_hub():
    asyncio.run(chat())


# ---------------------------------------------------------------- a browser


async def reported(socket, text):
    """Waits until the page publishes this text."""
    while True:
        delivery = json.loads(await asyncio.wait_for(socket.recv(), TIMEOUT))
        if delivery.get("data") == text:
            return


async def browse(directory):
    with open(f"{directory}/index.html", "w", encoding="utf-8") as file:
        file.write(PAGE)
    with Server("--files", directory) as server:
        async with hub(server) as listener:
            await command(listener, subscribe="seen")
            with chromium(f"{directory}/.profile", f"http://{server.address}/"):
                await reported(listener, "open 1")
                for number in range(3):
                    publish(server, "news.today", f"line {number}\nand another")
                    data = json.dumps({"topic": "news.today", "data": f"line {number}\nand another"}, separators=(",", ":"))
                    await reported(listener, f"got {data}")
                # After a restart of the server the browser reconnects by itself.
                await listener.close()
                server.stop()
                with Server("--files", directory, port=server.port) as next_server:
                    async with hub(next_server) as listener:
                        await command(listener, subscribe="seen")
                        await reported(listener, "open 2")
                        publish(next_server, "news.again", "after the restart")
                        await reported(listener, 'got {"topic":"news.again","data":"after the restart"}')


def an_event_source_reads_events_and_reconnects():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        asyncio.run(browse(directory))


TESTS = [
    curl_gets_an_answer_from_every_route,
    curl_gets_parts_of_files,
    curl_reads_events,
    websockets_echoes_in_every_mode,
    websockets_clients_exchange_messages_through_the_hub,
    an_event_source_reads_events_and_reconnects,
    *http2.tests(),
    ten_tabs_share_one_connection,
    the_page_shows_each_step_in_each_version,
]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
        except Exception:
            failed += 1
            print(f"FAILED {test.__name__}")
            traceback.print_exc(file=sys.stdout)
        else:
            print(f"ok     {test.__name__}")
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
