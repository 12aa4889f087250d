//! What the server is made with.
//!
//! It knows no source of settings: each is set with text, and says what is wrong with that.

use super::registry::Lives;
use fleeting::ws::Compression;
use fleeting::{ConfigError, Limits, SlowConsumer, Timeouts};
use fleeting_store::{RedisUrl, check_node};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the program listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8080";

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) listen: Vec<String>,
    pub(super) workers: usize,
    /// The directory that is served, if one is.
    pub(super) files: Option<PathBuf>,
    /// Of messages on `/ws` and `/hub`.
    pub(super) compression: Compression,
    /// What becomes of publications for who reads `/hub` too slowly.
    pub(super) slow_consumer: SlowConsumer,
    pub(super) store: Place,
    /// The name among those that share a store, if one was given.
    pub(super) node: Option<String>,
    /// How long records of clients are there.
    pub(super) clients: Lives,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}

/// Where entries are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    Redis(RedisUrl),
}

/// What sets one thing.
type Set = fn(&mut Settings, &str) -> Result<(), String>;

/// What is one text wherever it comes from, by its name.
pub(super) const TEXTS: [(&str, Set); 7] = [
    ("workers", Settings::set_workers),
    ("compression", Settings::set_compression),
    ("slow_consumer", Settings::set_slow_consumer),
    ("store", Settings::set_store),
    ("node", Settings::set_node),
    ("client_life", Settings::set_client_life),
    ("client_close", Settings::set_client_close),
];

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec![LISTEN.into()],
            workers: 1,
            files: None,
            compression: Compression::off(),
            slow_consumer: SlowConsumer::default(),
            store: Place::Memory,
            node: None,
            clients: Lives::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    /// Sets what is one text wherever it comes from; `None` if it is none of them.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let (_, set) = TEXTS.iter().find(|(known, _)| *known == name)?;
        Some(set(self, value))
    }

    /// Replaces the addresses.
    pub(super) fn set_listen(&mut self, addrs: Vec<String>) -> Result<(), String> {
        match addrs.iter().find(|addr| !is_address(addr)) {
            None if addrs.is_empty() => Err("no address".into()),
            None => {
                self.listen = addrs;
                Ok(())
            }
            Some(addr) => {
                Err(format!("bad address `{addr}`; expected HOST:PORT, such as 127.0.0.1:8080 or [::]:80"))
            }
        }
    }

    /// Sets the directory that is served; whether it is one is seen when it is opened.
    pub(super) fn set_files(&mut self, directory: PathBuf) -> Result<(), String> {
        if directory.as_os_str().is_empty() {
            return Err("the name is empty; . is the directory that the program was started in".into());
        }
        self.files = Some(directory);
        Ok(())
    }

    /// Sets how messages are compressed.
    pub(super) fn set_compression(&mut self, mode: &str) -> Result<(), String> {
        self.compression = mode.trim().parse().map_err(|error: ConfigError| error.to_string())?;
        Ok(())
    }

    /// Sets what becomes of publications for who reads too slowly.
    pub(super) fn set_slow_consumer(&mut self, policy: &str) -> Result<(), String> {
        self.slow_consumer = policy.trim().parse()?;
        Ok(())
    }

    /// Sets where entries are kept. What is wrong with it is told without it, because of the password.
    pub(super) fn set_store(&mut self, place: &str) -> Result<(), String> {
        self.store = match place.trim() {
            "memory" => Place::Memory,
            url => {
                let read =
                    url.parse().map_err(|error| format!("it is neither `memory` nor a Redis: {error}"));
                Place::Redis(read?)
            }
        };
        Ok(())
    }

    /// Sets how long the record of a client is there that no connection holds.
    pub(super) fn set_client_life(&mut self, value: &str) -> Result<(), String> {
        self.clients.life = positive(value)?;
        Ok(())
    }

    /// Sets what becomes of a record whose connection has closed.
    pub(super) fn set_client_close(&mut self, value: &str) -> Result<(), String> {
        self.clients.on_close = match value.trim() {
            "remove" => Duration::ZERO,
            _ => positive(value).map_err(|why| format!("{why}; or remove"))?,
        };
        Ok(())
    }

    /// Sets the name among those that share a store.
    pub(super) fn set_node(&mut self, name: &str) -> Result<(), String> {
        check_node(name).map_err(|error| error.to_string())?;
        self.node = Some(name.into());
        Ok(())
    }

    /// Sets the number of workers.
    pub(super) fn set_workers(&mut self, value: &str) -> Result<(), String> {
        // A worker's number is 16 bits of its connections' names.
        match value.trim().parse::<u16>() {
            Ok(workers) if workers > 0 => {
                self.workers = workers.into();
                Ok(())
            }
            _ => Err(format!("bad value `{value}`; expected a number from 1 to {}", u16::MAX)),
        }
    }
}

/// A time that is one.
fn positive(value: &str) -> Result<Duration, String> {
    // It is written as timeouts are.
    let mut timeouts = Timeouts::default();
    timeouts.set("idle", value).map_err(|error| error.to_string())?;
    if timeouts.idle.is_zero() {
        return Err(format!("bad value `{}`; expected a time such as 500ms, 10s or 2m", value.trim()));
    }
    Ok(timeouts.idle)
}

/// Whether `text` has the shape of an address; whether there is such a host only the system knows.
fn is_address(text: &str) -> bool {
    let host_and_port = |(host, port): (&str, &str)| {
        let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b":/[]".contains(&b));
        named && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(host_and_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        fn check(text: &str, expected: bool) {
            assert_eq!(is_address(text), expected, "{text}");
        }
        check("127.0.0.1:8080", true);
        check("[::1]:0", true);
        check("localhost:80", true);
        check("", false);
        check("8080", false);
        check(":8080", false);
        check("localhost", false);
        check("localhost:", false);
        check("localhost:65536", false);
        check("localhost:+1", false);
        check("::1:80", false);
        check("http://localhost:80", false);
    }
}
