"""HTTP/2 with third-party clients: curl, nghttp, h2load, httpx and Node. Each check runs in plain text and over TLS.

In plain text the clients begin with the preface ("prior knowledge", RFC 9113 section 3.3), over TLS they choose h2 by ALPN.
"""

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from contextlib import contextmanager

import h2.exceptions
import httpx
from program import TIMEOUT, Server, certificate, curl, publish, running, subscribed

INDEX = b"<!doctype html><title>files</title>\n"
NODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node.mjs")


@contextmanager
def site(tls, *args):
    """Runs a server with a page, a file of 3 MB and certificates in its folder. Clients send it the content of 1 MB."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/public")
        with open(f"{folder}/public/index.html", "wb") as file:
            file.write(INDEX)
        with open(f"{folder}/public/data.bin", "wb") as file:
            file.write(os.urandom(3_000_000))
        with open(f"{folder}/content", "wb") as file:
            file.write(os.urandom(1_000_000))
        flags = certificate(folder) if tls else ()
        with Server("--files", f"{folder}/public", *flags, *args) as server:
            server.folder = folder
            yield server


def read(path):
    with open(path, "rb") as file:
        return file.read()


def file(server):
    return read(f"{server.folder}/public/data.bin")


def content(server):
    return read(f"{server.folder}/content")


def run(command):
    """Runs a command to its end, and returns what it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=2 * TIMEOUT, check=False)
    assert done.returncode == 0, f"{command} ended with status {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return done.stdout


def line(process, pattern):
    """Reads what a process prints, up to a line that matches."""
    seen = []
    for text in process.stdout:
        seen.append(text)
        if found := re.search(pattern, text):
            return found
    raise AssertionError(f"the output ended without {pattern!r}: {''.join(seen)[-3000:]}")


def accepted(server):
    """Asks the server how many connections it has accepted. The question takes one as well."""
    metrics = curl(*server.trust, f"{server.origin}/metrics").decode()
    return sum(int(count) for count in re.findall(r"(?m)^fleeting_connections_accepted_total\S* (\d+)$", metrics))


@contextmanager
def one_connection(server):
    """Checks that all that happens meanwhile takes one connection."""
    before = accepted(server)
    yield
    after = accepted(server)
    assert after - before == 2, f"{after - before - 1} connections were accepted"


# ---------------------------------------------------------------- curl


def curl2(server, *args, content=None):
    return curl(*curl_flags(server), *args, content=content)


def curl_flags(server):
    return ["--silent", "--show-error", *(["--http2", *server.trust] if server.authority else ["--http2-prior-knowledge"])]


def curl_gets_a_page_and_a_file(tls):
    with site(tls) as server:
        assert curl2(server, "-w", "HTTP/%{http_version} %{http_code}", f"{server.origin}/") == INDEX + b"HTTP/2 200"
        assert curl2(server, f"{server.origin}/data.bin") == file(server)
        assert curl2(server, "-r", "1000000-1999999", f"{server.origin}/data.bin") == file(server)[1_000_000:2_000_000]
        # A client that offers only HTTP/1.1 gets it, and one that asks for an upgrade to HTTP/2 gets no upgrade.
        for flag in ["--http1.1"] if tls else ["--http1.1", "--http2"]:
            answer = curl(*server.trust, flag, "-w", "HTTP/%{http_version}", f"{server.origin}/")
            assert answer == INDEX + b"HTTP/1.1", (flag, answer)


def curl_gets_an_echo_of_a_megabyte(tls):
    with site(tls) as server:
        sent, url = content(server), f"{server.origin}/echo"
        assert curl2(server, "--data-binary", "@-", url, content=sent) == sent
        # Without a length, and after 100 (Continue).
        assert curl2(server, "-T", "-", "-X", "POST", "-H", "Expect: 100-continue", url, content=sent) == sent


