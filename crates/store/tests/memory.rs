//! The store in memory keeps its promises and its limits, and gives memory back.

use crate::store::{Subject, keeps_its_promises};
use fleeting::{Arena, keep};
use fleeting_store::{Cursor, Memory, Store, StoreError, StoreLimits};
use fleeting_testkit::random::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Returns the number of bytes that an entry takes.
fn entry_bytes(key_bytes: usize, value_bytes: usize) -> u64 {
    (52 + key_bytes + value_bytes).next_multiple_of(8) as u64 + 8
}

/// A store, and its clock in milliseconds.
fn memory(limits: StoreLimits) -> (Memory, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1));
    let clock = now.clone();
    (Memory::with_clock(limits, move || clock.load(Ordering::Relaxed)), now)
}

fn pass(now: &AtomicU64, ms: u64) {
    now.fetch_add(ms, Ordering::Relaxed);
}

fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

/// Returns the number of entries and of bytes.
fn held(store: &Memory) -> (u64, u64) {
    let stats = store.stats();
    (stats.entries.expect("it is known"), stats.bytes.expect("it is known"))
}

#[test]
fn the_memory_store_keeps_its_promises() {
    let (store, now) = memory(StoreLimits::default());
    keeps_its_promises(&Subject { store: &store, prefix: "test:", tick: &|| pass(&now, 7) });
    assert!(!store.waits());
}

#[test]
fn the_memory_store_keeps_its_promises_by_the_machines_clock() {
    let store = Memory::default();
    keeps_its_promises(&Subject { store: &store, prefix: "test:", tick: &|| {} });
}

