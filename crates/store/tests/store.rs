//! The promises of a store, checked on any implementation: see `PROMISES`.
//!
//! To check another store, call [`keeps_its_promises`] with it. Nothing here depends on how long anything takes, except
//! for `PATIENCE`.

use fleeting::Arena;
use fleeting_store::{Cursor, KEY_BYTES_MAX, Store, StoreError};
use fleeting_testkit::client::PATIENCE;
use fleeting_testkit::on_drop::OnDrop;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A store and how to treat it.
#[derive(Clone, Copy)]
pub struct Subject<'s> {
    pub store: &'s dyn Store,
    /// All keys begin with this, and no other test's keys do.
    pub prefix: &'s str,
    /// Called repeatedly while a test waits: a store with a clock of the test's own lets some milliseconds
    /// pass.
    pub tick: &'s (dyn Fn() + Sync),
}

/// Panics if the promise is broken.
type Check = fn(&Subject<'_>);

/// The promises and their checks.
const PROMISES: &[(&str, Check)] = &[
    ("a value set stays until it is deleted", set_get_delete),
    ("keys and values are copied", copies),
    ("a value may be any bytes", any_bytes),
    ("a key may be any text of 1 to 512 bytes", any_key),
    ("numbers are incremented", increments),
    ("a value that is not a number is not incremented", no_numbers),
    ("values are compared and set", compares_and_sets),
    ("an expired entry is gone", lives),
    ("a time to live of zero expires at once", lives_of_zero),
    ("a scan finds every key with the prefix, and no other", scans),
    ("no increment of many threads is lost", increments_of_many),
    ("of many threads that compare and set, one succeeds", compares_and_sets_of_many),
    ("no value is seen partly written", whole_values),
    ("a scan finds every entry that stays while others come and go", scans_in_motion),
];

/// Checks a store against all promises.
pub fn keeps_its_promises(subject: &Subject<'_>) {
    for (number, (promise, check)) in PROMISES.iter().enumerate() {
        println!("{promise}");
        let prefix = format!("{}{number}:", subject.prefix);
        check(&Subject { prefix: &prefix, ..*subject });
    }
}

/// Longer than any test takes.
const LONG: Option<Duration> = Some(Duration::from_secs(3600));
/// Longer than a few successive operations take.
const SHORT: Option<Duration> = Some(Duration::from_millis(500));

impl Subject<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    #[track_caller]
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let arena = Arena::new(4096);
        self.store.get(&self.key(name), &arena).expect("the store is available").map(<[u8]>::to_vec)
    }

    #[track_caller]
    fn set(&self, name: &str, value: impl AsRef<[u8]>, life: Option<Duration>) {
        self.store.set(&self.key(name), value.as_ref(), life).expect("the store accepts it");
    }

    #[track_caller]
    fn delete(&self, name: &str) -> bool {
        self.store.delete(&self.key(name)).expect("the store is available")
    }

    #[track_caller]
    fn renew(&self, name: &str, life: Option<Duration>) -> bool {
        self.store.renew(&self.key(name), life).expect("the store is available")
    }

    fn increment(&self, name: &str, by: i64, life: Option<Duration>) -> Result<i64, StoreError> {
        self.store.increment(&self.key(name), by, life)
    }

    #[track_caller]
    fn swap(&self, name: &str, expected: Option<&[u8]>, value: &[u8], life: Option<Duration>) -> bool {
        self.store.compare_and_set(&self.key(name), expected, value, life).expect("the store accepts it")
    }

    /// Expects an entry with this value.
    #[track_caller]
    fn has(&self, name: &str, value: impl AsRef<[u8]>) {
        assert!(self.get(name).as_deref() == Some(value.as_ref()), "{name}: {:?}", self.get(name));
    }

    #[track_caller]
    fn lacks(&self, name: &str) {
        assert_eq!(self.get(name), None, "{name}");
    }

    /// Waits until the entry is gone.
    #[track_caller]
    fn gone(&self, name: &str) {
        let begin = Instant::now();
        while self.get(name).is_some() {
            assert!(begin.elapsed() < PATIENCE, "{name} stays");
            (self.tick)();
            thread::yield_now();
        }
    }

    /// Returns all entries of a scan, as often as each was found.
    fn scan(&self, prefix: &str, limit: usize) -> BTreeMap<String, (Vec<u8>, usize)> {
        let prefix = self.key(prefix);
        let mut found = BTreeMap::new();
        let mut from = Some(Cursor::START);
        let mut arena = Arena::new(4096);
        while let Some(cursor) = from {
            let page = self.store.scan(&prefix, cursor, limit, &arena).expect("the store is available");
            for (key, value) in page.entries {
                let name = key.strip_prefix(self.prefix).expect("the key has the prefix");
                let (known, times) = found.entry(name.to_string()).or_insert((value.to_vec(), 0));
                *times += 1;
                *known = value.to_vec();
            }
            from = page.next;
            arena.reset();
        }
        found
    }
}

