//! The configuration file: TOML to settings.
//!
//! It opens no file. Its invariant: every error begins with the line that is wrong.

use super::values::Settings;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// The keys that a file may have.
const KEYS: &str = "listen, tls_cert, tls_key, redirect_http, hsts, proxy_from, trust, trust_fields, admin_listen, workers, spin, files, media_type, serve, host, origin, compression, slow_consumer, io, \
                    store, node, clients, limits, timeouts";
/// The keys of its table `clients`.
const CLIENT_KEYS: &str = "life, on_close";

/// Applies the settings in the file's `text`.
///
/// # Errors
/// The rest of a message that begins with the file's name: `:LINE: KEY: REASON`, or `:LINE: REASON` if the text is
/// not TOML.
pub(super) fn apply(text: &str, settings: &mut Settings) -> Result<(), String> {
    let table = DeTable::parse(text)
        .map_err(|error| format!("{}: {}", line(text, error.span()), error.message()))?
        .into_inner();
    for (key, value) in &table {
        let result = match (&**key.get_ref(), value.get_ref()) {
            (
                name @ ("listen" | "tls_cert" | "tls_key" | "proxy_from" | "trust" | "media_type" | "serve"
                | "host" | "origin"),
                value,
            ) => texts(value).and_then(|values| settings.set_list(name, values).unwrap_or(Ok(()))),
            ("redirect_http", DeValue::String(addr)) => settings.set_redirect_http(addr),
            ("redirect_http", other) => Err(wrong_type(other, "an address as a string")),
            ("hsts", DeValue::String(time)) => settings.tls.set_hsts(time),
            ("hsts", other) => Err(wrong_type(other, "a time as a string, such as \"8760h\"")),
            ("trust_fields", DeValue::String(name)) => settings.proxies.set_fields(name),
            ("trust_fields", other) => Err(wrong_type(other, "x-forwarded or forwarded as a string")),
            ("admin_listen", DeValue::String(addr)) => settings.set_admin_listen(addr),
            ("admin_listen", other) => Err(wrong_type(other, "an address as a string")),
            ("workers", DeValue::Integer(workers)) => decimal(workers).and_then(|n| settings.set_workers(&n)),
            ("workers", DeValue::String(workers)) => settings.set_workers(workers),
            ("workers", other) => Err(wrong_type(other, "a number, or \"auto\"")),
            ("spin", DeValue::String(span)) => settings.set_spin(span),
            ("spin", other) => Err(wrong_type(other, "a time as a string, such as \"50us\"")),
            ("files", DeValue::String(directory)) => settings.set_files((&**directory).into()),
            ("files", other) => Err(wrong_type(other, "a directory as a string")),
            ("compression", DeValue::String(mode)) => settings.set_compression(mode),
            ("compression", other) => Err(wrong_type(other, "a mode as a string, such as \"shared\"")),
            ("slow_consumer", DeValue::String(policy)) => settings.set_slow_consumer(policy),
            ("slow_consumer", other) => Err(wrong_type(other, "a policy as a string, such as \"conflate\"")),
            ("http", DeValue::String(versions)) => settings.set_http(versions),
            ("http", other) => Err(wrong_type(other, "1, 2 or both as a string")),
            ("io", DeValue::String(how)) => settings.set_io(how),
            ("io", other) => Err(wrong_type(other, "auto, epoll or uring as a string")),
            ("store", DeValue::String(location)) => settings.set_store(location),
            ("store", other) => {
                Err(wrong_type(other, "a location as a string, such as \"redis://127.0.0.1:6379\""))
            }
            ("node", DeValue::String(name)) => settings.set_node(name),
            ("node", other) => Err(wrong_type(other, "a name as a string")),
            ("clients", DeValue::Table(clients)) => {
                apply_table(text, "clients", clients, |name, value| match name {
                    "life" => settings.set_client_life(value),
                    "on_close" => settings.set_client_close(value),
                    _ => Err(format!("unknown name `{name}`; expected one of {CLIENT_KEYS}")),
                })?;
                Ok(())
            }
            ("limits", DeValue::Table(limits)) => {
                apply_table(text, "limits", limits, |name, value| {
                    settings.limits.set(name, value).map_err(|error| error.to_string())
                })?;
                Ok(())
            }
            ("timeouts", DeValue::Table(timeouts)) => {
                apply_table(text, "timeouts", timeouts, |name, value| {
                    settings.timeouts.set(name, value).map_err(|error| error.to_string())
                })?;
                Ok(())
            }
            ("clients" | "limits" | "timeouts", other) => Err(wrong_type(other, "a table")),
            _ => Err(format!("unknown key; expected one of {KEYS}")),
        };
        result.map_err(|why| format!("{}: {}: {why}", line(text, Some(key.span())), key.get_ref()))?;
    }
    Ok(())
}