#[test]
fn an_entry_expires_to_the_millisecond() {
    let (store, now) = memory(StoreLimits::default());
    let arena = Arena::new(4096);
    for life in [1, 2, 63, 64, 65, 1000, 86_400_000, 365 * 86_400_000] {
        store.set("set", b"v", ms(life)).expect("there is room");
        store.set("renewed", b"v", None).expect("there is room");
        assert_eq!(store.renew("renewed", ms(life)), Ok(true));
        pass(&now, life - 1);
        for key in ["set", "renewed"] {
            assert_eq!(store.get(key, &arena), Ok(Some(&b"v"[..])), "{life} ms");
        }
        pass(&now, 1);
        for key in ["set", "renewed"] {
            assert_eq!(store.get(key, &arena), Ok(None), "{life} ms");
        }
    }
    // Parts of a millisecond count as whole ones: nothing expires early.
    for (nanos, life) in [(1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
        store.set("set", b"v", Some(Duration::from_nanos(nanos))).expect("there is room");
        pass(&now, life - 1);
        assert_eq!(store.get("set", &arena), Ok(Some(&b"v"[..])), "{nanos} ns");
        pass(&now, 1);
        assert_eq!(store.get("set", &arena), Ok(None), "{nanos} ns");
    }
    // Longer than any clock runs.
    store.set("set", b"v", Some(Duration::MAX)).expect("there is room");
    pass(&now, u64::MAX / 2);
    assert_eq!(store.get("set", &arena), Ok(Some(&b"v"[..])));
}

/// Far more entries than other operations remove in passing.
#[test]
fn an_expired_entry_is_not_found_while_it_is_still_stored() {
    const ENTRIES: u64 = 20_000;
    let (store, now) = memory(StoreLimits::default());
    let filled = || {
        for number in 0..ENTRIES {
            store.set(&number.to_string(), b"1", ms(100)).expect("there is room");
        }
        pass(&now, 99);
        assert_eq!(held(&store).0, ENTRIES);
        pass(&now, 1);
    };
    filled();
    assert!(scan(&store, "", 1000).is_empty());
    assert!(held(&store).0 > ENTRIES / 2, "{} are left", held(&store).0);
    let arena = Arena::new(4096);
    let operations: [&dyn Fn(&str); 5] = [
        &|key| assert_eq!(store.get(key, &arena), Ok(None)),
        &|key| assert_eq!(store.delete(key), Ok(false)),
        &|key| assert_eq!(store.renew(key, None), Ok(false)),
        &|key| assert_eq!(store.compare_and_set(key, Some(b"1"), b"2", None), Ok(false)),
        &|key| assert_eq!(store.increment(key, 1, ms(0)), Ok(1)),
    ];
    for operation in operations {
        while store.expire(usize::MAX) > 0 {}
        filled();
        // In such an order that the few that are removed come last.
        (0..ENTRIES).for_each(|number| operation(&number.to_string()));
    }
}

#[test]
fn the_number_of_entries_is_bounded_exactly() {
    let (store, now) = memory(StoreLimits { entries: 100, ..StoreLimits::default() });
    let key = |number: usize| format!("k{number}");
    for number in 0..100 {
        let life = if number < 10 { ms(50) } else { None };
        store.set(&key(number), b"v", life).expect("there is room");
    }
    assert_eq!(store.set("more", b"v", None), Err(StoreError::Full));
    assert_eq!(store.increment("more", 1, None), Err(StoreError::Full));
    assert_eq!(store.compare_and_set("more", None, b"v", None), Err(StoreError::Full));
    assert_eq!(store.compare_and_set("more", Some(b"v"), b"v", None), Ok(false), "this needs no room");
    assert_eq!(store.stats().refused, Some(3));
    // Existing entries may change.
    store.set(&key(50), b"a value that is longer", None).expect("there is room");
    assert_eq!(store.delete(&key(99)), Ok(true));
    assert_eq!(store.increment("more", 1, None), Ok(1));
    // Expired entries make room, whatever shard they are in.
    pass(&now, 50);
    for number in 0..10 {
        store.set(&format!("new{number}"), b"v", None).expect("there is room");
    }
    assert_eq!(store.set("one more", b"v", None), Err(StoreError::Full));
    let stats = store.stats();
    assert_eq!((stats.entries, stats.entries_max), (Some(100), Some(100)));
    assert_eq!((stats.expired, stats.refused), (Some(10), Some(4)));
}

#[test]
fn the_number_of_bytes_is_bounded_exactly() {
    let limits = StoreLimits { bytes: 10_000, value_bytes: 5000, ..StoreLimits::default() };
    let (store, _) = memory(limits);
    store.set("a", &[1; 5000], None).expect("there is room");
    assert_eq!(held(&store), (1, entry_bytes(1, 5000)));
    assert_eq!(store.set("b", &[1; 5001], None), Err(StoreError::Value));
    assert_eq!(store.compare_and_set("b", None, &[1; 5001], None), Err(StoreError::Value));
    let left = (0..5000).rfind(|left| entry_bytes(1, 5000) + entry_bytes(1, *left) <= 10_000);
    let left = left.expect("there is some room");
    assert_eq!(store.set("b", &vec![2; left + 1], None), Err(StoreError::Full));
    store.set("b", &vec![2; left], None).expect("there is room");
    let both = entry_bytes(1, 5000) + entry_bytes(1, left);
    assert_eq!(held(&store), (2, both));
    // A value that does not grow needs no room, and one that grows does.
    store.set("b", &vec![3; left], None).expect("there is room");
    store.set("b", &vec![4; left - 1], None).expect("there is room");
    assert_eq!(held(&store), (2, both), "its memory must be reused");
    let larger = vec![5; left + 1];
    assert_eq!(store.compare_and_set("b", Some(&vec![4; left - 1]), &larger, None), Err(StoreError::Full));
    let arena = Arena::new(16 << 10);
    assert_eq!(store.get("b", &arena), Ok(Some(&vec![4; left - 1][..])), "a refusal changes nothing");
    store.set("b", b"", None).expect("there is room");
    assert_eq!(
        held(&store),
        (2, entry_bytes(1, 5000) + entry_bytes(1, 0)),
        "a much shorter value must give memory back"
    );
    assert_eq!((store.delete("a"), store.delete("b")), (Ok(true), Ok(true)));
    assert_eq!(held(&store), (0, 0));
    assert_eq!(store.stats().bytes_max, Some(10_000));
}

#[test]
fn limits_hold_with_many_threads() {
    let limits = StoreLimits { entries: 500, bytes: 100_000, ..StoreLimits::default() };
    let (store, now) = memory(limits);
    thread::scope(|scope| {
        for thread in 0..4usize {
            let (store, now) = (&store, &now);
            scope.spawn(move || {
                for round in 0..5000 {
                    let key = format!("{}", (round * 7 + thread * 13) % 900);
                    let life = ms(1 + (round % 50) as u64);
                    match store.set(&key, &vec![b'v'; round % 700], life.filter(|_| round % 3 > 0)) {
                        Ok(()) | Err(StoreError::Full) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if round % 5 == 0 {
                        store.delete(&key).expect("it is valid");
                    }
                    let (entries, bytes) = held(store);
                    assert!(entries <= 500 && bytes <= 100_000, "{entries} entries, {bytes} bytes");
                    pass(now, 1);
                }
            });
        }
    });
    let arena = Arena::new(1 << 20);
    let mut from = Some(Cursor::START);
    while let Some(cursor) = from {
        let page = store.scan("", cursor, 1000, &arena).expect("it is valid");
        page.entries.iter().for_each(|(key, _)| assert_eq!(store.delete(key), Ok(true)));
        from = page.next;
    }
    store.expire(usize::MAX);
    assert_eq!(held(&store), (0, 0));
}

#[test]
fn entries_that_are_never_read_expire_as_well() {
    let (store, now) = memory(StoreLimits::default());
    for number in 0..1000u64 {
        store.set(&number.to_string(), b"v", ms(10 + number % 10)).expect("there is room");
    }
    assert_eq!(store.expire(usize::MAX), 0);
    pass(&now, 14);
    assert_eq!(store.expire(100), 100);
    assert_eq!(store.expire(1000), 400);
    assert_eq!(held(&store).0, 500);
    pass(&now, 100);
    // New entries remove some expired ones: fewer are put in than go.
    let mut number = 1000u64;
    while held(&store).0 > 300 {
        store.set(&number.to_string(), b"v", None).expect("there is room");
        number += 1;
        assert!(number < 1400, "{} are there", held(&store).0);
    }
    store.expire(usize::MAX);
    let stats = store.stats();
    assert_eq!((stats.expired, stats.entries), (Some(1000), Some(number - 1000)));
}

#[test]
fn statistics_report_the_longest_untouched_entry() {
    let (store, now) = memory(StoreLimits::default());
    assert_eq!(store.stats().oldest, None);
    store.set("a", b"1", None).expect("there is room");
    pass(&now, 1000);
    store.set("b", b"1", None).expect("there is room");
    pass(&now, 500);
    assert_eq!(store.stats().oldest, ms(1500));
    assert_eq!(store.renew("a", None), Ok(true));
    assert_eq!(store.stats().oldest, ms(500));
    assert_eq!(store.delete("b"), Ok(true));
    assert_eq!(store.stats().oldest, ms(0));
}

#[test]
fn kept_bytes_are_counted() {
    let (store, _) = memory(StoreLimits::default());
    let kept = |work: &dyn Fn()| {
        let before = keep::kept_bytes();
        work();
        keep::kept_bytes() - before
    };
    assert_eq!(kept(&|| store.set("key", b"value", None).expect("there is room")), 8);
    assert_eq!(kept(&|| store.set("key", b"next", None).expect("there is room")), 4);
    assert_eq!(kept(&|| assert_eq!(store.increment("key", 1, None), Err(StoreError::NotANumber))), 0);
    assert_eq!(kept(&|| assert_eq!(store.compare_and_set("key", None, b"v", None), Ok(false))), 0);
    assert_eq!(kept(&|| assert_eq!(store.get("key", &Arena::new(64)), Ok(Some(&b"next"[..])))), 0);
}

// ---------------------------------------------------------------- against a map

/// A naive implementation of the promises.
#[derive(Default)]
struct Model {
    now: u64,
    entries: BTreeMap<String, Known>,
    entries_max: usize,
    refused: u64,
}

#[derive(Clone)]
struct Known {
    value: Vec<u8>,
    /// `None`: never.
    ends: Option<u64>,
    touched: u64,
}

impl Model {
    fn forget(&mut self) {
        let now = self.now;
        self.entries.retain(|_, known| known.ends.is_none_or(|ends| ends > now));
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        self.entries.get(key).map(|known| &known.value[..])
    }

    fn set(&mut self, key: &str, value: &[u8], ends: Option<u64>) -> Result<(), StoreError> {
        let is_new = !self.entries.contains_key(key);
        if is_new && ends != Some(self.now) && self.entries.len() == self.entries_max {
            self.refused += 1;
            return Err(StoreError::Full);
        }
        self.entries.insert(key.to_string(), Known { value: value.to_vec(), ends, touched: self.now });
        self.forget();
        Ok(())
    }

    fn increment(&mut self, key: &str, by: i64, ends: Option<u64>) -> Result<i64, StoreError> {
        let (number, ends) = match self.entries.get(key) {
            None => (Some(0), ends),
            Some(known) => {
                let number: Option<i64> = String::from_utf8_lossy(&known.value).parse().ok();
                (number.filter(|number| number.to_string().as_bytes() == known.value), known.ends)
            }
        };
        let sum = number.and_then(|number| number.checked_add(by)).ok_or(StoreError::NotANumber)?;
        self.set(key, sum.to_string().as_bytes(), ends)?;
        Ok(sum)
    }
}

/// Whatever is done in whatever order, the store answers as the map does.
#[test]
fn random_operations_have_the_same_results_as_on_a_map() {
    for seed in 0..2500 {
        against_a_map(seed, 120);
    }
    against_a_map(2500, 50_000);
}

fn against_a_map(seed: u64, operations: usize) {
    let mut random = Random::new(seed);
    let entries_max = random.one_of(&[5, 20, 60, 1000]);
    let (store, now) = memory(StoreLimits { entries: entries_max, ..StoreLimits::default() });
    let mut model = Model { now: 1, entries_max, ..Model::default() };
    let keys = random.within(1, 80);
    let lives = [0, 1, 3, 50, 64, 1000, 5_000_000, 10 << 40];
    let mut arena = Arena::new(4096);
    for _ in 0..operations {
        let key = format!("{}{}", random.one_of(&["", "a", "ab"]), random.below(keys));
        let key = if random.below(100) == 0 { String::new() } else { format!("k{key}") };
        let life = (random.below(4) > 0).then(|| random.one_of(&lives));
        let ends = life.map(|life| model.now + life);
        let life = life.and_then(ms);
        let value = match random.below(3) {
            0 => random.below(20).to_string().into_bytes(),
            _ => vec![random.bits() as u8; random.below(100)],
        };
        let is_key = !key.is_empty();
        let of_key = |done| if is_key { done } else { Err(StoreError::Key) };
        match random.below(9) {
            0..2 => {
                let expected = if is_key { model.set(&key, &value, ends) } else { Err(StoreError::Key) };
                assert_eq!(store.set(&key, &value, life), expected, "seed {seed}");
            }
            2 => {
                let expected = of_key(Ok(())).map(|()| model.value(&key));
                assert_eq!(store.get(&key, &arena), expected, "seed {seed}");
            }
            3 => {
                let expected = of_key(Ok(())).map(|()| model.entries.remove(&key).is_some());
                assert_eq!(store.delete(&key), expected, "seed {seed}");
            }
            4 => {
                let at = model.now;
                let known = model.entries.get_mut(&key).map(|known| (known.ends, known.touched) = (ends, at));
                let expected = of_key(Ok(())).map(|()| known.is_some());
                model.forget();
                assert_eq!(store.renew(&key, life), expected, "seed {seed}");
            }
            5 => {
                let by = random.one_of(&[1, -1, 7, i64::MAX, i64::MIN]);
                let expected = if is_key { model.increment(&key, by, ends) } else { Err(StoreError::Key) };
                assert_eq!(store.increment(&key, by, life), expected, "seed {seed}");
            }
            6 => {
                let there = model.value(&key).map(<[u8]>::to_vec);
                let guess = if random.below(3) == 0 { Some(value.clone()) } else { there.clone() };
                let expected = match () {
                    () if !is_key => Err(StoreError::Key),
                    () if guess != there => Ok(false),
                    () => model.set(&key, &value, ends).map(|()| true),
                };
                let done = store.compare_and_set(&key, guess.as_deref(), &value, life);
                assert_eq!(done, expected, "seed {seed}");
            }
            7 => {
                let jump = random.one_of(&[1, 1, 10, 64, 2000, 6_000_000]);
                let passes = random.within(1, jump) as u64;
                pass(&now, passes);
                model.now += passes;
                model.forget();
            }
            _ if random.below(8) == 0 => {
                let prefix = random.one_of(&["", "k", "ka", "kab", "k1", "x"]);
                let limit = random.within(1, 30);
                let found = scan(&store, prefix, limit);
                let expected = model.entries.iter().filter(|(key, _)| key.starts_with(prefix));
                let expected = expected.map(|(key, known)| (key.clone(), known.value.clone())).collect();
                assert_eq!(found, expected, "seed {seed}");
            }
            _ => {
                store.expire(random.below(10));
            }
        }
        arena.reset();
        assert!(held(&store).0 <= entries_max as u64);
    }
    store.expire(usize::MAX);
    let stats = store.stats();
    assert_eq!(stats.entries, Some(model.entries.len() as u64), "seed {seed}");
    let oldest = model.entries.values().map(|known| model.now - known.touched).max();
    assert_eq!(stats.oldest, oldest.and_then(ms), "seed {seed}");
    assert_eq!(stats.refused, Some(model.refused), "seed {seed}");
    assert_eq!(scan(&store, "", 7).len(), model.entries.len(), "seed {seed}");
    for key in model.entries.keys() {
        assert_eq!(store.delete(key), Ok(true), "seed {seed}");
    }
    assert_eq!(held(&store), (0, 0), "seed {seed}");
}

/// Returns everything a scan finds, and checks that it comes once.
fn scan(store: &Memory, prefix: &str, limit: usize) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut from = Some(Cursor::START);
    let arena = Arena::new(16 << 10);
    while let Some(cursor) = from {
        let page = store.scan(prefix, cursor, limit, &arena).expect("it is valid");
        for (key, value) in page.entries {
            assert!(found.insert(key.to_string(), value.to_vec()).is_none(), "{key} is found twice");
        }
        from = page.next;
    }
    found
}

// ---------------------------------------------------------------- giving back

/// A million records come and go by their time to live, and all their memory comes back, counted in bytes of the
/// allocator. `cargo bench --bench store` reports the pages of the system.
#[test]
#[cfg(not(fleeting_paranoid))]
fn a_million_records_leave_nothing_behind() {
    const RECORDS: u64 = 1_000_000;
    let (store, now) = memory(StoreLimits { bytes: 1 << 30, ..StoreLimits::default() });
    let mut most = 0;
    let counted = allocation_counter::measure(|| {
        let mut key = String::new();
        for number in 0..RECORDS {
            use std::fmt::Write;
            key.clear();
            write!(key, "record:{number}").expect("writing to memory cannot fail");
            let value = [b'v'; 200];
            let life = ms(1000 + number % 5000);
            store.set(&key, &value[..(number % 200) as usize], life).expect("there is room");
            if number % 100 == 0 {
                pass(&now, 1);
                most = most.max(held(&store).0);
            }
        }
        assert!(most > 100_000, "{most} at once");
        pass(&now, 6000);
        while store.expire(1000) == 1000 {}
    });
    let stats = store.stats();
    assert_eq!((stats.entries, stats.bytes, stats.oldest), (Some(0), Some(0), None));
    assert_eq!(stats.expired, Some(RECORDS));
    // The tables keep memory for a few entries each.
    assert!(counted.bytes_current < 64 << 10, "{} bytes stay: {counted:?}", counted.bytes_current);
}
