//! `/metrics` is valid for Prometheus and counts correctly, and the log warns before a limit is reached.

use crate::program::Running;
use fleeting_testkit::client::{Client, TEXT};
use fleeting_testkit::redis::server::RedisServer;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// A series: its name and its labels, as written.
type Series = (String, BTreeMap<String, String>);

/// Parses an exposition at least as strictly as `promtool check metrics` does.
fn parsed(text: &str) -> BTreeMap<Series, f64> {
    assert!(text.ends_with('\n'), "the last line ends with a line feed");
    let (mut series, mut ended) = (BTreeMap::new(), HashSet::new());
    let (mut family, mut kind, mut help) = (String::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help_line) = rest.split_once(' ').expect("a name and a help line");
            assert!(is_name(name) && help_line.ends_with('.'), "{line}");
            assert!(ended.insert(name.to_string()), "{line}: is repeated");
            (help, kind) = (name.to_string(), String::new());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_name) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, help, "{line}: should follow its HELP");
            assert!(kind.is_empty(), "{line}: is repeated");
            assert!(matches!(type_name, "counter" | "gauge"), "{line}");
            assert_eq!(name.ends_with("_total"), type_name == "counter", "{line}");
            (family, kind) = (name.to_string(), type_name.to_string());
        } else {
            let (series_text, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series_text.split_once('{') {
                Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("a closing brace"))),
                None => (series_text, BTreeMap::new()),
            };
            assert_eq!(name, family, "{line}: should follow its TYPE");
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(series.insert((name.to_string(), labels), value).is_none(), "{line}: is repeated");
        }
    }
    assert!(
        ended.iter().all(|name| series.keys().any(|(known, _)| known == name)),
        "each family has a sample"
    );
    series
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Parses `a="b",c="d"` without escapes, because no value here has any.
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for label in text.split(',') {
        let (name, value) = label.split_once('=').expect("a value");
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("quotes");
        assert!(is_name(name) && !value.contains(['"', '\\']), "{label}");
        assert!(labels.insert(name.to_string(), value.to_string()).is_none(), "{label}: is repeated");
    }
    labels
}

struct Metrics(BTreeMap<Series, f64>);

impl Metrics {
    fn of(client: &mut Client) -> Metrics {
        let answer = client.get("/metrics");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        Metrics(parsed(answer.text()))
    }

    /// Returns the sum of all series of this name, or of those with this label.
    fn sum(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let of_name = self.0.iter().filter(|((known, _), _)| known == name);
        let fits = of_name.filter(|((_, labels), _)| {
            label.is_none_or(|(label, value)| labels.get(label).is_some_and(|known| known == value))
        });
        let values: Vec<f64> = fits.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "there is no {name} {label:?}");
        values.iter().sum()
    }
}