fn set_get_delete(subject: &Subject<'_>) {
    subject.lacks("a");
    assert!(!subject.delete("a"));
    assert!(!subject.renew("a", None) && !subject.renew("a", LONG));
    subject.set("a", "1", None);
    subject.set("b", "2", LONG);
    subject.has("a", "1");
    subject.has("b", "2");
    for value in ["one", "another that is longer than the one before it", "short", "", "again"] {
        subject.set("a", value, None);
        subject.has("a", value);
    }
    assert!(subject.renew("a", None) && subject.renew("a", LONG));
    subject.has("a", "again");
    assert!(subject.delete("a"));
    subject.lacks("a");
    assert!(!subject.delete("a"));
    subject.has("b", "2");
    subject.set("a", "back", None);
    subject.has("a", "back");
}

/// Keys and values of a handler lie in the read buffer or in the arena, which are soon overwritten.
fn copies(subject: &Subject<'_>) {
    let mut arena = Arena::new(4096);
    for round in 0..3 {
        let name = format!("{}-{round}", "key".repeat(5));
        let mut key = subject.key(&name);
        let mut value = b"the value".to_vec();
        let mut next = b"the next one".to_vec();
        if round == 0 {
            subject.store.set(&key, &value, None).expect("the store accepts it");
        } else {
            assert_eq!(subject.store.compare_and_set(&key, None, &value, LONG), Ok(true));
        }
        value.fill(b'x');
        subject.has(&name, "the value");
        assert_eq!(subject.store.compare_and_set(&key, Some(b"the value"), &next, None), Ok(true));
        next.fill(b'x');
        // So is the key.
        key.replace_range(.., &"x".repeat(key.len()));
        subject.has(&name, "the next one");
        // A value read is a copy, which stays whatever becomes of the entry.
        let seen =
            subject.store.get(&subject.key(&name), &arena).expect("the store is available").expect("it is");
        let page = subject
            .store
            .scan(&subject.key(&name), Cursor::START, 10, &arena)
            .expect("the store is available");
        subject.set(&name, "THE LAST ONE", None);
        assert_eq!(seen, b"the next one");
        for (key, value) in page.entries {
            assert_eq!((*key, *value), (&*subject.key(&name), &b"the next one"[..]));
        }
        assert!(subject.delete(&name));
        assert_eq!(seen, b"the next one");
        arena.reset();
    }
}

fn any_bytes(subject: &Subject<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 7] =
        [b"", b"\0", b"\r\n", b"$5\r\nhello\r\n", &all, b"\xff\xfe\xc3\x28", b"-1\r\n+OK\r\n"];
    for (number, value) in values.into_iter().enumerate() {
        let name = number.to_string();
        subject.set(&name, value, None);
        subject.has(&name, value);
        assert!(subject.swap(&name, Some(value), b"next", None), "{value:?}");
        assert!(subject.swap(&name, Some(b"next"), value, None), "{value:?}");
        subject.has(&name, value);
    }
    for length in [1, 100, 1 << 10, 64 << 10, 1 << 20] {
        let value: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
        subject.set("long", &value, None);
        subject.has("long", &value);
    }
    assert_eq!(subject.scan("", 100).len(), 8);
}

fn any_key(subject: &Subject<'_>) {
    let names =
        ["", "a b", "a\r\nb", "a\0b", "käse", "日本", "*", "[a-z]", "a?", "\\", "{x}", "'\"", "a:b:c"];
    for name in names {
        subject.set(name, name, None);
    }
    for name in names {
        subject.has(name, name);
    }
    assert_eq!(subject.scan("", 100).len(), names.len());
    let longest = "k".repeat(KEY_BYTES_MAX - subject.prefix.len());
    subject.set(&longest, "long", None);
    subject.has(&longest, "long");
    let wide = "é".repeat((KEY_BYTES_MAX - subject.prefix.len()) / 2);
    subject.set(&wide, "wide", None);
    subject.has(&wide, "wide");

    let arena = Arena::new(4096);
    let (too_long, too_wide) = ("k".repeat(KEY_BYTES_MAX + 1), "é".repeat(KEY_BYTES_MAX / 2 + 1));
    for key in ["", &too_long, &too_wide] {
        let store = subject.store;
        assert_eq!(store.get(key, &arena), Err(StoreError::Key));
        assert_eq!(store.set(key, b"", None), Err(StoreError::Key));
        assert_eq!(store.delete(key), Err(StoreError::Key));
        assert_eq!(store.renew(key, None), Err(StoreError::Key));
        assert_eq!(store.increment(key, 1, None), Err(StoreError::Key));
        assert_eq!(store.compare_and_set(key, None, b"", None), Err(StoreError::Key));
    }
}

