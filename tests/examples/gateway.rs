//! The example `gateway`, its feed, and its clients.
//!
//! It knows no other example. Its invariant: a tick that was sent is taken before the next thing is asked, so nothing
//! depends on time.

use super::running::Example;
use fleeting_testkit::client::{BINARY, CLOSE, Client, TEXT, handshake};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};

const TOKEN: &str = "Authorization: Bearer secret\r\n";
/// Ticks that are sent before the gateway is asked whether it has them: fewer than the system's buffer holds.
const TICKS_AT_ONCE: u64 = 100;

/// What the header of the example says is true, whether its loop spins or sleeps.
pub fn gateway() {
    for flags in [&[][..], &["--spin"][..]] {
        Gateway::start(flags).serves_ticks();
    }
    Gateway::start(&[]).conflates();
}

/// A running gateway.
struct Gateway {
    example: Example,
    feed: UdpSocket,
    feed_addr: SocketAddr,
}

impl Gateway {
    fn start(flags: &[&str]) -> Gateway {
        let args = [&["127.0.0.1:0", "127.0.0.1:0"], flags].concat();
        let example = Example::start_in("gateway", &args, &[("GATEWAY_TOKEN", "secret")]);
        let line = example.line();
        let feed_addr = line.strip_prefix("ticks from udp://").and_then(|addr| addr.parse().ok());
        let feed = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        Gateway { example, feed, feed_addr: feed_addr.unwrap_or_else(|| panic!("not an address: {line}")) }
    }

    fn send(&self, datagram: &str) {
        self.feed.send_to(datagram.as_bytes(), self.feed_addr).expect("loopback takes it");
    }

    /// Sends a datagram, and waits until the gateway has taken it.
    fn feed(&self, datagram: &str) {
        let taken =
            |health: &Value| ["ticks", "late", "malformed"].map(|name| number(&health[name])).iter().sum();
        let before: u64 = taken(&self.health());
        self.send(datagram);
        while taken(&self.health()) == before {}
    }

    fn health(&self) -> Value {
        self.get("/health")
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n"));
        assert_eq!(answer.0, 200, "{path}");
        answer.1
    }

    /// Returns the status, and the content if it is JSON.
    fn ask(&self, request: &str) -> (u16, Value) {
        let mut client = self.example.client();
        client.send(request);
        let answer = client.answer();
        let is_json = answer.field("content-type") == Some("application/json");
        (answer.status, if is_json { read(answer.text()) } else { Value::Null })
    }

    fn serves_ticks(self) {
        self.refuses_everything_without_the_token();
        self.feed("EURUSD 1.0842 7\n");
        let [mut euro, mut both] = [(); 2].map(|()| upgraded(self.example.client()));
        assert_eq!(command(&mut euro, json!({"subscribe": "EURUSD"})), subscribed("EURUSD", "1.0842", 7));
        assert_eq!(
            command(&mut both, json!({"subscribe": "OIL-20.APR"})),
            json!({"subscribed": "OIL-20.APR", "last": null})
        );
        assert_eq!(command(&mut both, json!({"subscribe": "EURUSD"})), subscribed("EURUSD", "1.0842", 7));
        // A repeated and a late tick, and datagrams that are no ticks.
        let long = format!("{} 1 1", "X".repeat(33));
        let malformed =
            ["", "EURUSD", "EURUSD 1.1", "EURUSD 1.1 0", "EURUSD 1.1 -1", "EURUSD 1.1 8 9", "EURUSD 1. 8"];
        let more = [
            "EURUSD 1.1 +8",
            "EURUSD 1.1 08",
            "EURUSD 1e9 8",
            "EURUSD - 8",
            "EUR* 1.1 8",
            "EUR\u{fc} 1 8",
            "EURUSD\n1.1",
            &long,
            &"1".repeat(5000),
        ];
        for datagram in ["EURUSD 1.0842 7", "EURUSD 1.1 6"].iter().chain(&malformed).chain(&more) {
            self.feed(datagram);
        }
        let health = self.health();
        assert_eq!([&health["ticks"], &health["late"], &health["malformed"]].map(number), [1, 2, 16]);
        self.feed("EURUSD 1.0843 8");
        self.feed("OIL-20.APR -37.63 1");
        self.feed("EURUSD 1.0844 10");
        assert_eq!(
            [next(&mut euro), next(&mut euro)],
            [tick("EURUSD", "1.0843", 8), tick("EURUSD", "1.0844", 10)]
        );
        let expected =
            [tick("EURUSD", "1.0843", 8), tick("OIL-20.APR", "-37.63", 1), tick("EURUSD", "1.0844", 10)];
        assert_eq!([(); 3].map(|()| next(&mut both)), expected);
        assert_eq!(self.get("/ticks/OIL-20.APR"), expected[1]);
        let unknown = format!("GET /ticks/GBPUSD HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n");
        assert_eq!(self.ask(&unknown).0, 404);

        assert_eq!(command(&mut euro, json!({"unsubscribe": "EURUSD"})), json!({"unsubscribed": "EURUSD"}));
        self.feed("EURUSD 1.0845 11");
        assert_eq!(next(&mut both), tick("EURUSD", "1.0845", 11));
        refuses_wrong_commands(&mut euro);

        // Open WebSockets are closed with 1001, and their clients answer.
        let closing = std::thread::spawn(move || {
            for mut client in [euro, both] {
                let close = client.next_frame();
                assert_eq!(close.close_code(), 1001);
                client.frame(CLOSE, close.payload);
                client.ended();
            }
        });
        self.example.terminate();
        closing.join().expect("both were closed in an orderly way");
    }

