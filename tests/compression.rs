//! Compressed messages pass through the engine (RFC 7692): negotiated, read, sent, published, and bounded in memory.

use crate::driver::{Driver, Peer};
use fleeting::engine::Settings;
use fleeting::ws::{Compression, Deflater, Inflated, Inflater, Policy};
use fleeting::{App, Error, Handle, Limits, Message, Request, Socket, WebSocket};
use fleeting_testkit::client::{BINARY, CLOSE, TEXT};
use fleeting_testkit::random::Random;
use fleeting_testkit::server::{Echo, subscribe};

/// The bit that marks the first frame of a compressed message.
const RSV1: u8 = 0x40;

/// Subscribes to "a", publishes binary messages there, and echoes text messages.
struct Feed;

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        subscribe(socket, "a")
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        match message {
            Message::Text(_) => drop(socket.send(message)),
            Message::Binary(_) => socket.publish("a", message).expect("it is valid"),
        }
    }

    fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
        // Long enough to be compressed, if it were allowed to be.
        socket.text(&format!("gap {publications} {}", "again and ".repeat(20)));
    }
}

fn driver(compression: &str) -> Driver {
    driver_with(compression, |_| {})
}

fn driver_with(compression: &str, set: impl FnOnce(&mut Limits)) -> Driver {
    driver_on(compression, &Handle::unattended(1), set)
}

fn driver_on(compression: &str, handle: &Handle, set: impl FnOnce(&mut Limits)) -> Driver {
    let compression: Compression = compression.parse().expect("a mode of the command line");
    let policy = Policy::new().compression(compression);
    let app =
        App::new().ws_with("/echo", policy.clone(), Echo).ws_with("/feed", policy, Feed).ws("/plain", Echo);
    let mut settings = Settings::default();
    set(&mut settings.limits);
    Driver::with_handle(app, settings, handle)
}

/// A client and its codec.
struct CompressingClient {
    peer: Peer,
    deflater: Deflater,
    inflater: Inflater,
    inflated: Inflated,
    /// The window bits agreed on for the client's messages and for the server's.
    takeover: (bool, bool),
}

impl CompressingClient {
    fn new(driver: &mut Driver, path: &str, offer: &str) -> CompressingClient {
        let fields = format!("Sec-WebSocket-Extensions: permessage-deflate{offer}\r\n");
        let (peer, head) = driver.websocket_with(path, &fields);
        let agreed = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        let agreed = agreed.unwrap_or_else(|| panic!("no compression was agreed on: {head}"));
        let takeover =
            ["client", "server"].map(|side| !agreed.contains(&format!("{side}_no_context_takeover")));
        CompressingClient {
            peer,
            deflater: Deflater::new(15, 6),
            inflater: Inflater::new(),
            inflated: Inflated::new(),
            takeover: takeover.into(),
        }
    }

    fn say(&mut self, driver: &mut Driver, opcode: u8, payload: &[u8]) {
        let mut compressed = Vec::new();
        self.deflater.message(payload, self.takeover.0, &mut compressed);
        driver.send(&self.peer, opcode | RSV1, compressed);
    }

    /// Returns the messages received: opcodes unchanged, payloads inflated.
    fn receive(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut received = Vec::new();
        for frame in self.peer.frames() {
            let payload = if frame.opcode & RSV1 == 0 {
                frame.payload
            } else {
                let inflated = &mut self.inflated;
                let found = self.inflater.message(&frame.payload, self.takeover.1, inflated, 1 << 20);
                found.expect("it inflates").to_vec()
            };
            received.push((frame.opcode, payload));
        }
        received
    }
}

/// Compressible prose without repeated sentences.
fn prose(number: usize) -> Vec<u8> {
    format!(
        "{number} is the number of this sentence, which is sent for the {number}th time, and sent again. "
    )
    .repeat(4)
    .into()
}