/// Passes every entry of the table `key` to `set`. Numbers are passed as text.
fn apply_table(
    text: &str,
    key: &str,
    table: &DeTable<'_>,
    mut set: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    for (name, value) in table {
        let result = match value.get_ref() {
            DeValue::String(value) => set(name.get_ref(), value),
            DeValue::Integer(number) => decimal(number).and_then(|number| set(name.get_ref(), &number)),
            other => Err(wrong_type(other, "a number or a string")),
        };
        result
            .map_err(|why| format!("{}: {key}.{}: {why}", line(text, Some(name.span())), name.get_ref()))?;
    }
    Ok(())
}

/// Returns `:LINE`, with the number of the line where `span` begins.
fn line(text: &str, span: Option<Range<usize>>) -> String {
    let before = &text.as_bytes()[..span.map_or(0, |span| span.start).min(text.len())];
    format!(":{}", 1 + before.iter().filter(|byte| **byte == b'\n').count())
}

/// Returns the number in decimal digits, as settings are written everywhere else.
fn decimal(number: &DeInteger<'_>) -> Result<String, String> {
    let decimal = i64::from_str_radix(number.as_str(), number.radix());
    decimal.map(|number| number.to_string()).map_err(|_| format!("`{number}` is too large"))
}

/// Returns the texts of a string or of an array of strings.
fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    const EXPECTED: &str = "a string or an array of strings";
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(wrong_type(other, EXPECTED)),
    };
    match value {
        DeValue::String(one) => Ok(vec![one.to_string()]),
        DeValue::Array(several) => several.iter().map(text).collect(),
        other => Err(wrong_type(other, EXPECTED)),
    }
}

fn wrong_type(value: &DeValue<'_>, expected: &str) -> String {
    format!("expected {expected}, but the value is of type {}", value.type_str())
}

#[cfg(test)]
mod tests {
    use super::super::services::Service;
    use super::super::values::StoreLocation;
    use super::*;
    use fleeting::ws::Compression;
    use fleeting::{Io, SlowConsumer};