def curl_gets_a_head_and_a_404(tls):
    with site(tls) as server:
        head = curl2(server, "-I", f"{server.origin}/data.bin").decode()
        assert head.startswith("HTTP/2 200") and re.search(r"(?m)^content-length: 3000000\r$", head), head
        head = curl2(server, "-D", "-", "-o", os.devnull, f"{server.origin}/nothing").decode()
        assert head.startswith("HTTP/2 404"), head


# With prior knowledge, curl 7.88 fails at the second request of a connection, whatever the server
# (https://github.com/curl/curl/pull/10643). So these checks need TLS.


def curl_sends_requests_one_after_another(tls):
    with site(tls) as server:
        more = ["--next", *curl_flags(server)]
        last = ["-w", "%{http_code} %{num_connects}", f"{server.origin}/plaintext"]
        output = curl2(server, "-I", f"{server.origin}/", *more, f"{server.origin}/nothing", *more, *last)
        assert output.endswith(b"Hello, World!200 0"), output


def curl_sends_requests_at_once(tls):
    with site(tls, "--workers", "1") as server, one_connection(server):
        parallel = ["--parallel", "--no-progress-meter", "--parallel-max", "50"]
        output = ["-w", "%{http_version} %{http_code}\\n", "-o", f"{server.folder}/#1"]
        lines = curl2(server, *parallel, *output, f"{server.origin}/data.bin?[1-40]").decode().splitlines()
        assert len(lines) == 40 and set(lines) == {"2 200"}, lines
        for number in range(1, 41):
            assert read(f"{server.folder}/{number}") == file(server), f"answer {number}"


def curl_cancels_a_stream(tls):
    with site(tls, "--workers", "1") as server, one_connection(server):
        # The file is larger than curl wants, so it resets that stream. It asks for the others on the same connection.
        paths = ["", "data.bin"] * 10
        urls = [part for number, path in enumerate(paths) for part in ("-o", f"{server.folder}/{number}", f"{server.origin}/{path}")]
        flags = [*curl_flags(server), "--max-time", str(TIMEOUT), "--parallel", "--max-filesize", "1000000"]
        command = ["curl", *flags, *urls]
        done = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=2 * TIMEOUT, check=False)
        assert done.returncode == 63, f"curl ended with status {done.returncode}"
        for number in range(0, 20, 2):
            assert read(f"{server.folder}/{number}") == INDEX, f"answer {number}"


def curl_reads_events_to_the_end(tls):
    with site(tls, "--workers", "2") as server:
        command = ["curl", *curl_flags(server), "-N", "--max-time", str(TIMEOUT), f"{server.origin}/topics/prices.*"]
        with running(command, stdout=subprocess.PIPE, text=True) as listener:
            subscribed(server, "prices.*", 1)
            for number in range(3):
                publish(server, "prices.eur", f"price {number}")
                found = line(listener, "^data: (.*)")
                assert json.loads(found[1]) == {"topic": "prices.eur", "data": f"price {number}"}, found[0]
            # The server ends the stream, not only the connection: that would be an error to curl.
            server.stop()
            assert listener.stdout.read().strip() == "" and listener.wait(TIMEOUT) == 0


# ---------------------------------------------------------------- nghttp


def nghttp(server, *args):
    return ["nghttp", "--timeout", str(TIMEOUT), *(["--no-verify-peer"] if server.authority else []), *args]


def nghttp_gets_a_page_and_a_file(tls):
    # nghttp fills CONTINUATION frames with fields of 24 kB.
    with site(tls, "--limit", "head_bytes=64KiB") as server:
        assert run(nghttp(server, f"{server.origin}/")) == INDEX
        assert run(nghttp(server, f"{server.origin}/data.bin")) == file(server)
        # Small windows, and no dynamic table.
        small = ["-w", "10", "-W", "16", "-c", "0", "--encoder-header-table-size", "0", "--continuation"]
        assert run(nghttp(server, *small, f"{server.origin}/data.bin")) == file(server)