fn increments(subject: &Subject<'_>) {
    for (by, sum) in
        [(1, 1), (1, 2), (8, 10), (90, 100), (0, 100), (-99, 1), (-1, 0), (-1, -1), (-1000, -1001)]
    {
        assert_eq!(subject.increment("n", by, None), Ok(sum));
        subject.has("n", sum.to_string());
    }
    assert_eq!(subject.increment("zero", 0, None), Ok(0));
    subject.has("zero", "0");
    assert_eq!(subject.increment("least", i64::MIN, None), Ok(i64::MIN));
    subject.has("least", "-9223372036854775808");
    assert_eq!(subject.increment("least", i64::MAX, None), Ok(-1));
    assert_eq!(subject.increment("least", i64::MIN, None), Err(StoreError::NotANumber));
    subject.has("least", "-1");
    for (text, by, sum) in [("9", 1, 10), ("-1", 1, 0), ("9223372036854775806", 1, i64::MAX), ("-10", 1, -9)]
    {
        subject.set("set", text, None);
        assert_eq!(subject.increment("set", by, None), Ok(sum));
        subject.has("set", sum.to_string());
    }
    // A number is an ordinary value.
    assert!(subject.swap("set", Some(b"-9"), b"5", None));
    assert_eq!(subject.increment("set", 5, None), Ok(10));
}

fn no_numbers(subject: &Subject<'_>) {
    let values =
        ["", " ", " 1", "1 ", "+1", "01", "-01", "-0", "-", "1.0", "1e3", "0x1", "one", "1\0", "\u{661}"];
    for value in
        values.into_iter().chain(["9223372036854775808", "-9223372036854775809", "99999999999999999999"])
    {
        subject.set("n", value, None);
        assert_eq!(subject.increment("n", 1, None), Err(StoreError::NotANumber), "{value:?}");
        assert_eq!(subject.increment("n", 0, LONG), Err(StoreError::NotANumber), "{value:?}");
        subject.has("n", value);
    }
    for (value, by) in [("9223372036854775807", 1), ("-9223372036854775808", -1), ("1", i64::MAX)] {
        subject.set("n", value, None);
        assert_eq!(subject.increment("n", by, None), Err(StoreError::NotANumber), "{value} and {by}");
        subject.has("n", value);
    }
}

fn compares_and_sets(subject: &Subject<'_>) {
    assert!(!subject.swap("a", Some(b""), b"1", None), "a missing entry is not an empty value");
    assert!(!subject.swap("a", Some(b"0"), b"1", None));
    subject.lacks("a");
    assert!(subject.swap("a", None, b"1", None));
    subject.has("a", "1");
    assert!(!subject.swap("a", None, b"2", None));
    for wrong in [&b"2"[..], b"", b"11", b"1 ", b"1\0"] {
        assert!(!subject.swap("a", Some(wrong), b"2", None), "{wrong:?}");
    }
    subject.has("a", "1");
    assert!(subject.swap("a", Some(b"1"), b"", None));
    subject.has("a", "");
    assert!(!subject.swap("a", None, b"2", None), "an empty value is not a missing entry");
    assert!(subject.swap("a", Some(b""), b"one that is longer", None));
    assert!(subject.swap("a", Some(b"one that is longer"), b"one that is longer", None));
    subject.has("a", "one that is longer");
    assert!(subject.delete("a"));
    assert!(!subject.swap("a", Some(b"one that is longer"), b"2", None));
    assert!(subject.swap("a", None, b"2", None));
}

