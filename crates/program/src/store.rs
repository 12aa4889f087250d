//! Opens the store and the broker that the settings name, and logs when Redis goes away and comes back.
//!
//! It knows no route. Its invariant: an unavailable Redis does not keep the program from starting, and one line of
//! the log reports it.

use crate::failure::Failure;
use crate::hub;
use crate::log;
use crate::settings::{Settings, StoreLocation};
use fleeting_store::{Memory, Redis, RedisBroker, RedisOptions, RedisUrl, Store, StoreLimits};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// The opened store.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// This server's name among the nodes that share the store.
    pub(crate) node: String,
    /// Shares topics with the other nodes, if the store is shared.
    pub(crate) broker: Option<Arc<RedisBroker>>,
    /// What the greeting says about the store.
    pub(crate) description: Option<String>,
}

/// Opens the store that the settings name. A Redis need not be reachable yet.
///
/// # Errors
/// [`Failure::Usage`] if the node's name is not allowed, [`Failure::Runtime`] if a file for TLS cannot be used or a thread
/// cannot be started.
pub(crate) fn open(settings: &Settings) -> Result<Opened, Failure> {
    let node = settings.node.clone().unwrap_or_else(own_name);
    let StoreLocation::Redis(url) = &settings.store else {
        let store = Arc::new(Memory::new(StoreLimits::default()));
        return Ok(Opened { store, node, broker: None, description: None });
    };
    let outages = Arc::new(Outages::new(url));
    let shared = RedisOptions::new();
    let options = |part: usize| {
        let (shared, outages) = (shared.clone(), outages.clone());
        shared.watch(move |down| outages.changed(part, down).into_iter().for_each(|line| log::line(&line)))
    };
    let broker = RedisBroker::new(url.clone(), options(1), &node);
    let broker =
        broker.map_err(|error| Failure::Usage(format!("--node: {error}")))?.announce(hub::announcement);
    let store = Redis::connect(url.clone(), options(0));
    let store = store.map_err(|error| match error.kind() {
        // A file for TLS.
        io::ErrorKind::InvalidData => Failure::Runtime(format!("--store: {error}")),
        _ => Failure::no_thread(error),
    })?;
    let description =
        Some(format!("Entries and topics are shared in {url}, as node {}.", log::one_line(&node)));
    Ok(Opened { store: Arc::new(store), node, broker: Some(Arc::new(broker)), description })
}

/// The default name of a node: host name and process id.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).collect();
    let host = if host.is_empty() { "node" } else { &host };
    // A long host name is cut rather than the process id, which keeps nodes of one host apart.
    format!("{}-{}", &host[..host.floor_char_boundary(48)], std::process::id())
}

/// Reports that Redis is unavailable and that it is back. The store and the broker each detect this on a connection
/// of their own; only the first report of the two is logged.
struct Outages {
    url: String,
    /// Why the store and the broker cannot reach Redis.
    down: Mutex<[Option<String>; 2]>,
}

impl Outages {
    fn new(url: &RedisUrl) -> Outages {
        Outages { url: url.to_string(), down: Mutex::default() }
    }

    /// Returns the line to log when one of the two loses Redis for the reason `why`, or reaches it again (`None`).
    fn changed(&self, part: usize, why: Option<&str>) -> Option<String> {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut down[part], why.map(str::to_string));
        let other = &down[1 - part];
        match why {
            Some(_) if other.as_deref() == why => None,
            Some(why) => Some(format!("{} is unavailable: {}; retrying", self.url, log::one_line(why))),
            None => (before.is_some() && other.is_none()).then(|| format!("{} is available again", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_logged_once_for_each_reason() {
        let outages = Outages::new(&"redis://:secret@a".parse().unwrap());
        let lost = |part, why| outages.changed(part, Some(why));
        let line = "redis://:***@a:6379 is unavailable: gone; retrying";
        assert_eq!(lost(0, "gone").as_deref(), Some(line));
        assert_eq!(lost(1, "gone"), None);
        assert_eq!(outages.changed(1, None), None, "the store has not reported it back yet");
        assert_eq!(outages.changed(0, None).as_deref(), Some("redis://:***@a:6379 is available again"));
        assert_eq!(outages.changed(0, None), None);
        assert!(lost(1, "may not").unwrap().contains("may not;"));
        assert!(lost(0, "a\nb").unwrap().contains("a\\nb;"));
    }

    #[test]
    fn the_default_name_of_a_node_is_allowed() {
        let name = own_name();
        assert_eq!(fleeting_store::check_node(&name), Ok(()));
        assert!(name.ends_with(&format!("-{}", std::process::id())), "{name}");
    }
}