    #[test]
    fn a_file_sets_every_setting() {
        let text = "listen = ['a:1', 'b:2']\nadmin_listen = 'c:3'\nserve = ['files', 'hub']\nhost = 'chat.example'\n\
                    origin = ['https://chat.example']\nworkers = 2\nspin = '50us'\nfiles = 'd'\ncompression = 'off,level=3'\n\
                    slow_consumer = 'close'\nio = 'epoll'\nstore = 'redis://a/1'\nnode = 'n'\n\
                    [clients]\nlife = '2s'\non_close = '1s'\n[limits]\nbody_bytes = '8MiB'\nheaders = 7\n\
                    [timeouts]\nidle = '3s'\n";
        let mut settings = Settings::default();
        apply(text, &mut settings).unwrap();
        assert_eq!(settings.listen, ["a:1", "b:2"]);
        assert_eq!(settings.admin_listen.as_deref(), Some("c:3"));
        assert!(settings.serves(Service::Hub) && !settings.serves(Service::Clients));
        assert_eq!((settings.hosts.len(), settings.origins.len()), (1, 1));
        assert_eq!((settings.workers, settings.spin.as_micros()), (2, 50));
        assert_eq!(settings.files.as_deref(), Some("d".as_ref()));
        assert_eq!(settings.compression, Compression::off().level(3));
        assert_eq!(settings.slow_consumer, SlowConsumer::Close);
        assert_eq!(settings.io, Io::Epoll);
        assert_eq!(settings.store, StoreLocation::Redis("redis://a/1".parse().unwrap()));
        assert_eq!(settings.node.as_deref(), Some("n"));
        assert_eq!((settings.clients.unheld.as_secs(), settings.clients.after_close.as_secs()), (2, 1));
        assert_eq!((settings.limits.body_bytes, settings.limits.headers), (8 << 20, 7));
        assert_eq!(settings.timeouts.idle.as_secs(), 3);
        apply("listen = 'c:3'", &mut settings).unwrap();
        assert_eq!((settings.listen, settings.workers), (vec!["c:3".into()], 2));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        let mut settings = Settings::default();
        apply("# nothing\n", &mut settings).unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn an_error_names_the_line_and_the_key() {
        fn check(text: &str, expected: &[&str]) {
            let error = apply(text, &mut Settings::default()).unwrap_err();
            for expected in expected {
                assert!(error.contains(expected), "{text}: {error}");
            }
            assert!(!error.contains('\n'), "{text}: {error}");
        }
        check("workers = 1\nlisten = [", &[":2: "]);
        check("workers = 1\nworkers = 2\n", &[":2: ", "duplicate"]);
        check("spin = 50", &[":1: spin: expected a time", "integer"]);
        check("worker = 1", &[":1: worker: unknown key", KEYS]);
        check("\n\nlimits.headers = 1\n\nworker = 1", &[":5: worker: unknown key"]);
        check("workers = 0", &[":1: workers: ", "from 1"]);
        check("workers = 0x10000", &["`65536`"]);
        check("workers = 9999999999999999999", &["`9999999999999999999` is too large"]);
        check("workers = 'two'", &[":1: workers: ", "`two`", "`auto`"]);
        check("workers = true", &["a number, or \"auto\"", "boolean"]);
        check("listen = 80", &[": listen: ", "integer"]);
        check("listen = [80]", &["array of strings"]);
        check("serve = 1", &[": serve: ", "array of strings"]);
        check("serve = ['hub', 'chat']", &[": serve: ", "`chat`"]);
        check("host = 'a:80'", &[": host: ", "without a port"]);
        check("origin = ['a']", &[": origin: ", "SCHEME://HOST"]);
        check("admin_listen = 1", &["an address as a string"]);
        check("admin_listen = 'a'", &[": admin_listen: ", "HOST:PORT"]);
        check("listen = []", &["no address"]);
        check("listen = 'x'", &["`x`", "HOST:PORT"]);
        check("files = 1", &[": files: ", "a directory"]);
        check("files = ''", &[": files: ", "empty"]);
        check("compression = 'on'", &[": compression: ", "`on`", "shared"]);
        check("compression = true", &[": compression: ", "boolean"]);
        check("slow_consumer = 'wait'", &[": slow_consumer: ", "`wait`", "conflate"]);
        check("slow_consumer = 1", &["a policy as a string"]);
        check("io = 'kqueue'", &[": io: ", "`kqueue`", "uring"]);
        check("io = 1", &["auto, epoll or uring as a string"]);
        check("store = 1", &[": store: ", "a location as a string"]);
        check("store = 'rediss://a?insecure=1'", &[": store: ", "`insecure` has no meaning"]);
        check("node = ''", &[": node: ", "1 to 64 bytes"]);
        check("node = 1", &[": node: ", "a name as a string"]);
        check("clients = 1", &["a table"]);
        check("[clients]\nage = 1", &[":2: clients.age: unknown name `age`", "on_close"]);
        check("[clients]\nlife = '0s'", &[": clients.life: ", "`0s`"]);
        check("[clients]\non_close = 'never'", &[": clients.on_close: ", "`never`", "remove"]);
        check("limits = 1", &["a table"]);
        check("[limits]\nbody = 1", &[":2: limits.body: unknown name", "body_bytes"]);
        check("[limits]\nbody_bytes = -1", &[": limits.body_bytes: bad value `-1`"]);
        check("[limits]\nbody_bytes = 1.5", &["float"]);
        check("[timeouts]\nidle = 10", &[": timeouts.idle: bad value `10`", "1.5s"]);
        check("[timeouts.idle]\nx = 1", &["table"]);
    }
}