fn lives(subject: &Subject<'_>) {
    // Each of these expires.
    subject.set("set", "v", SHORT);
    assert_eq!(subject.increment("increment", 7, SHORT), Ok(7));
    assert!(subject.swap("swap", None, b"v", SHORT));
    subject.set("long then short", "v", LONG);
    subject.set("long then short", "v", SHORT);
    subject.set("forever then renewed", "v", None);
    assert!(subject.renew("forever then renewed", SHORT));
    subject.set("long then swapped", "v", LONG);
    assert!(subject.swap("long then swapped", Some(b"v"), b"w", SHORT));
    // An existing number keeps its life, whatever life a new one would get.
    subject.set("number", "1", SHORT);
    assert_eq!(subject.increment("number", 1, None), Ok(2));
    assert_eq!(subject.increment("number", 1, LONG), Ok(3));
    // A failed comparison changes nothing, not even the life.
    subject.set("not swapped", "v", SHORT);
    assert!(!subject.swap("not swapped", Some(b"w"), b"x", LONG));
    assert!(!subject.swap("not swapped", None, b"x", None));

    // Each of these stays.
    subject.set("short then long", "v", SHORT);
    subject.set("short then long", "v", LONG);
    subject.set("short then forever", "v", SHORT);
    subject.set("short then forever", "v", None);
    subject.set("short then swapped", "v", SHORT);
    assert!(subject.swap("short then swapped", Some(b"v"), b"w", None));
    subject.set("renewed", "v", SHORT);
    assert!(subject.renew("renewed", LONG));
    subject.set("renewed for ever", "v", SHORT);
    assert!(subject.renew("renewed for ever", None));
    subject.set("number for ever", "1", None);
    assert_eq!(subject.increment("number for ever", 1, SHORT), Ok(2));
    subject.set("not swapped either", "v", None);
    assert!(!subject.swap("not swapped either", Some(b"w"), b"x", SHORT));

    let ends = [
        "set",
        "increment",
        "swap",
        "long then short",
        "forever then renewed",
        "long then swapped",
        "number",
        "not swapped",
    ];
    let stays = [
        "short then long",
        "short then forever",
        "short then swapped",
        "renewed",
        "renewed for ever",
        "number for ever",
        "not swapped either",
    ];
    // This one got its short life last, so the earlier ones have expired when it has.
    subject.set("the last", "v", SHORT);
    subject.gone("the last");
    ends.iter().for_each(|name| subject.gone(name));
    let left: BTreeSet<String> = subject.scan("", 100).into_keys().collect();
    assert_eq!(left, stays.iter().map(ToString::to_string).collect());

    // Gone for all operations.
    for name in ends {
        assert!(!subject.renew(name, None) && !subject.delete(name), "{name}");
        assert!(!subject.swap(name, Some(b"v"), b"x", None), "{name}");
    }
    assert_eq!(subject.increment("number", 5, None), Ok(5), "it must begin anew");
    assert!(subject.swap("set", None, b"new", None));
    subject.has("set", "new");
}

fn lives_of_zero(subject: &Subject<'_>) {
    const ZERO: Option<Duration> = Some(Duration::ZERO);
    subject.set("new", "v", ZERO);
    subject.lacks("new");
    subject.set("set", "v", None);
    subject.set("set", "w", ZERO);
    subject.lacks("set");
    subject.set("renewed", "v", LONG);
    assert!(subject.renew("renewed", ZERO));
    subject.lacks("renewed");
    assert_eq!(subject.increment("number", 3, ZERO), Ok(3));
    subject.lacks("number");
    assert!(subject.swap("swapped", None, b"v", ZERO));
    subject.lacks("swapped");
    subject.set("swapped", "v", None);
    assert!(!subject.swap("swapped", Some(b"w"), b"v", ZERO));
    subject.has("swapped", "v");
    assert!(subject.swap("swapped", Some(b"v"), b"w", ZERO));
    subject.lacks("swapped");
    assert_eq!(subject.scan("", 10).len(), 0);
    // Less than a millisecond counts as one.
    subject.set("brief", "v", Some(Duration::from_nanos(1)));
    subject.gone("brief");
}

fn scans(subject: &Subject<'_>) {
    assert!(subject.scan("", 10).is_empty());
    let groups = ["", "a", "a*", "ab", "[ab]", "a?c", "\\", "Ä"];
    for group in groups {
        for number in 0..100 {
            subject.set(&format!("{group}/{number}"), format!("{group}={number}"), LONG);
        }
    }
    for limit in [1, 7, 100, 10_000] {
        for prefix in groups {
            let found = subject.scan(&format!("{prefix}/"), limit);
            assert_eq!(found.len(), 100, "{prefix} by {limit}");
            for (name, (value, _)) in &found {
                assert_eq!(name.replace('/', "=").as_bytes(), value);
            }
        }
        assert_eq!(subject.scan("", limit).len(), 100 * groups.len());
        assert_eq!(subject.scan("a", limit).len(), 100 * 4, "a, a*, ab and a?c");
        assert_eq!(subject.scan("nobody", limit).len(), 0);
    }
    // The limit bounds a page.
    let arena = Arena::new(1 << 20);
    let page = subject.store.scan(subject.prefix, Cursor::START, 10, &arena).expect("the store is available");
    assert!(page.entries.len() <= 100 && page.next.is_some(), "{} entries", page.entries.len());
    for group in groups {
        (0..100).for_each(|number| assert!(subject.delete(&format!("{group}/{number}"))));
    }
    assert!(subject.scan("", 10).is_empty());
}