    fn refuses_everything_without_the_token(&self) {
        let upgrade = |fields: &str| handshake("/ticks", fields);
        let request = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
        let wrong =
            ["", "Authorization: secret\r\n", "Authorization: Basic secret\r\n", "Authorization: Bearer\r\n"];
        let close = [
            "Authorization: Bearer secre\r\n",
            "Authorization: Bearer secrets\r\n",
            "Authorization: Bearer Secret\r\n",
        ];
        for fields in wrong.iter().chain(&close) {
            let with_content = format!("{fields}Content-Length: 0\r\n");
            let requests = [
                (request("GET /ticks/EURUSD", fields), 404),
                (request("GET /health", fields), 200),
                (request("POST /ticks", &with_content), 405),
                (request("GET /unknown", fields), 404),
                (upgrade(fields), 101),
            ];
            for (request, allowed) in requests {
                assert_eq!(self.ask(&request).0, 401, "{request}");
                let mut client = self.example.client();
                client.send(request.replacen(&**fields, "", usize::from(!fields.is_empty())).replacen(
                    "Host: test\r\n",
                    &format!("Host: test\r\n{TOKEN}"),
                    1,
                ));
                assert_eq!(client.answer().status, allowed, "{request}");
            }
        }
    }

    /// A client that does not read gets the latest tick of each symbol when it reads again, and costs another nothing.
    fn conflates(self) {
        const SYMBOLS: [&str; 2] = ["EURUSD", "GBPUSD"];
        let mut slow = upgraded(Client::connect_with_small_buffer(self.example.addr));
        let mut fast = upgraded(self.example.client());
        for client in [&mut slow, &mut fast] {
            for symbol in SYMBOLS {
                command(client, json!({"subscribe": symbol}));
            }
        }
        let mut sent = 0;
        while number(&self.health()["conflated"]) < 2 * TICKS_AT_ONCE {
            for _ in 0..TICKS_AT_ONCE {
                sent += 1;
                self.send(&format!("{} 1.{sent} {sent}", SYMBOLS[sent as usize % 2]));
            }
            for expected in sent - TICKS_AT_ONCE + 1..=sent {
                assert_eq!(number(&next(&mut fast)["sequence"]), expected);
            }
        }
        let health = self.health();
        let conflated = number(&health["conflated"]);
        assert_eq!(number(&health["ticks"]), sent);
        let mut last = [0; 2];
        for _ in 0..sent - conflated {
            let tick = next(&mut slow);
            let (sequence, symbol) = (number(&tick["sequence"]), &tick["symbol"]);
            assert_eq!(symbol, SYMBOLS[sequence as usize % 2]);
            let last = &mut last[sequence as usize % 2];
            assert!(sequence > *last, "{sequence} after {last}");
            *last = sequence;
        }
        assert_eq!(last.iter().max(), Some(&sent));
        assert_eq!(last.iter().min(), Some(&(sent - 1)));
        // Nothing else was left for it.
        assert!(command(&mut slow, json!({"unsubscribe": SYMBOLS[0]}))["unsubscribed"].is_string());
        assert_eq!(number(&self.health()["delivered"]), 2 * sent - conflated);
        drop((slow, fast));
        self.example.terminate();
    }
}

fn refuses_wrong_commands(client: &mut Client) {
    let wrong = [
        r#"{"publish":"EURUSD"}"#,
        r#"{"subscribe":"EURUSD","unsubscribe":"EURUSD"}"#,
        r#"{"subscribe":7}"#,
        r#"{"subscribe":"ticks/*"}"#,
        r#"{"subscribe":""}"#,
        r#"{"unsubscribe":"EURUSD"}"#,
        r#"{"subscribe"}"#,
        "",
    ];
    for text in wrong {
        client.frame(TEXT, text);
        assert!(next(client)["error"].is_string(), "{text}");
    }
    client.frame(TEXT, wrong[0]);
    let error = next(client)["error"].as_str().expect("a text").to_string();
    assert!(error.starts_with("unknown variant `publish`"), "{error}");
    client.frame(BINARY, r#"{"subscribe":"EURUSD"}"#);
    assert_eq!(next(client), json!({"error": "A command is text."}));
    // It is not closed, and text with an escape means the same.
    client.frame(TEXT, r#"{"subscribe":"\u0045URUSD"}"#);
    assert_eq!(next(client), subscribed("EURUSD", "1.0845", 11));
}

fn upgraded(mut client: Client) -> Client {
    client.send(handshake("/ticks", TOKEN));
    assert_eq!(client.answer().status, 101);
    client
}

/// Sends a command, and returns the next message.
fn command(client: &mut Client, command: Value) -> Value {
    client.frame(TEXT, command.to_string());
    next(client)
}

fn next(client: &mut Client) -> Value {
    read(client.next_frame().text())
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn tick(symbol: &str, price: &str, sequence: u64) -> Value {
    json!({"symbol": symbol, "price": price, "sequence": sequence})
}

fn subscribed(symbol: &str, price: &str, sequence: u64) -> Value {
    json!({"subscribed": symbol, "last": tick(symbol, price, sequence)})
}