#[test]
fn messages_are_echoed_whatever_was_agreed_on() {
    for (mode, offer, agreed) in [
        ("shared", "; client_max_window_bits", (false, false)),
        ("shared,window=9", "", (false, false)),
        ("shared", "; server_max_window_bits=10", (false, false)),
        ("dedicated", "", (true, true)),
        ("dedicated", "; server_no_context_takeover", (true, false)),
        ("dedicated", "; client_no_context_takeover", (false, true)),
        ("dedicated,window=10,level=6", "; client_max_window_bits", (true, true)),
    ] {
        let mut driver = driver(mode);
        let mut clients: Vec<CompressingClient> =
            (0..3).map(|_| CompressingClient::new(&mut driver, "/echo", offer)).collect();
        assert_eq!(clients[0].takeover, agreed, "{mode} {offer}");
        for number in 0..20 {
            for client in &mut clients {
                for opcode in [TEXT, BINARY] {
                    let message = prose(number);
                    client.say(&mut driver, opcode, &message);
                    assert_eq!(client.receive(), [(opcode | RSV1, message)], "{mode} {offer}");
                }
                // One that is too short to compress, and an empty one.
                for message in [&b"short"[..], b""] {
                    client.say(&mut driver, TEXT, message);
                    assert_eq!(client.receive(), [(TEXT, message.to_vec())]);
                    driver.send(&client.peer, TEXT, message);
                    assert_eq!(client.receive(), [(TEXT, message.to_vec())]);
                }
            }
        }
    }
}

#[test]
fn messages_below_the_threshold_are_sent_as_they_are() {
    for (mode, threshold) in [
        ("shared", 128),
        ("dedicated", 64),
        ("shared,threshold=1000", 1000),
        ("dedicated,threshold=300", 300),
    ] {
        let mut driver = driver(mode);
        let mut client = CompressingClient::new(&mut driver, "/echo", "");
        for (bytes, opcode) in [(threshold - 1, TEXT), (threshold, TEXT | RSV1)] {
            let message = vec![b'a'; bytes];
            client.say(&mut driver, TEXT, &message);
            assert_eq!(client.receive(), [(opcode, message)], "{mode} {bytes}");
        }
    }
}

#[test]
fn no_compression_is_agreed_on_where_it_is_off() {
    let mut driver = driver("off");
    for path in ["/echo", "/plain"] {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let (peer, head) = driver.websocket_with(path, offer);
        assert!(!head.contains("Extensions"), "{head}");
        driver.send(&peer, TEXT | RSV1, b"\x02\x00");
        assert_eq!(peer.frames()[0].close_code(), 1002);
    }
}

/// What a session sends because of a gap is sent before messages that were compressed earlier, and may not refer to them, nor
/// they to it.
#[test]
fn the_note_of_a_gap_does_not_disturb_the_compression_of_what_follows() {
    for mode in ["shared", "dedicated"] {
        let handle = Handle::unattended(1);
        let mut driver = driver_on(mode, &handle, |limits| limits.outbox_bytes = 4096);
        let mut client = CompressingClient::new(&mut driver, "/feed", "");
        client.say(&mut driver, TEXT, &prose(1));
        assert_eq!(client.receive(), [(TEXT | RSV1, prose(1))], "{mode}");
        client.peer.limit_room(0);
        for number in 0..3 {
            let noise: String = noise(4000).iter().map(|byte| char::from(b'a' + byte % 16)).collect();
            handle.publish("a", Message::Text(&format!("{number}{noise}"))).expect("there is room");
        }
        driver.turn();
        client.say(&mut driver, TEXT, &prose(2));
        driver.make_room(&client.peer, 5000);
        handle.publish("a", Message::Text("last")).expect("there is room");
        driver.turn();
        driver.make_room(&client.peer, usize::MAX);
        client.say(&mut driver, TEXT, &prose(3));
        let received = client.receive();
        let shown: Vec<_> = received.iter().map(|(_, payload)| &payload[..payload.len().min(12)]).collect();
        let told =
            received.iter().position(|(opcode, payload)| *opcode == TEXT && payload.starts_with(b"gap "));
        assert!(told.is_some_and(|at| at > 0), "{mode}: {shown:?}");
        for own in [prose(2), prose(3)] {
            assert!(received.contains(&(TEXT | RSV1, own)), "{mode}: {shown:?}");
        }
    }
}

