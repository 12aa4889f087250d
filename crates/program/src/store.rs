//! Where the program keeps entries, and how it shares its topics: from settings.
//!
//! It knows no route. Its invariant: what is not to be had now may come later, and is told in one line then and now.

use super::settings::{Place, Settings};
use super::{Failure, one_line, say};
use fleeting_store::{Gap, Memory, Redis, RedisBroker, RedisOptions, RedisUrl, Store, StoreLimits};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// What was opened.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// This server's name among those that share it.
    pub(super) node: String,
    /// What shares topics with the other nodes, if there may be any.
    pub(super) broker: Option<Arc<RedisBroker>>,
    /// What there is to say of it in a greeting.
    pub(super) told: Option<String>,
}

/// Opens what the settings say. A Redis need not be there yet.
pub(super) fn open(settings: &Settings) -> Result<Opened, Failure> {
    let node = settings.node.clone().unwrap_or_else(own_name);
    let Place::Redis(url) = &settings.store else {
        let store = Arc::new(Memory::new(StoreLimits::default()));
        return Ok(Opened { store, node, broker: None, told: None });
    };
    let log = Arc::new(Log::new(url));
    let options = |part: usize| {
        let log = log.clone();
        RedisOptions::new().watch(move |down| log.changed(part, down).into_iter().for_each(|line| say(&line)))
    };
    let broker = RedisBroker::new(url.clone(), options(1), &node);
    let broker = broker.map_err(|error| Failure::Usage(format!("--node: {error}")))?.announce(announcement);
    let store = Redis::connect(url.clone(), options(0));
    let store = store.map_err(Failure::no_thread)?;
    let told = Some(format!("keeps entries and shares topics in {url}, as node {}", one_line(&node)));
    Ok(Opened { store: Arc::new(store), node, broker: Some(Arc::new(broker)), told })
}

/// The host's name and the process's number.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).collect();
    let host = if host.is_empty() { "node" } else { &host };
    // Both have to fit, and it is the number that tells one from the other.
    format!("{}-{}", &host[..host.floor_char_boundary(48)], std::process::id())
}

/// What a client of `/hub` and a listener of `/topics` are told of a gap; docs/hub.md has it.
fn announcement(gap: &Gap) -> String {
    let gap = match gap {
        Gap::Reconnected => Told { reason: "reconnected", publications: None },
        Gap::Skipped { publications, .. } => Told { reason: "skipped", publications: *publications },
        _ => Told { reason: "overflowed", publications: None },
    };
    serde_json::to_string(&Announced { gap }).expect("text and numbers are written as JSON")
}

#[derive(Serialize)]
struct Announced {
    gap: Told,
}

#[derive(Serialize)]
struct Told {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    publications: Option<u64>,
}

/// Says that Redis is away, and that it is back. The store and the broker find out each by itself: of both only the
/// first says so.
struct Log {
    url: String,
    /// Why each of the two cannot reach it.
    down: Mutex<[Option<String>; 2]>,
}

impl Log {
    fn new(url: &RedisUrl) -> Log {
        Log { url: url.to_string(), down: Mutex::default() }
    }

    /// What there is to say, now that one of the two is away for this reason, or back.
    fn changed(&self, part: usize, why: Option<&str>) -> Option<String> {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut down[part], why.map(str::to_string));
        let other = &down[1 - part];
        match why {
            Some(_) if other.as_deref() == why => None,
            Some(why) => Some(format!(
                "{} is not available: {}; it is tried again until it is",
                self.url,
                one_line(why)
            )),
            None => (was.is_some() && other.is_none()).then(|| format!("{} is available again", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_for_each_reason() {
        let log = Log::new(&"redis://:secret@a".parse().unwrap());
        let away = |part, why| log.changed(part, Some(why));
        let line = "redis://:***@a:6379 is not available: gone; it is tried again until it is";
        assert_eq!(away(0, "gone").as_deref(), Some(line));
        assert_eq!(away(1, "gone"), None);
        assert_eq!(log.changed(1, None), None, "the store is still away");
        assert_eq!(log.changed(0, None).as_deref(), Some("redis://:***@a:6379 is available again"));
        assert_eq!(log.changed(0, None), None);
        assert!(away(1, "may not").unwrap().contains("may not;"));
        assert!(away(0, "a\nb").unwrap().contains("a\\nb;"));
    }

    #[test]
    fn gaps_as_clients_are_told() {
        let skipped = |publications| announcement(&Gap::Skipped { node: "b".into(), publications });
        assert_eq!(skipped(Some(3)), r#"{"gap":{"reason":"skipped","publications":3}}"#);
        assert_eq!(skipped(None), r#"{"gap":{"reason":"skipped"}}"#);
        assert_eq!(announcement(&Gap::Reconnected), r#"{"gap":{"reason":"reconnected"}}"#);
        assert_eq!(announcement(&Gap::Overflowed), r#"{"gap":{"reason":"overflowed"}}"#);
    }

    #[test]
    fn every_process_has_a_name() {
        let name = own_name();
        assert_eq!(fleeting_store::check_node(&name), Ok(()));
        assert!(name.ends_with(&format!("-{}", std::process::id())), "{name}");
    }
}