def nghttp_gets_an_echo_of_a_megabyte(tls):
    with site(tls) as server:
        post = ["-d", f"{server.folder}/content", f"{server.origin}/echo"]
        for flags in ([], ["-w", "12", "-W", "16"], ["-b", "255", "--no-content-length"], ["--expect-continue"]):
            assert run(nghttp(server, *flags, *post)) == content(server), flags


def nghttp_gets_a_head_and_a_404(tls):
    with site(tls) as server:
        urls = [f"{server.origin}/data.bin", f"{server.origin}/nothing"]
        frames = run(nghttp(server, "-v", "-H", ":method: HEAD", *urls)).decode()
        assert sorted(re.findall(r"recv \(stream_id=\d+\) :status: (\d+)", frames)) == ["200", "404"], frames
        assert "recv DATA" not in frames and re.search(r"content-length: 3000000\b", frames), frames


def nghttp_sends_requests_at_once(tls):
    with site(tls) as server:
        urls = [f"{server.origin}/{path}" for path in ("", "plaintext", "json", "nothing")]
        # 100 streams at a time are allowed.
        frames = run(nghttp(server, "-nv", "-m", "60", *urls)).decode()
        statuses = re.findall(r"recv \(stream_id=\d+\) :status: (\d+)", frames)
        assert (statuses.count("200"), statuses.count("404")) == (180, 60), frames[-3000:]
        assert "RST_STREAM" not in frames, frames[-3000:]


def nghttp_sends_trailers(tls):
    with site(tls) as server:
        post = ["-d", f"{server.folder}/content", f"{server.origin}/echo"]
        assert run(nghttp(server, "--trailer", "checksum: 1", "--trailer", "more: 2", *post)) == content(server)


def nghttp_reads_events_to_the_end(tls):
    with site(tls, "--workers", "2") as server:
        # Its output has a buffer of its own, unless that is switched off.
        command = ["stdbuf", "-oL", *nghttp(server, "-v", f"{server.origin}/topics/prices.*")]
        with running(command, stdout=subprocess.PIPE, text=True) as listener:
            stream = line(listener, r"recv \(stream_id=(\d+)\) :status: 200")[1]
            subscribed(server, "prices.*", 1)
            for number in range(3):
                publish(server, "prices.eur", f"price {number}")
                line(listener, f"price {number}")
            server.terminate()
            # GOAWAY comes without an error, and the stream ends by itself.
            rest = listener.stdout.read()
            assert re.search(r"recv GOAWAY frame <[^>]*>\s+\(last_stream_id=\d+, error_code=NO_ERROR", rest), rest
            assert re.search(rf"recv DATA frame <length=\d+, flags=0x01, stream_id={stream}>", rest), rest
            assert listener.wait(TIMEOUT) == 0
            server.wait()


# ---------------------------------------------------------------- h2load


def h2load(server, count, size, *args):
    """Checks that h2load gets all answers, each with 200 and content of this size."""
    command = ["h2load", "-n", str(count), "-c", "2", "-m", "40", "--connection-inactivity-timeout", str(TIMEOUT), *args]
    report = run(command).decode()
    if server.authority:
        assert "Application protocol: h2\n" in report, report
    assert f"requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout" in report, report
    assert f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx" in report, report
    octets = int(re.search(r"(?m)^traffic: .*\((\d+)\) data$", report)[1])
    assert octets == count * size, f"{octets} octets of data are not {count} times {size}"


def h2load_gets_all_answers(tls):
    with site(tls, "--workers", "2") as server:
        h2load(server, 20_000, 13, f"{server.origin}/plaintext")
        h2load(server, 200, 3_000_000, f"{server.origin}/data.bin")
        # With windows of 16 KiB for a stream and 64 KiB for the connection.
        h2load(server, 40, 3_000_000, "-w", "14", "-W", "16", f"{server.origin}/data.bin")


