//! The configuration file: TOML to settings.

use super::settings::Settings;
use toml::{Table, Value};

/// Keys that a file may have.
const KEYS: &str = "listen workers files compression slow_consumer store node clients limits timeouts";

/// Sets what the file's `text` sets.
///
/// # Errors
/// What comes behind the file's name to say what is wrong: the line or the key, and why.
pub(super) fn apply(text: &str, settings: &mut Settings) -> Result<(), String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = &text.as_bytes()[..error.span().map_or(0, |span| span.start).min(text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!(":{line}: {}", error.message())
    })?;
    for (key, value) in &table {
        let set = match (key.as_str(), value) {
            ("listen", Value::String(addr)) => settings.set_listen(vec![addr.clone()]),
            ("listen", Value::Array(addrs)) => texts(addrs).and_then(|addrs| settings.set_listen(addrs)),
            ("listen", other) => Err(misfit(other, "an address or an array of them")),
            ("workers", Value::Integer(workers)) => settings.set_workers(&workers.to_string()),
            ("workers", other) => Err(misfit(other, "a number")),
            ("files", Value::String(directory)) => settings.set_files(directory.into()),
            ("files", other) => Err(misfit(other, "a directory as text")),
            ("compression", Value::String(mode)) => settings.set_compression(mode),
            ("compression", other) => Err(misfit(other, "a mode as text, such as \"shared\"")),
            ("slow_consumer", Value::String(policy)) => settings.set_slow_consumer(policy),
            ("slow_consumer", other) => Err(misfit(other, "a policy as text, such as \"conflate\"")),
            ("store", Value::String(place)) => settings.set_store(place),
            ("store", other) => Err(misfit(other, "a place as text, such as \"redis://127.0.0.1:6379\"")),
            ("node", Value::String(name)) => settings.set_node(name),
            ("node", other) => Err(misfit(other, "a name as text")),
            ("clients", Value::Table(clients)) => {
                each(clients, key, |name, value| match name {
                    "life" => settings.set_client_life(value),
                    "on_close" => settings.set_client_close(value),
                    _ => Err("unknown name; there are: life on_close".into()),
                })?;
                Ok(())
            }
            ("limits", Value::Table(limits)) => {
                each(limits, key, |name, value| settings.limits.set(name, value).map_err(|e| e.to_string()))?;
                Ok(())
            }
            ("timeouts", Value::Table(timeouts)) => {
                each(timeouts, key, |name, value| {
                    settings.timeouts.set(name, value).map_err(|e| e.to_string())
                })?;
                Ok(())
            }
            ("clients" | "limits" | "timeouts", other) => Err(misfit(other, "a table")),
            _ => Err(format!("unknown key; there are: {KEYS}")),
        };
        set.map_err(|why| format!(": {key}: {why}"))?;
    }
    Ok(())
}

/// Gives every entry of the table `key` to `set`, numbers as text.
fn each(
    table: &Table,
    key: &str,
    mut set: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    for (name, value) in table {
        let set = match value {
            Value::String(text) => set(name, text),
            Value::Integer(number) => set(name, &number.to_string()),
            other => Err(misfit(other, "a number or text")),
        };
        set.map_err(|why| format!(": {key}.{name}: {why}"))?;
    }
    Ok(())
}

fn texts(values: &[Value]) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(misfit(other, "addresses as text")),
    };
    values.iter().map(text).collect()
}

fn misfit(value: &Value, expected: &str) -> String {
    format!("expected {expected}, not one of type {}", value.type_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Place;
    use fleeting::SlowConsumer;
    use fleeting::ws::Compression;

    #[test]
    fn a_file_sets_everything() {
        let text = "listen = ['a:1', 'b:2']\nworkers = 2\nfiles = 'd'\ncompression = 'off,level=3'\n\
                    slow_consumer = 'close'\nstore = 'redis://a/1'\nnode = 'n'\n\
                    [clients]\nlife = '2s'\non_close = '1s'\n[limits]\nbody_bytes = '8MiB'\nheaders = 7\n\
                    [timeouts]\nidle = '3s'\n";
        let mut settings = Settings::default();
        apply(text, &mut settings).unwrap();
        assert_eq!(settings.listen, ["a:1", "b:2"]);
        assert_eq!(settings.workers, 2);
        assert_eq!(settings.files.as_deref(), Some("d".as_ref()));
        assert_eq!(settings.compression, Compression::off().level(3));
        assert_eq!(settings.slow_consumer, SlowConsumer::Close);
        assert_eq!(settings.store, Place::Redis("redis://a/1".parse().unwrap()));
        assert_eq!(settings.node.as_deref(), Some("n"));
        assert_eq!((settings.clients.life.as_secs(), settings.clients.on_close.as_secs()), (2, 1));
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
    fn mistakes_are_named() {
        fn check(text: &str, expected: &[&str]) {
            let error = apply(text, &mut Settings::default()).unwrap_err();
            for expected in expected {
                assert!(error.contains(expected), "{text}: {error}");
            }
            assert!(!error.contains('\n'), "{text}: {error}");
        }
        check("workers = 1\nlisten = [", &[":2: "]);
        check("workers = 1\nworkers = 2\n", &[":2: ", "duplicate"]);
        check("worker = 1", &[": worker: unknown key", KEYS]);
        check("workers = 0", &[": workers: ", "from 1"]);
        check("workers = '1'", &["a number", "string"]);
        check("listen = 80", &[": listen: ", "integer"]);
        check("listen = [80]", &["addresses as text"]);
        check("listen = []", &["no address"]);
        check("listen = 'x'", &["`x`", "HOST:PORT"]);
        check("files = 1", &[": files: ", "a directory"]);
        check("files = ''", &[": files: ", "empty"]);
        check("compression = 'on'", &[": compression: ", "`on`", "shared"]);
        check("compression = true", &[": compression: ", "boolean"]);
        check("slow_consumer = 'wait'", &[": slow_consumer: ", "`wait`", "conflate"]);
        check("slow_consumer = 1", &["a policy as text"]);
        check("store = 1", &[": store: ", "a place as text"]);
        check("store = 'rediss://a'", &[": store: ", "TLS"]);
        check("node = ''", &[": node: ", "1 to 64 bytes"]);
        check("node = 1", &[": node: ", "a name as text"]);
        check("clients = 1", &["a table"]);
        check("[clients]\nage = 1", &[": clients.age: unknown name", "on_close"]);
        check("[clients]\nlife = '0s'", &[": clients.life: ", "`0s`"]);
        check("[clients]\non_close = 'never'", &[": clients.on_close: ", "`never`", "remove"]);
        check("limits = 1", &["a table"]);
        check("[limits]\nbody = 1", &[": limits.body: unknown name", "body_bytes"]);
        check("[limits]\nbody_bytes = -1", &[": limits.body_bytes: bad value `-1`"]);
        check("[limits]\nbody_bytes = 1.5", &["float"]);
        check("[timeouts]\nidle = 10", &[": timeouts.idle: bad value `10`", "10s"]);
        check("[timeouts.idle]\nx = 1", &["table"]);
    }
}
