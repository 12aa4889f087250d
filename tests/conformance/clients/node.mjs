// HTTP/2 with Node's client; see http2.py.
//
//   usage: node.mjs CHECK ORIGIN FILE CONTENT [AUTHORITY]
//
// FILE is what the server answers to /data.bin, CONTENT is what to send, AUTHORITY is the certificate to trust. Ends with
// status 0 if the check holds.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [check, origin, file, content, authority] = process.argv.slice(2);
const large = readFileSync(file);
const sent = readFileSync(content);
const index = "<!doctype html><title>files</title>\n";

// Longer than anything here takes.
setTimeout(() => { throw new Error("not within 30 s"); }, 30_000).unref();

// What waits to be sent counts as its memory, in megabytes.
const session = http2.connect(origin, { family: 4, ca: authority && readFileSync(authority), maxSessionMemory: 100 });

// Returns the head of an answer, whose content is still to come.
async function head(stream) {
    const [fields] = await once(stream, "response");
    return fields;
}

async function read(stream) {
    const pieces = [];
    for await (const piece of stream) pieces.push(piece);
    return Buffer.concat(pieces);
}

async function ask(fields, sent) {
    const stream = session.request(fields, { endStream: sent === undefined });
    if (sent !== undefined) stream.end(sent);
    const answer = await head(stream);
    return { status: answer[":status"], fields: answer, content: await read(stream) };
}

const get = (path) => ask({ ":path": path });
const post = (sent, fields = {}) => ask({ ":method": "POST", ":path": "/echo", ...fields }, sent);
const same = (one, other, what) => assert(one.equals(other), `${what}: ${one.length} octets differ from ${other.length}`);

const checks = {
    async gets_a_page_and_a_file() {
        const page = await get("/");
        assert.equal(page.status, 200);
        assert.equal(page.content.toString(), index);
        same((await get("/data.bin")).content, large, "the file");
        assert.equal(session.alpnProtocol, authority ? "h2" : "h2c");
        await new Promise((resolve, reject) => session.ping((error) => error ? reject(error) : resolve()));
    },

    async gets_an_echo_of_a_megabyte() {
        same((await post(sent)).content, sent, "without a length");
        same((await post(sent, { "content-length": sent.length })).content, sent, "with a length");
        same((await post(sent, { expect: "100-continue" })).content, sent, "after 100 (Continue)");
    },

    async gets_a_head_and_a_404() {
        const answer = await ask({ ":method": "HEAD", ":path": "/data.bin" });
        assert.deepEqual([answer.status, answer.fields["content-length"], answer.content.length], [200, "3000000", 0]);
        assert.equal((await get("/nothing")).status, 404);
        assert.equal((await get("/plaintext")).content.toString(), "Hello, World!");
    },

    // More than the server allows at once: the client sends the rest when others have ended.
    async sends_requests_at_once() {
        const asked = [];
        for (let number = 0; number < 300; number += 1) {
            if (number % 20 === 0) asked.push(get("/data.bin").then((got) => same(got.content, large, `file ${number}`)));
            else if (number % 20 === 10) asked.push(post(sent).then((got) => same(got.content, sent, `echo ${number}`)));
            else asked.push(get("/plaintext").then((got) => assert.equal(got.content.toString(), "Hello, World!")));
        }
        await Promise.all(asked);
    },

    async sends_trailers() {
        const stream = session.request({ ":method": "POST", ":path": "/echo" }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ checksum: "1", more: "x".repeat(1000) }));
        stream.end(sent);
        assert.equal((await head(stream))[":status"], 200);
        same(await read(stream), sent, "the echo");
        assert.equal((await get("/plaintext")).status, 200);
    },

    async cancels_streams() {
        // An answer whose beginning has arrived, a request whose end has not been sent, and an event stream.
        const events = session.request({ ":path": "/topics/prices.*" });
        await head(events);
        const echo = post(sent);
        const ended = [];
        for (let number = 0; number < 50; number += 1) {
            const answer = session.request({ ":path": number % 3 ? "/data.bin" : "/topics/others" });
            await head(answer);
            answer.close(http2.constants.NGHTTP2_CANCEL);
            const request = session.request({ ":method": "POST", ":path": "/echo" });
            request.write(randomBytes(50_000), () => request.close(http2.constants.NGHTTP2_CANCEL));
            ended.push(once(answer, "close"), once(request, "close"));
        }
        await Promise.all(ended);
        same((await echo).content, sent, "the echo");
        // The windows have the cancelled streams' room again.
        const files = await Promise.all([get("/data.bin"), get("/data.bin")]);
        for (const got of files) same(got.content, large, "the file");
        same((await post(sent)).content, sent, "another echo");
        const publication = await ask({ ":method": "POST", ":path": "/topics/prices.eur", "content-type": "text/plain" }, "still here");
        assert.equal(publication.status, 202);
        for await (const piece of events) if (piece.includes("still here")) break;
        // Only the event stream is left, and it is the last to be cancelled.
        const topics = JSON.parse((await get("/topics")).content);
        assert(topics.every((topic) => topic.name !== "others"), JSON.stringify(topics));
    },

    // RFC 8441: the server's settings must allow it, and then a stream is the socket.
    async opens_a_websocket() {
        if (!session.remoteSettings?.enableConnectProtocol) await once(session, "remoteSettings");
        assert(session.remoteSettings.enableConnectProtocol);
        const stream = session.request(
            { ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", "sec-websocket-version": "13", origin },
            { endStream: false },
        );
        assert.equal((await head(stream))[":status"], 200);
        const text = Buffer.from("a text for the echo");
        const mask = randomBytes(4);
        const frame = (opcode, payload) => Buffer.concat([
            Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, payload.map((octet, at) => octet ^ mask[at % 4]),
        ]);
        stream.write(frame(1, text));
        stream.write(frame(8, Buffer.from([0x03, 0xe8])));
        // The echo, the answer to Close, and the end of the stream.
        const expected = Buffer.concat([Buffer.from([0x81, text.length]), text, Buffer.from([0x88, 2, 0x03, 0xe8])]);
        const received = read(stream);
        stream.on("end", () => stream.end());
        same(await received, expected, "the frames");
    },

    async reads_events_to_the_end() {
        const stream = session.request({ ":path": "/topics/prices.*" });
        assert.equal((await head(stream))["content-type"], "text/event-stream");
        console.log("open");
        for await (const piece of stream) process.stdout.write(piece);
        assert.equal(stream.rstCode, 0);
        await isClosedByTheServer();
    },

    // A request and an answer of which the greater part follows after GOAWAY.
    async finishes_what_it_has_begun() {
        const answer = session.request({ ":path": "/data.bin" });
        await head(answer);
        const request = session.request({ ":method": "POST", ":path": "/echo", "content-length": sent.length });
        request.write(sent.subarray(0, 1000));
        // The server has read it when it has answered what was sent after it.
        await get("/plaintext");
        console.log("open");
        await once(session, "goaway");
        request.end(sent.subarray(1000));
        // Both are read at once: what waits on one stream takes room in the connection's window.
        const [down, up] = await Promise.all([read(answer), head(request).then(() => read(request))]);
        same(down, large, "the file");
        same(up, sent, "the echo");
        await isClosedByTheServer();
    },
};

// The client would keep its connection.
async function isClosedByTheServer() {
    console.log("end");
    if (!session.destroyed) await once(session, "close");
    console.log("close");
}

session.on("goaway", (code) => console.log(code === 0 ? "goaway" : `goaway ${code}`));
assert(check in checks, `no check ${check}`);
await checks[check]();
if (!session.destroyed) {
    session.close();
    await once(session, "close");
}
