//! What the server is made with, put together from defaults, file, environment and flags.

use super::Failure;
use super::args::Flags;
use super::file;
use super::registry::Lives;
use fleeting::store::check_node;
use fleeting::ws::Compression;
use fleeting::{ConfigError, Limits, RedisUrl, SlowConsumer, Timeouts};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// Flags go before the environment, that before the file, that before the defaults.
    pub(super) fn gather(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Settings, Failure> {
        let environment = ours(environment)?;
        let named = environment.iter().find(|(name, _)| name == "CONFIG").map(|(_, path)| Path::new(path));
        let mut settings = Settings::default();
        if let Some(path) = flags.config.as_deref().or(named) {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", path.display())))?;
            let wrong = |why| Failure::Usage(format!("{}{why}", path.display()));
            file::apply(&text, &mut settings).map_err(wrong)?;
        }
        settings.apply_environment(&environment)?;
        settings.apply_flags(flags)?;
        Ok(settings)
    }

    fn apply_environment(&mut self, environment: &[(String, String)]) -> Result<(), Failure> {
        for (name, value) in environment {
            let known = |names: &[&str], prefix: &str| {
                names
                    .iter()
                    .map(|name| format!("{prefix}{}", name.to_uppercase()))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let set = if name == "LISTEN" {
                self.set_listen(value.split(',').map(|addr| addr.trim().to_string()).collect())
            } else if name == "WORKERS" {
                self.set_workers(value)
            } else if name == "FILES" {
                self.set_files(value.into())
            } else if name == "COMPRESSION" {
                self.set_compression(value)
            } else if name == "SLOW_CONSUMER" {
                self.set_slow_consumer(value)
            } else if name == "STORE" {
                self.set_store(value)
            } else if name == "NODE" {
                self.set_node(value)
            } else if name == "CLIENT_LIFE" {
                self.set_client_life(value)
            } else if name == "CLIENT_CLOSE" {
                self.set_client_close(value)
            } else if let Some(limit) = name.strip_prefix("LIMIT_") {
                match lower(limit, Limits::NAMES) {
                    Some(limit) => self.limits.set(limit, value).map_err(|error| error.to_string()),
                    None => {
                        Err(format!("no such limit; there are: {}", known(Limits::NAMES, "FLEETING_LIMIT_")))
                    }
                }
            } else if let Some(timeout) = name.strip_prefix("TIMEOUT_") {
                match lower(timeout, Timeouts::NAMES) {
                    Some(timeout) => self.timeouts.set(timeout, value).map_err(|error| error.to_string()),
                    None => Err(format!(
                        "no such timeout; there are: {}",
                        known(Timeouts::NAMES, "FLEETING_TIMEOUT_")
                    )),
                }
            } else {
                Ok(())
            };
            set.map_err(|why| Failure::Usage(format!("FLEETING_{name}: {why}")))?;
        }
        Ok(())
    }

    fn apply_flags(&mut self, flags: &Flags) -> Result<(), Failure> {
        if !flags.listen.is_empty() {
            self.set_listen(flags.listen.clone())
                .map_err(|why| Failure::Usage(format!("--listen: {why}")))?;
        }
        if let Some(workers) = &flags.workers {
            self.set_workers(workers).map_err(|why| Failure::Usage(format!("--workers: {why}")))?;
        }
        if let Some(directory) = &flags.files {
            self.set_files(directory.clone()).map_err(|why| Failure::Usage(format!("--files: {why}")))?;
        }
        if let Some(mode) = &flags.compression {
            self.set_compression(mode).map_err(|why| Failure::Usage(format!("--compression: {why}")))?;
        }
        if let Some(policy) = &flags.slow_consumer {
            self.set_slow_consumer(policy)
                .map_err(|why| Failure::Usage(format!("--slow-consumer: {why}")))?;
        }
        if let Some(place) = &flags.store {
            self.set_store(place).map_err(|why| Failure::Usage(format!("--store: {why}")))?;
        }
        if let Some(name) = &flags.node {
            self.set_node(name).map_err(|why| Failure::Usage(format!("--node: {why}")))?;
        }
        if let Some(life) = &flags.client_life {
            self.set_client_life(life).map_err(|why| Failure::Usage(format!("--client-life: {why}")))?;
        }
        if let Some(on_close) = &flags.client_close {
            self.set_client_close(on_close)
                .map_err(|why| Failure::Usage(format!("--client-close: {why}")))?;
        }
        for text in &flags.limit {
            let set = name_and_value(text)
                .and_then(|(name, value)| self.limits.set(name, value).map_err(|error| error.to_string()));
            set.map_err(|why| Failure::Usage(format!("--limit {text}: {why}")))?;
        }
        for text in &flags.timeout {
            let set = name_and_value(text)
                .and_then(|(name, value)| self.timeouts.set(name, value).map_err(|error| error.to_string()));
            set.map_err(|why| Failure::Usage(format!("--timeout {text}: {why}")))?;
        }
        Ok(())
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

/// What the environment may set, limits and timeouts apart.
const VARIABLES: &[&str] = &[
    "CONFIG",
    "LISTEN",
    "WORKERS",
    "FILES",
    "COMPRESSION",
    "SLOW_CONSUMER",
    "STORE",
    "NODE",
    "CLIENT_LIFE",
    "CLIENT_CLOSE",
];

/// The variables whose names begin with `FLEETING_`, without it. An empty one counts as not set.
///
/// Of names that are none of ours nothing is said, limits and timeouts apart: others, such as a
/// cluster that has a service of this name, set variables too.
fn ours(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix("FLEETING_")) else { continue };
        if !VARIABLES.contains(&name) && !name.starts_with("LIMIT_") && !name.starts_with("TIMEOUT_")
            || value.is_empty()
        {
            continue;
        }
        let value = value.to_str().ok_or_else(|| not_text(name, &value))?;
        found.push((name.to_string(), value.to_string()));
    }
    Ok(found)
}

fn not_text(name: &str, value: &OsStr) -> Failure {
    Failure::Usage(format!("FLEETING_{name}: {value:?} is not UTF-8"))
}

/// The name that `capitals` stands for.
fn lower<'n>(capitals: &str, names: &[&'n str]) -> Option<&'n str> {
    names.iter().find(|name| name.to_uppercase() == capitals).copied()
}

