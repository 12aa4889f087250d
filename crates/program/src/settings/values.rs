//! The settings, their defaults and the parsing of their values.
//!
//! It does not know where a value comes from. Its errors say what is wrong with a value and what is allowed; the
//! caller adds the flag, the variable or the key.

use super::parse::{bad_value, positive, time};
use super::proxies::ProxySettings;
use super::services::{Service, Services};
use super::tls::TlsSettings;
use crate::registry::RecordLifetimes;
use fleeting::ws::Compression;
use fleeting::{ConfigError, HttpVersions, Io, Limits, SlowConsumer, Timeouts, check_address};
use fleeting_store::{RedisUrl, check_node};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

/// The default address.
const LISTEN: &str = "127.0.0.1:8080";

/// All settings of `fleeting serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) listen: Vec<String>,
    /// The address of the second listener, for metrics and census.
    pub(crate) admin_listen: Option<String>,
    /// The certificates that it shows on these addresses, and what belongs to them.
    pub(crate) tls: TlsSettings,
    /// The proxies in front of it.
    pub(crate) proxies: ProxySettings,
    pub(crate) workers: usize,
    /// How long a worker polls without waiting.
    pub(crate) spin: Duration,
    /// The directory to serve at `/` instead of the demo page.
    pub(crate) files: Option<PathBuf>,
    /// Content-Types of files, by extension, besides the usual ones.
    pub(crate) media_types: Vec<(String, String)>,
    /// The groups of routes to serve.
    pub(crate) services: Services,
    /// The hosts that routes with state are served for, besides the loopback's own.
    pub(crate) hosts: Vec<String>,
    /// The origins whose pages may change things and open WebSockets, besides the server's own.
    pub(crate) origins: Vec<String>,
    /// Compression on `/ws`, `/hub` and `/clients/ws`.
    pub(crate) compression: Compression,
    /// What to do with publications for a client of `/hub` that reads too slowly.
    pub(crate) slow_consumer: SlowConsumer,
    /// How publications are written.
    pub(crate) http: HttpVersions,
    pub(crate) io: Io,
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
pub(super) const LIST_SETTINGS: [(&str, ListSetter); 9] = [
    ("listen", Settings::set_listen),
    ("tls_cert", |settings, files| settings.tls.set_certificates(files)),
    ("tls_key", |settings, files| settings.tls.set_keys(files)),
    ("proxy_from", |settings, networks| settings.proxies.set_announcing(&networks)),
    ("trust", |settings, networks| settings.proxies.set_trusted(&networks)),
    ("media_type", Settings::set_media_types),
    ("serve", Settings::set_services),
    ("host", Settings::set_hosts),
    ("origin", Settings::set_origins),
];