#[test]
fn metrics_count_what_was_done() {
    let program = Running::serve(&["--workers", "2", "--limit", "head_bytes=1000", "--limit", "topics=100"]);
    let addr = program.addrs[0];
    let mut scraper = Client::connect(addr);
    let before = Metrics::of(&mut scraper);
    for number in 0..10 {
        let mut client = Client::connect(addr);
        client.get("/plaintext");
        client.get("/nothing");
        if number < 3 {
            client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(2000)));
            assert_eq!(client.answer().status, 431);
        }
    }
    assert_eq!(scraper.get("/hub").status, 426);
    let mut sockets: Vec<Client> = (0..6).map(|_| Client::websocket(addr, "/hub")).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.frame(TEXT, format!(r#"{{"subscribe": "a.{}"}}"#, number % 3));
        socket.next_frame();
    }
    sockets[0].frame(TEXT, r#"{"publish": "a.1", "data": 1}"#);
    sockets[0].next_frame();
    for at in [1, 4] {
        sockets[at].next_frame();
    }
    for id in ["a", "b", "c"] {
        let mut client = Client::connect(addr);
        client.send(format!("POST /clients HTTP/1.1\r\nHost: test\r\nX-Id: {id}\r\n\r\n"));
        assert_eq!(client.answer().status, 201);
    }
    let mut holder = Client::websocket(addr, "/clients/ws?id=a");
    holder.next_frame();
    // Wait until the server has noticed the closed connections and has counted the records.
    let after = loop {
        let metrics = Metrics::of(&mut scraper);
        let settled = metrics.sum("fleeting_connections", None) == 8.0
            && metrics.0.keys().any(|(name, _)| name == "fleeting_clients")
            && metrics.sum("fleeting_clients", None) == 3.0
            && metrics.sum("fleeting_clients_orphaned", None) == 2.0;
        if settled {
            break metrics;
        }
    };
    let grown = |name: &str| after.sum(name, None) - before.sum(name, None);
    let reason = |name: &str, reason: &str| after.sum(name, Some(("reason", reason)));
    assert_eq!(grown("fleeting_connections_accepted_total"), 20.0);
    assert_eq!(grown("fleeting_websockets_opened_total"), 7.0);
    assert_eq!(grown("fleeting_messages_received_total"), 7.0);
    assert_eq!(grown("fleeting_early_answers_total"), 10.0);
    assert_eq!(reason("fleeting_requests_refused_total", "head_too_large"), 3.0);
    assert_eq!(grown("fleeting_requests_refused_total"), 3.0);
    assert_eq!(grown("fleeting_websockets_failed_total"), 0.0);
    assert_eq!(reason("fleeting_handshakes_rejected_total", "not_an_upgrade"), 1.0);
    assert_eq!(grown("fleeting_handshakes_rejected_total"), 1.0);
    assert_eq!(grown("fleeting_publications_delivered_total"), 2.0);
    assert_eq!(grown("fleeting_publications_matched_total"), 2.0);
    assert_eq!(grown("fleeting_handler_panics_total"), 0.0);
    assert!(grown("fleeting_kept_bytes_total") >= 1.0, "an id was kept");
    assert_eq!(after.sum("fleeting_clients_connected", None), 1.0);
    assert_eq!(after.sum("fleeting_store_entries", None), 3.0);
    assert!(after.sum("fleeting_store_bytes", None) > 0.0);
    assert!(after.sum("fleeting_store_oldest_seconds", None) < 60.0);
    assert_eq!(after.sum("fleeting_topics_limit", None), 200.0);
    assert!((3.0..=6.0).contains(&after.sum("fleeting_topics", None)), "three topics, on one worker or two");
    for worker in ["0", "1"] {
        let of = |name: &str| after.sum(name, Some(("worker", worker)));
        assert!(of("fleeting_arena_reserved_bytes") > 0.0 && of("fleeting_connections_limit") > 0.0);
        assert!(of("fleeting_requests_total") <= after.sum("fleeting_requests_total", None));
    }
    assert!(after.sum("fleeting_arena_high_water_bytes", None) > 0.0);
    assert_eq!(after.sum("fleeting_build_info", Some(("version", env!("CARGO_PKG_VERSION")))), 1.0);
    // The count grows by exactly the request that asks for it.
    let requests = || Metrics::of(&mut scraper).sum("fleeting_requests_total", None);
    let mut requests = requests;
    assert_eq!(requests() + 1.0, requests());
}

#[test]
fn the_census_has_the_same_series() {
    let redis = RedisServer::start();
    for arguments in [&["--workers", "2"][..], &["--store", &redis.url()]] {
        compare_series(&Running::serve(arguments));
    }
}

fn compare_series(program: &Running) {
    let mut client = Client::connect(program.addrs[0]);
    // Wait until the records have been counted.
    let metrics = loop {
        let metrics = Metrics::of(&mut client).0;
        if metrics.keys().any(|(name, _)| name == "fleeting_clients") {
            break metrics;
        }
    };
    let answer = client.get("/census");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    let census: BTreeMap<String, Vec<Value>> = serde_json::from_str(answer.text()).expect("JSON");
    let series: HashSet<Series> = census
        .iter()
        .flat_map(|(name, samples)| {
            samples.iter().map(|sample| {
                assert!(sample["value"].is_number(), "{sample}");
                let labels = serde_json::from_value(sample["labels"].clone()).expect("labels");
                (name.clone(), labels)
            })
        })
        .collect();
    assert_eq!(series, metrics.into_keys().collect());
}

#[test]
fn the_log_warns_when_a_capacity_is_nearly_used_up() {
    let mut program = Running::serve(&["--limit", "connections=10", "--limit", "topics=10"]);
    let addr = program.addrs[0];
    let mut client = Client::websocket(addr, "/hub");
    let others: Vec<Client> = (0..8).map(|_| Client::connect(addr)).collect();
    let line = program.stderr_line();
    assert_eq!(line, "warning: connections of worker 0: 9 of 10 in use (90 %)\n");
    for number in 0..9 {
        client.frame(TEXT, format!(r#"{{"subscribe": "{number}"}}"#));
        client.next_frame();
    }
    // There is no second warning about the connections, whose number has not changed.
    let line = program.stderr_line();
    assert_eq!(line, "warning: topics of worker 0: 9 of 10 in use (90 %)\n");
    drop(others);
}