#[test]
fn a_publication_is_compressed_once_and_mixes_with_a_connections_own_messages() {
    for mode in ["shared", "dedicated", "dedicated,window=9"] {
        let mut driver = driver(mode);
        let plain = driver.websocket("/feed");
        let mut clients: Vec<CompressingClient> =
            ["", "; server_max_window_bits=11", "; server_no_context_takeover"]
                .iter()
                .map(|offer| CompressingClient::new(&mut driver, "/feed", offer))
                .collect();
        for number in 0..50 {
            let (published, own) = (prose(number), prose(number + 1000));
            driver.send(&plain, BINARY, &published);
            assert_eq!(plain.frames()[0].payload, published);
            for client in &mut clients {
                // Later messages may refer to what the connection was sent before, but not to the publication.
                client.say(&mut driver, TEXT, &own);
                client.say(&mut driver, TEXT, &own);
                let expected = [
                    (BINARY | RSV1, published.clone()),
                    (TEXT | RSV1, own.clone()),
                    (TEXT | RSV1, own.clone()),
                ];
                assert_eq!(client.receive(), expected, "{mode}");
            }
        }
        driver.send(&plain, BINARY, b"short");
        for client in &mut clients {
            assert_eq!(client.receive(), [(BINARY, b"short".to_vec())]);
        }
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    Random::new(bytes as u64).noise(bytes)
}

#[test]
fn an_incompressible_message_is_sent_plain_unless_later_ones_may_refer_to_it() {
    for (mode, compressed) in [("shared", 0), ("dedicated", RSV1)] {
        let mut driver = driver(mode);
        let mut client = CompressingClient::new(&mut driver, "/echo", "");
        let mut reader = CompressingClient::new(&mut driver, "/feed", "");
        for bytes in [128, 1000, 70_000, 1000] {
            let noise = noise(bytes);
            client.say(&mut driver, BINARY, &noise);
            assert!(client.receive() == [(BINARY | compressed, noise.clone())], "{mode} {bytes}");
            // A publication refers to nothing, and nothing refers to it.
            reader.say(&mut driver, BINARY, &noise);
            assert!(reader.receive() == [(BINARY, noise)], "{mode} {bytes}");
        }
        let prose = prose(1);
        client.say(&mut driver, TEXT, &prose);
        assert_eq!(client.receive(), [(TEXT | RSV1, prose)]);
    }
}

/// Unsolicited messages count with their compressed size.
#[test]
fn a_message_that_compression_enlarges_stays_within_the_limit() {
    const OUTBOX_BYTES: usize = 16 << 10;
    for mode in ["shared", "dedicated"] {
        let handle = Handle::unattended(1);
        let mut driver = driver_on(mode, &handle, |limits| limits.outbox_bytes = OUTBOX_BYTES);
        let mut client = CompressingClient::new(&mut driver, "/echo", "");
        let noise = noise(OUTBOX_BYTES * 31 / 32);
        // Creates the codec and whatever else the worker needs.
        client.say(&mut driver, BINARY, &noise);
        handle.send(client.peer.id, Message::Binary(&noise[..1000])).expect("there is room");
        driver.turn();
        assert_eq!(client.receive().len(), 2);
        client.peer.limit_room(0);
        let held = allocation_counter::measure(|| {
            for bytes in [noise.len(), 1000] {
                handle.send(client.peer.id, Message::Binary(&noise[..bytes])).expect("there is room");
                driver.turn();
            }
        });
        // The outbox itself, and the engine's lists for connections that have one.
        let most = OUTBOX_BYTES as i64 + 512;
        assert!(held.bytes_current <= most, "{mode}: {} of {most}", held.bytes_current);
        driver.make_room(&client.peer, usize::MAX);
        let received: Vec<usize> = client.receive().iter().map(|(_, payload)| payload.len()).collect();
        assert_eq!(received, [if mode == "shared" { noise.len() } else { 1000 }], "{mode}");
        assert_eq!(driver.counters().dropped, 1);
    }
}

#[test]
fn a_message_that_does_not_inflate_or_is_not_utf8_fails_the_connection() {
    fn check(mode: &str, opcode: u8, message: &[u8], code: u16) {
        let mut driver = driver(mode);
        let mut client = CompressingClient::new(&mut driver, "/echo", "");
        client.say(&mut driver, TEXT, b"fine");
        assert_eq!(client.receive().len(), 1);
        driver.send(&client.peer, opcode, message);
        let close = client.peer.frames().pop().expect("a Close");
        assert_eq!((close.opcode, close.close_code()), (CLOSE, code), "{mode} {}", message.escape_ascii());
        let failed: u64 = driver.counters().failed().map(|(_, count)| count).sum();
        assert_eq!((failed, driver.counters().messages), (1, 1));
    }
    for mode in ["shared", "dedicated"] {
        check(mode, TEXT | RSV1, b"\xff\xff\xff", 1007);
        // A stored block of one byte that is not UTF-8.
        check(mode, TEXT | RSV1, b"\x00\x01\x00\xfe\xff\xff\x00", 1007);
        // RFC 7692 §6.1: the bit is not allowed on control frames, nor is any other bit.
        check(mode, 0x9 | RSV1, b"ping", 1002);
        check(mode, TEXT | 0x20, b"x", 1002);
    }
}

/// Compresses `bytes` zeros, of which a thousand take about one byte.
#[cfg(not(fleeting_paranoid))]
fn bomb(bytes: usize) -> Vec<u8> {
    let mut compressed = Vec::new();
    Deflater::new(15, 9).message(&vec![0; bytes], false, &mut compressed);
    assert!(compressed.len() * 900 < bytes, "{} bytes", compressed.len());
    compressed
}

#[test]
#[cfg(not(fleeting_paranoid))]
fn a_compression_bomb_is_stopped_at_the_limit_within_twice_its_memory() {
    for (mode, limit) in [("shared", 1 << 20), ("dedicated", 1 << 20), ("shared", 64 << 10)] {
        let mut driver = driver_with(mode, |limits| limits.message_bytes = limit);
        let payload = bomb(20 * limit);
        let mut client = CompressingClient::new(&mut driver, "/echo", "");
        // The codec already exists: it belongs to the worker, or its size is known.
        client.say(&mut driver, TEXT, b"first");
        assert_eq!(client.receive().len(), 1);
        let counted = allocation_counter::measure(|| driver.send(&client.peer, TEXT | RSV1, &payload));
        assert_eq!(client.peer.frames()[0].close_code(), 1009, "{mode}");
        assert!(counted.bytes_max < 2 * limit as u64, "{mode}: {counted:?}");
        // A connection whose limit is large enough is served as before.
        let mut other = CompressingClient::new(&mut driver, "/echo", "");
        let zeros = vec![b'0'; limit];
        other.say(&mut driver, TEXT, &zeros);
        assert!(other.receive() == [(TEXT | RSV1, zeros)]);
    }
}

#[test]
#[cfg(not(fleeting_paranoid))]
fn a_compressed_echo_and_a_compressed_broadcast_allocate_nothing() {
    for mode in ["shared", "dedicated"] {
        let mut driver = driver(mode);
        let echo = CompressingClient::new(&mut driver, "/echo", "");
        let feed: Vec<CompressingClient> =
            (0..50).map(|_| CompressingClient::new(&mut driver, "/feed", "")).collect();
        // Without takeover the same bytes give the same message, so the client's codec is left out.
        let message = prose(7);
        let mut compressed = Vec::new();
        Deflater::new(15, 6).message(&message, false, &mut compressed);
        let echoed = fleeting_testkit::client::frame(true, TEXT | RSV1, &compressed);
        let published = fleeting_testkit::client::frame(true, BINARY | RSV1, &compressed);
        let mut round = || {
            let mut count = 0;
            driver.arrive(&echo.peer, &echoed);
            echo.peer.each_frame(|opcode, _| count += usize::from(opcode == TEXT | RSV1));
            driver.arrive(&feed[0].peer, &published);
            for subscriber in &feed {
                subscriber.peer.each_frame(|opcode, _| count += usize::from(opcode == BINARY | RSV1));
            }
            assert_eq!(count, 51);
        };
        (0..200).for_each(|_| round());
        let counted = allocation_counter::measure(|| (0..2_000).for_each(|_| round()));
        assert_eq!(counted.count_total, 0, "{mode}: {counted:?}");
    }
}