const THREADS: usize = 8;

fn increments_of_many(subject: &Subject<'_>) {
    const TIMES: i64 = 300;
    thread::scope(|scope| {
        for number in 0..THREADS as i64 {
            scope.spawn(move || {
                for _ in 0..TIMES {
                    subject.increment("sum", number + 1, LONG).expect("the value is a number");
                    subject
                        .increment("zero", if number % 2 == 0 { 1 } else { -1 }, None)
                        .expect("the value is a number");
                }
            });
        }
    });
    let threads = THREADS as i64;
    subject.has("sum", (TIMES * threads * (threads + 1) / 2).to_string());
    subject.has("zero", "0");
}

/// Each thread adds one by reading, comparing and setting. At first there is no value, which decides who comes first.
fn compares_and_sets_of_many(subject: &Subject<'_>) {
    const TIMES: usize = 60;
    let firsts: usize = thread::scope(|scope| {
        let threads = (0..THREADS).map(|_| {
            scope.spawn(move || {
                let mut first = 0;
                for _ in 0..TIMES {
                    loop {
                        let seen = subject.get("count");
                        let number: usize = seen.as_deref().map_or(0, |seen| {
                            std::str::from_utf8(seen)
                                .expect("text")
                                .trim_end_matches('.')
                                .parse()
                                .expect("a number")
                        });
                        // Values of many lengths, so that memory is sometimes reused.
                        let next = format!("{}{}", number + 1, ".".repeat(number % 40));
                        if subject.swap("count", seen.as_deref(), next.as_bytes(), LONG) {
                            first += usize::from(seen.is_none());
                            break;
                        }
                    }
                }
                first
            })
        });
        threads
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| thread.join().expect("the thread does not panic"))
            .sum()
    });
    assert_eq!(firsts, 1);
    let count = subject.get("count").expect("the entry stays");
    assert_eq!(
        std::str::from_utf8(&count).expect("text").trim_end_matches('.'),
        (THREADS * TIMES).to_string()
    );
}

fn whole_values(subject: &Subject<'_>) {
    let ended = AtomicBool::new(false);
    let value = |number: usize| vec![b'a' + (number % 26) as u8; 1 + number * 37 % 3000];
    subject.set("value", value(0), None);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let seen = subject.get("value").expect("the entry stays");
                    assert!(seen.iter().all(|byte| *byte == seen[0]), "{seen:?}");
                    assert!((0..500).any(|number| value(number) == seen), "{} bytes", seen.len());
                }
            });
        }
        let _stop = OnDrop(|| ended.store(true, Ordering::Relaxed));
        (0..500).for_each(|number| subject.set("value", value(number), LONG));
    });
}

fn scans_in_motion(subject: &Subject<'_>) {
    const STAY: usize = 300;
    for number in 0..STAY {
        subject.set(&format!("stays/{number}"), number.to_string(), None);
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for mover in 0..2 {
            let ended = &ended;
            scope.spawn(move || {
                let names =
                    |round: usize| (0..200).map(move |number| format!("moves/{mover}/{round}/{number}"));
                let mut round = 0;
                while !ended.load(Ordering::Relaxed) {
                    // The table grows and shrinks; the entries that stay are rewritten.
                    names(round).for_each(|name| subject.set(&name, "v", LONG));
                    subject.set(&format!("stays/{}", round % STAY), (round % STAY).to_string(), None);
                    names(round).for_each(|name| assert!(subject.delete(&name)));
                    round += 1;
                }
            });
        }
        let _stop = OnDrop(|| ended.store(true, Ordering::Relaxed));
        for limit in [1, 3, 10, 100, 1000, 10] {
            let found = subject.scan("stays/", limit);
            assert_eq!(found.len(), STAY, "by {limit}");
            for (name, (value, _)) in found {
                assert_eq!(name.strip_prefix("stays/").expect("the key has the prefix").as_bytes(), value);
            }
            let all = subject.scan("", limit);
            let stay = all.keys().filter(|name| name.starts_with("stays/")).count();
            assert_eq!(stay, STAY, "of all, by {limit}");
        }
    });
    assert_eq!(subject.scan("moves/", 100).len(), 0);
}