fn name_and_value(text: &str) -> Result<(&str, &str), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim(), value))
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

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

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

    #[test]
    fn the_environment_sets_everything() {
        let set = environment(&[
            ("FLEETING_LISTEN", "a:1, b:2"),
            ("FLEETING_WORKERS", "3"),
            ("FLEETING_FILES", "a/b"),
            ("FLEETING_COMPRESSION", "off,window=10"),
            ("FLEETING_SLOW_CONSUMER", "conflate"),
            ("FLEETING_STORE", "redis://:p@a:1"),
            ("FLEETING_NODE", "n 1"),
            ("FLEETING_CLIENT_LIFE", "2m"),
            ("FLEETING_CLIENT_CLOSE", "3s"),
            ("FLEETING_LIMIT_BODY_BYTES", "8MiB"),
            ("FLEETING_TIMEOUT_WS_IDLE", "7s"),
            ("FLEETING_TIMEOUT_IDLE", ""),
            ("FLEETING_PORT", "tcp://10.0.0.1:80"),
            ("PATH", "/bin"),
        ]);
        let settings = Settings::gather(&Flags::default(), set).unwrap();
        assert_eq!(settings.listen, ["a:1", "b:2"]);
        assert_eq!(settings.workers, 3);
        assert_eq!(settings.files.as_deref(), Some(Path::new("a/b")));
        assert_eq!(settings.compression, Compression::off().window(10));
        assert_eq!(settings.slow_consumer, SlowConsumer::Conflate);
        assert_eq!(settings.store, Place::Redis("redis://:p@a:1".parse().unwrap()));
        assert_eq!(settings.node.as_deref(), Some("n 1"));
        assert_eq!((settings.clients.life.as_secs(), settings.clients.on_close.as_secs()), (120, 3));
        assert_eq!(settings.limits.body_bytes, 8 << 20);
        assert_eq!(settings.timeouts.ws_idle.as_secs(), 7);
        assert_eq!(settings.timeouts.idle, Timeouts::default().idle);
    }

    #[test]
    fn a_mistake_names_itself() {
        fn check(name: &str, value: &str, expected: &str) {
            match Settings::gather(&Flags::default(), environment(&[(name, value)])) {
                Err(Failure::Usage(message)) => {
                    assert!(message.starts_with(name) && message.contains(expected), "{message}");
                }
                other => panic!("{name}={value}: {other:?}"),
            }
        }
        check("FLEETING_WORKERS", "0", "from 1");
        check("FLEETING_WORKERS", "two", "`two`");
        check("FLEETING_WORKERS", "65536", "65535");
        check("FLEETING_LISTEN", "a:1,", "``");
        check("FLEETING_COMPRESSION", "gzip", "`gzip`");
        check("FLEETING_SLOW_CONSUMER", "drop", "drop-oldest");
        check("FLEETING_STORE", "memroy", "redis://HOST");
        check("FLEETING_STORE", "redis://:secret@a/x", "the database should be a number");
        check("FLEETING_NODE", "a\tb", "no control characters");
        check("FLEETING_CLIENT_LIFE", "0s", "`0s`");
        check("FLEETING_CLIENT_CLOSE", "soon", "or remove");
        check("FLEETING_LIMIT_BODY", "1", "FLEETING_LIMIT_BODY_BYTES");
        check("FLEETING_LIMIT_body_bytes", "1", "no such limit");
        check("FLEETING_TIMEOUT_IDLE", "10", "10s");
    }
}
