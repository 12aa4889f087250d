//! Streams of events and `/hub`: a client that reads loses nothing, one that does not is told what it lost.

use crate::program::Running;
use fleeting_testkit::client::{Client, TEXT};

/// Returns a POST that publishes `text` under `topic`.
fn post(topic: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
    )
}

fn events(program: &Running, target: &str) -> Client {
    let mut client = Client::connect(program.addrs[0]);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    let head = client.answer_to_head();
    assert_eq!((head.status, head.field("x-accel-buffering")), (200, Some("no")));
    // Finding B6.
    assert_eq!(client.chunk(), b":\n\n");
    client
}

/// Findings B1 and B2.
#[test]
fn a_stream_of_events_gets_long_messages_and_bursts() {
    let program = Running::serve(&["--workers", "1"]);
    let mut client = events(&program, "/topics/t");
    let mut publisher = Client::connect(program.addrs[0]);
    for bytes in [65_505, 65_506, 500_000] {
        let text = "x".repeat(bytes);
        publisher.send(post("t", &text));
        assert_eq!(publisher.answer().status, 202);
        let expected = format!("data: {{\"topic\":\"t\",\"data\":\"{text}\"}}\n\n");
        assert!(client.text_in_chunks(expected.len()) == expected, "{bytes}");
    }
    let (one, two) = ("1".repeat(40_000), "2".repeat(40_000));
    publisher.send(post("t", &one) + &post("t", &two));
    let expected =
        [one, two].map(|text| format!("data: {{\"topic\":\"t\",\"data\":\"{text}\"}}\n\n")).concat();
    assert!(client.text_in_chunks(expected.len()) == expected);
    assert_eq!([publisher.answer().status, publisher.answer().status], [202, 202]);
}

/// Finding B3.
#[test]
fn clients_that_do_not_read_are_told_what_they_lost() {
    // More than the system takes for a client.
    const PUBLISHED: u64 = 16;
    const BYTES: usize = 1_000_000;
    let program = Running::serve(&["--workers", "1"]);
    for slow in ["drop-newest", "drop-oldest"] {
        let mut stream = events(&program, &format!("/topics/t?slow={slow}"));
        let mut hub = Client::connect(program.addrs[0]).upgraded("/hub");
        hub.frame(TEXT, format!(r#"{{"subscribe":"t","slow":"{slow}"}}"#));
        assert_eq!(hub.next_frame().text(), r#"{"subscribed":"t"}"#);
        let mut publisher = Client::connect(program.addrs[0]);
        let mut publish = |text: &str| {
            publisher.send(post("t", text));
            assert_eq!(publisher.answer().status, 202);
        };
        (0..PUBLISHED).for_each(|number| publish(&format!("{number} {}", "x".repeat(BYTES))));
        let mut account = Account::default();
        while account.next < PUBLISHED {
            account.note(hub.next_frame().text());
        }
        assert!(account.lost > 0, "{slow}");
        let (mut account, mut rest) = (Account::default(), String::new());
        while account.next < PUBLISHED {
            rest += std::str::from_utf8(&stream.chunk()).expect("text");
            while let Some((event, more)) = rest.split_once("\n\n") {
                account.note(event.trim_start_matches("event: gap\n").strip_prefix("data: ").expect("data"));
                rest = more.into();
            }
        }
        assert!(account.lost > 0, "{slow}");
    }
}

/// What a subscriber has received of the publications `0..next`.
#[derive(Default)]
struct Account {
    next: u64,
    lost: u64,
}

impl Account {
    fn note(&mut self, message: &str) {
        if let Some(gap) = message.strip_prefix(r#"{"gap":{"reason":"slow","publications":"#) {
            let lost: u64 = gap.trim_end_matches('}').parse().expect("a number");
            (self.next, self.lost) = (self.next + lost, self.lost + lost);
            return;
        }
        let text = message.strip_prefix(r#"{"topic":"t","data":""#).expect("a publication");
        let (number, _) = text.split_once(' ').expect("a number first");
        assert_eq!(number.parse(), Ok(self.next), "something is missing and was not told");
        self.next += 1;
    }
}

/// Finding B8.
#[test]
fn a_stream_of_events_beyond_the_limit_of_topics_is_a_503() {
    let program = Running::serve(&["--workers", "1", "--limit", "topics=1"]);
    let _first = events(&program, "/topics/a");
    let mut client = Client::connect(program.addrs[0]);
    let answer = client.get("/topics/b");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{}", answer.text());
    assert_eq!(client.get("/topics/a?slow=wait").status, 400);
    assert_eq!(client.get("/topics/a*b").status, 400);
}
