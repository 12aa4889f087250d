//! The settings, their defaults and the parsing of their values.
//!
//! It does not know where a value comes from. Its errors say what is wrong with a value and what is allowed; the
//! caller adds the flag, the variable or the key.

use super::services::Service;
use crate::registry::RecordLifetimes;
use fleeting::ws::Compression;
use fleeting::{ConfigError, Limits, SlowConsumer, Timeouts};
use fleeting_store::{RedisUrl, check_node};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The default address.
const LISTEN: &str = "127.0.0.1:8080";

/// All settings of `fleeting serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<String>,
    /// The address of the second listener, for metrics and census.
    pub(crate) admin_listen: Option<String>,
    pub(crate) workers: usize,
    /// The directory to serve at `/` instead of the demo page.
    pub(crate) files: Option<PathBuf>,
    /// The groups of routes to serve; `None` for all.
    pub(crate) services: Option<Vec<Service>>,
    /// The hosts that routes with state are served for, besides the loopback's own.
    pub(crate) hosts: Vec<String>,
    /// The origins whose pages may change things and open WebSockets, besides the server's own.
    pub(crate) origins: Vec<String>,
    /// Compression on `/ws`, `/hub` and `/clients/ws`.
    pub(crate) compression: Compression,
    /// What to do with publications for a client of `/hub` that reads too slowly.
    pub(crate) slow_consumer: SlowConsumer,
    pub(crate) store: StoreLocation,
    /// This server's name among the nodes that share a store.
    pub(crate) node: Option<String>,
    /// How long the registry keeps records.
    pub(crate) clients: RecordLifetimes,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
}

/// Where entries are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreLocation {
    Memory,
    Redis(RedisUrl),
}

/// Parses and sets one setting.
type Setter = fn(&mut Settings, &str) -> Result<(), String>;

/// Parses and sets a setting that is a list.
type ListSetter = fn(&mut Settings, Vec<String>) -> Result<(), String>;

/// Settings that are lists: flags that may be repeated, arrays in the file, commas in the environment.
pub(super) const LIST_SETTINGS: [(&str, ListSetter); 4] = [
    ("listen", Settings::set_listen),
    ("serve", Settings::set_services),
    ("host", Settings::set_hosts),
    ("origin", Settings::set_origins),
];

/// Settings that are one text in every source, by name.
pub(super) const TEXT_SETTINGS: [(&str, Setter); 8] = [
    ("admin_listen", Settings::set_admin_listen),
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
            admin_listen: None,
            workers: 1,
            files: None,
            services: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            compression: Compression::off(),
            slow_consumer: SlowConsumer::default(),
            store: StoreLocation::Memory,
            node: None,
            clients: RecordLifetimes::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    /// Sets the text setting `name`, or returns `None` if there is no such setting.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let (_, set) = TEXT_SETTINGS.iter().find(|(known, _)| *known == name)?;
        Some(set(self, value))
    }

    /// Sets the list `name`, or returns `None` if there is no such list.
    pub(super) fn set_list(&mut self, name: &str, values: Vec<String>) -> Option<Result<(), String>> {
        let (_, set) = LIST_SETTINGS.iter().find(|(known, _)| *known == name)?;
        Some(set(self, values))
    }

    /// Sets the address of the second listener.
    pub(super) fn set_admin_listen(&mut self, addr: &str) -> Result<(), String> {
        let addr = addr.trim();
        if !is_address(addr) {
            return Err(format!("bad address `{addr}`; expected HOST:PORT, such as 127.0.0.1:9090"));
        }
        self.admin_listen = Some(addr.into());
        Ok(())
    }

    /// Replaces the addresses.
    pub(super) fn set_listen(&mut self, addrs: Vec<String>) -> Result<(), String> {
        match addrs.iter().find(|addr| !is_address(addr)) {
            None if addrs.is_empty() => Err("no address; expected at least one HOST:PORT".into()),
            None => {
                self.listen = addrs;
                Ok(())
            }
            Some(addr) => {
                Err(format!("bad address `{addr}`; expected HOST:PORT, such as 127.0.0.1:8080 or [::]:80"))
            }
        }
    }

    /// Sets the directory to serve. Whether it exists is checked when it is opened.
    pub(super) fn set_files(&mut self, directory: PathBuf) -> Result<(), String> {
        if directory.as_os_str().is_empty() {
            return Err("the directory is empty; expected a path, such as . for the current directory".into());
        }
        self.files = Some(directory);
        Ok(())
    }

    /// Sets how messages are compressed.
    pub(super) fn set_compression(&mut self, mode: &str) -> Result<(), String> {
        self.compression = mode.trim().parse().map_err(|error: ConfigError| error.to_string())?;
        Ok(())
    }

    /// Sets what to do with publications for a slow reader.
    pub(super) fn set_slow_consumer(&mut self, policy: &str) -> Result<(), String> {
        self.slow_consumer = policy.trim().parse()?;
        Ok(())
    }

    /// Sets where entries are kept. An error does not quote the value, because it may hold a password.
    pub(super) fn set_store(&mut self, place: &str) -> Result<(), String> {
        self.store = match place.trim() {
            "memory" => StoreLocation::Memory,
            url => {
                let url = url.parse().map_err(|error| format!("neither `memory` nor a Redis URL: {error}"));
                StoreLocation::Redis(url?)
            }
        };
        Ok(())
    }

    /// Sets how long a record is kept while no connection holds it.
    pub(super) fn set_client_life(&mut self, value: &str) -> Result<(), String> {
        self.clients.unheld =
            positive(value).ok_or_else(|| bad_value(value, "a time above zero, such as 500ms, 10s or 2m"))?;
        Ok(())
    }

    /// Sets what to do with a record when its connection closes.
    pub(super) fn set_client_close(&mut self, value: &str) -> Result<(), String> {
        self.clients.after_close = match value.trim() {
            "remove" => Duration::ZERO,
            _ => positive(value).ok_or_else(|| {
                bad_value(value, "`remove`, or a time above zero, such as 500ms, 10s or 2m")
            })?,
        };
        Ok(())
    }

    /// Sets this server's name among the nodes that share a store.
    pub(super) fn set_node(&mut self, name: &str) -> Result<(), String> {
        check_node(name).map_err(|error| error.to_string())?;
        self.node = Some(name.into());
        Ok(())
    }

    /// Sets the number of workers.
    pub(super) fn set_workers(&mut self, value: &str) -> Result<(), String> {
        // A connection id holds the number of its worker in 16 bits.
        match value.trim().parse::<u16>() {
            Ok(workers) if workers > 0 => {
                self.workers = workers.into();
                Ok(())
            }
            _ => Err(bad_value(value, &format!("a number from 1 to {}", u16::MAX))),
        }
    }
}

/// Parses a duration greater than zero.
fn positive(value: &str) -> Option<Duration> {
    // The syntax is that of timeouts.
    let mut timeouts = Timeouts::default();
    timeouts.set("idle", value).ok()?;
    Some(timeouts.idle).filter(|time| !time.is_zero())
}

fn bad_value(value: &str, expected: &str) -> String {
    format!("bad value `{}`; expected {expected}", value.trim())
}

/// Whether `text` has the form HOST:PORT. The name is not resolved.
fn is_address(text: &str) -> bool {
    let is_host_and_port = |(host, port): (&str, &str)| {
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b":/[]".contains(&b));
        is_host && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(is_host_and_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
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