/// Settings that are one text in every source, by name.
pub(super) const TEXT_SETTINGS: [(&str, Setter); 14] = [
    ("redirect_http", Settings::set_redirect_http),
    ("hsts", |settings, time| settings.tls.set_hsts(time)),
    ("trust_fields", |settings, name| settings.proxies.set_fields(name)),
    ("admin_listen", Settings::set_admin_listen),
    ("workers", Settings::set_workers),
    ("spin", Settings::set_spin),
    ("compression", Settings::set_compression),
    ("slow_consumer", Settings::set_slow_consumer),
    ("http", Settings::set_http),
    ("io", Settings::set_io),
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
            tls: TlsSettings::default(),
            proxies: ProxySettings::default(),
            workers: 1,
            spin: Duration::ZERO,
            files: None,
            media_types: Vec::new(),
            services: Services::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            compression: Compression::off(),
            slow_consumer: SlowConsumer::default(),
            http: HttpVersions::default(),
            io: Io::default(),
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
        self.admin_listen = Some(address(addr)?);
        Ok(())
    }

    /// Sets the address where clients of plain HTTP are sent to the others.
    pub(super) fn set_redirect_http(&mut self, addr: &str) -> Result<(), String> {
        self.tls.redirect_http = Some(address(addr)?);
        Ok(())
    }

    /// Returns the names of the settings that differ in `new` and cannot change while the server runs.
    pub(crate) fn restart_needed_for(&self, new: &Settings) -> Vec<&'static str> {
        let old = self;
        let differs = [
            ("listen", old.listen != new.listen),
            ("admin_listen", old.admin_listen != new.admin_listen),
            ("tls", old.tls.needs_restart_for(&new.tls)),
            ("proxies", old.proxies != new.proxies),
            ("workers", old.workers != new.workers),
            ("spin", old.spin != new.spin),
            ("files", old.files != new.files),
            ("media_type", old.media_types != new.media_types),
            ("serve", old.services != new.services),
            ("compression", old.compression != new.compression),
            ("slow_consumer", old.slow_consumer != new.slow_consumer),
            ("http", old.http != new.http),
            ("io", old.io != new.io),
            ("store", old.store != new.store),
            ("node", old.node != new.node),
            ("clients", old.clients != new.clients),
            ("limits", old.limits != new.limits),
            ("timeouts", old.timeouts != new.timeouts),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Replaces the addresses.
    pub(super) fn set_listen(&mut self, addrs: Vec<String>) -> Result<(), String> {
        if addrs.is_empty() {
            return Err("no address; expected at least one, such as 127.0.0.1:8080".into());
        }
        self.listen = addrs.iter().map(|addr| address(addr)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Sets the directory to serve. Whether it exists is checked when it is opened.
    pub(super) fn set_files(&mut self, directory: PathBuf) -> Result<(), String> {
        if directory.as_os_str().is_empty() {
            return Err("the directory is empty; expected a path, such as . for the current directory".into());
        }
        self.files = Some(directory);
        Ok(())
    }

    /// Sets the groups of routes to serve.
    pub(super) fn set_services(&mut self, names: Vec<String>) -> Result<(), String> {
        self.services = Services::parse(&names)?;
        Ok(())
    }

    /// Whether the routes of this group are served on the addresses of `listen`.
    pub(crate) fn serves(&self, service: Service) -> bool {
        let is_elsewhere = service == Service::Metrics && self.admin_listen.is_some();
        !is_elsewhere && self.services.contains(service, self.files.is_some())
    }

    /// Replaces the Content-Types of files by extension.
    pub(super) fn set_media_types(&mut self, texts: Vec<String>) -> Result<(), String> {
        let parse = |text: &String| {
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
            };
            let (extension, media_type) = text.trim().split_once('=')?;
            let (kind, rest) = media_type.split_once('/')?;
            let subtype = rest.split(';').next().unwrap_or_default().trim_end();
            let is_valid = is_name(extension)
                && !extension.contains('.')
                && is_name(kind)
                && is_name(subtype)
                && rest.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            is_valid.then(|| (extension.to_string(), media_type.to_string()))
        };
        let parsed = texts.iter().map(|text| {
            parse(text).ok_or_else(|| bad_value(text, "EXTENSION=TYPE, such as ndjson=application/x-ndjson"))
        });
        self.media_types = parsed.collect::<Result<_, _>>()?;
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

    /// Sets which versions of HTTP are spoken.
    pub(super) fn set_http(&mut self, versions: &str) -> Result<(), String> {
        self.http = versions.trim().parse()?;
        Ok(())
    }

    /// Sets how publications are written.
    pub(super) fn set_io(&mut self, io: &str) -> Result<(), String> {
        self.io = io.trim().parse()?;
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
        let value = value.trim();
        // A connection id holds the number of its worker in 16 bits.
        let workers = match value {
            "auto" => available_parallelism().map_or(1, |count| count.get().min(u16::MAX.into())),
            _ => value.parse::<u16>().unwrap_or(0).into(),
        };
        if workers == 0 {
            return Err(bad_value(value, &format!("a number from 1 to {}, or `auto`", u16::MAX)));
        }
        self.workers = workers;
        Ok(())
    }

    /// Sets how long a worker polls without waiting.
    pub(super) fn set_spin(&mut self, value: &str) -> Result<(), String> {
        let micros = value.trim().strip_suffix("us").map(str::trim_end);
        let span = match micros {
            Some(micros) => micros.parse().ok().map(Duration::from_micros),
            None => time(value),
        };
        self.spin = span.ok_or_else(|| bad_value(value, "a time such as 50us or 1ms, or 0s for none"))?;
        Ok(())
    }
}

/// Returns the address as the server takes it.
fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    check_address(text).map(|()| text.into()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_belongs_to_an_extension() {
        fn check(text: &str, expected: Option<(&str, &str)>) {
            let mut settings = Settings::default();
            let set = settings.set_media_types(vec![text.into()]);
            assert_eq!(set.is_ok(), expected.is_some(), "{text}: {set:?}");
            let expected = expected.map(|(extension, name)| (extension.to_string(), name.to_string()));
            assert_eq!(settings.media_types.first(), expected.as_ref(), "{text}");
        }
        check("ndjson=application/x-ndjson", Some(("ndjson", "application/x-ndjson")));
        check(" txt=text/plain; charset=latin1", Some(("txt", "text/plain; charset=latin1")));
        check("ndjson", None);
        check("=text/plain", None);
        check(".txt=text/plain", None);
        check("txt=text", None);
        check("txt=text/", None);
        check("txt=te xt/plain", None);
        check("txt=text/plain\r\nx: y", None);
    }

    #[test]
    fn workers_are_a_number_or_one_for_each_processor() {
        let workers = |value| {
            let mut settings = Settings::default();
            settings.set_workers(value).map(|()| settings.workers)
        };
        assert_eq!(workers(" 3 "), Ok(3));
        assert_eq!(workers("auto"), Ok(available_parallelism().unwrap().get()));
        for bad in ["0", "-1", "65536", "two", ""] {
            let message = workers(bad).unwrap_err();
            assert_eq!(message, format!("bad value `{bad}`; expected a number from 1 to 65535, or `auto`"));
        }
    }

    #[test]
    fn a_span_of_spinning_may_be_less_than_a_millisecond() {
        let spin = |value| {
            let mut settings = Settings::default();
            settings.set_spin(value).map(|()| settings.spin)
        };
        assert_eq!(spin("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(spin(" 50 us "), Ok(Duration::from_micros(50)));
        assert_eq!(spin("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!((spin("0us"), spin("0s")), (Ok(Duration::ZERO), Ok(Duration::ZERO)));
        for bad in ["50", "us", "-1us", "1.5us", "50ns", ""] {
            let message = format!("bad value `{bad}`; expected a time such as 50us or 1ms, or 0s for none");
            assert_eq!(spin(bad), Err(message));
        }
    }

    /// Finding F2.
    #[test]
    fn a_bad_time_is_told_what_is_allowed() {
        let mut settings = Settings::default();
        let error = settings.set_client_life("10").unwrap_err();
        assert_eq!(error, "bad value `10`; expected a time above zero, such as 500ms, 10s or 2m");
        let error = settings.set_client_close("0s").unwrap_err();
        assert_eq!(
            error,
            "bad value `0s`; expected `remove`, or a time above zero, such as 500ms, 10s or 2m"
        );
    }
}