def h2load_gets_all_echoes(tls):
    with site(tls, "--workers", "2") as server:
        h2load(server, 200, 1_000_000, "-d", f"{server.folder}/content", f"{server.origin}/echo")


# ---------------------------------------------------------------- httpx


def client(server):
    verify = ssl.create_default_context(cafile=server.authority) if server.authority else True
    # One connection at most, so requests at once are streams at once.
    limits = httpx.Limits(max_connections=1)
    options = {"base_url": server.origin, "timeout": TIMEOUT, "limits": limits, "trust_env": False}
    return httpx.AsyncClient(http1=False, http2=True, verify=verify, **options)


async def ask_httpx(server, check):
    async with client(server) as http:
        await asyncio.wait_for(check(server, http), 2 * TIMEOUT)


def with_httpx(tls, check):
    with site(tls, "--workers", "1") as server, one_connection(server):
        asyncio.run(ask_httpx(server, check))


def httpx_gets_a_page_and_a_file(tls):
    async def check(server, http):
        answer = await http.get("/")
        assert (answer.http_version, answer.status_code, answer.content) == ("HTTP/2", 200, INDEX)
        assert (await http.get("/data.bin")).content == file(server)

    with_httpx(tls, check)


def httpx_gets_an_echo_of_a_megabyte(tls):
    async def check(server, http):
        sent = content(server)
        assert (await http.post("/echo", content=sent)).content == sent

        async def pieces():
            for at in range(0, len(sent), 9_999):
                yield sent[at:at + 9_999]

        # Without a length.
        assert (await http.post("/echo", content=pieces())).content == sent

    with_httpx(tls, check)


def httpx_gets_a_head_and_a_404(tls):
    async def check(server, http):
        answer = await http.head("/data.bin")
        assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "3000000", b"")
        assert (await http.get("/nothing")).status_code == 404
        assert (await http.get("/plaintext")).text == "Hello, World!"

    with_httpx(tls, check)


def httpx_sends_requests_at_once(tls):
    async def check(server, http):
        sent = content(server)
        gets = [http.get("/data.bin") for _ in range(10)]
        posts = [http.post("/echo", content=sent) for _ in range(10)]
        small = [http.get("/plaintext") for _ in range(60)]
        answers = await asyncio.gather(*gets, *posts, *small)
        assert all(answer.content == file(server) for answer in answers[:10])
        assert all(answer.content == sent for answer in answers[10:20])
        assert all(answer.text == "Hello, World!" for answer in answers[20:])

    with_httpx(tls, check)


def httpx_cancels_a_stream(tls):
    async def check(server, http):
        async with http.stream("GET", "/topics/prices.*") as events:
            echo = asyncio.create_task(http.post("/echo", content=content(server)))
            # httpx takes the rest of the answer off the connection, and ignores it.
            async with http.stream("GET", "/data.bin") as answer:
                async for _ in answer.aiter_raw():
                    break
            assert (await echo).content == content(server)
            sent = await http.post("/topics/prices.eur", headers={"content-type": "text/plain"}, content="still here")
            assert sent.status_code == 202
            async for text in events.aiter_lines():
                if "still here" in text:
                    break
        assert (await http.get("/plaintext")).text == "Hello, World!"

    with_httpx(tls, check)


def httpx_reads_events_to_the_end(tls):
    async def check(server, http):
        async with http.stream("GET", "/topics/prices.*") as answer:
            assert answer.headers["content-type"] == "text/event-stream", answer.headers
            lines = answer.aiter_lines()
            for number in range(3):
                await asyncio.to_thread(publish, server, "prices.eur", f"price {number}")
                async for text in lines:
                    if text.startswith("data: "):
                        assert json.loads(text[6:]) == {"topic": "prices.eur", "data": f"price {number}"}, text
                        break
            server.terminate()
            try:
                assert [text async for text in lines if text] == []
            except httpx.RemoteProtocolError as error:
                # It gives up every stream when it reads GOAWAY, even those that the server still serves.
                assert "ConnectionTerminated error_code:0" in str(error), error
            except h2.exceptions.ProtocolError as error:
                # It allows no PING after GOAWAY.
                assert "RECV_PING" in str(error), error

    with site(tls, "--workers", "2") as server:
        asyncio.run(ask_httpx(server, check))
        server.wait()


# ---------------------------------------------------------------- Node


def node(server, check):
    program = shutil.which("node") or shutil.which("nodejs")
    assert program, "node is not installed"
    paths = [f"{server.folder}/public/data.bin", f"{server.folder}/content"]
    return [program, NODE, check, server.origin, *paths, *([server.authority] if server.authority else [])]


def with_node(name):
    def check(tls):
        with site(tls, "--workers", "1") as server, one_connection(server):
            run(node(server, name))

    check.__name__ = f"node_{name}"
    return check


def node_reads_events_to_the_end(tls):
    with site(tls, "--workers", "2") as server:
        with running(node(server, "reads_events_to_the_end"), stdout=subprocess.PIPE, text=True) as listener:
            line(listener, "^open$")
            for number in range(3):
                publish(server, "prices.eur", f"price {number}")
                line(listener, f"^data: .*price {number}")
            ends_gracefully(server, listener)


def node_finishes_what_it_has_begun(tls):
    with site(tls, "--workers", "2") as server:
        with running(node(server, "finishes_what_it_has_begun"), stdout=subprocess.PIPE, text=True) as process:
            line(process, "^open$")
            ends_gracefully(server, process)


def ends_gracefully(server, client):
    """Stops the server, and checks that Node is told of it, that its streams end, and then the connection and both programs."""
    server.terminate()
    output = client.stdout.read()
    assert client.wait(TIMEOUT) == 0, output
    # GOAWAY comes twice: before the streams end, and with the last stream that was served (RFC 9113 section 6.8).
    said = output.split()
    assert said[0] == "goaway" and [word for word in said if word != "goaway"] == ["end", "close"], output
    server.wait()


CHECKS = [
    curl_gets_a_page_and_a_file,
    curl_gets_an_echo_of_a_megabyte,
    curl_gets_a_head_and_a_404,
    curl_reads_events_to_the_end,
    nghttp_gets_a_page_and_a_file,
    nghttp_gets_an_echo_of_a_megabyte,
    nghttp_gets_a_head_and_a_404,
    nghttp_sends_requests_at_once,
    nghttp_sends_trailers,
    nghttp_reads_events_to_the_end,
    h2load_gets_all_answers,
    h2load_gets_all_echoes,
    httpx_gets_a_page_and_a_file,
    httpx_gets_an_echo_of_a_megabyte,
    httpx_gets_a_head_and_a_404,
    httpx_sends_requests_at_once,
    httpx_cancels_a_stream,
    httpx_reads_events_to_the_end,
    with_node("gets_a_page_and_a_file"),
    with_node("gets_an_echo_of_a_megabyte"),
    with_node("gets_a_head_and_a_404"),
    with_node("sends_requests_at_once"),
    with_node("sends_trailers"),
    with_node("cancels_streams"),
    with_node("opens_a_websocket"),
    node_reads_events_to_the_end,
    node_finishes_what_it_has_begun,
]
# Without prior knowledge.
CHECKS_OF_TLS = [
    curl_sends_requests_one_after_another,
    curl_sends_requests_at_once,
    curl_cancels_a_stream,
]


def tests():
    """Returns each check, in plain text and over TLS."""
    cases = [(check, tls) for check in CHECKS for tls in (False, True)] + [(check, True) for check in CHECKS_OF_TLS]
    return [named(check, tls) for check, tls in cases]


def named(check, tls):
    def test():
        check(tls)

    test.__name__ = f"http2_{check.__name__}" + ("_over_tls" if tls else "")
    return test
