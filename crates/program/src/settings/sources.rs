//! Collects settings from the defaults, the file, the environment and the flags.
//!
//! It does not know what a value means. Its invariant: later sources override earlier ones, and every error
//! begins with the flag, the variable or the file and key that is wrong.

use super::args::Flags;
use super::file;
use super::values::{LIST_SETTINGS, Settings, TEXT_SETTINGS};
use crate::failure::Failure;
use fleeting::{Limits, Timeouts};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Collects the settings: flags override the environment, the environment overrides the file, the file overrides
/// the defaults.
///
/// # Errors
/// [`Failure::Runtime`] if the file cannot be read, [`Failure::Usage`] if a setting is wrong.
pub(crate) fn gather(
    flags: &Flags,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, Failure> {
    let environment = fleeting_variables(environment)?;
    let variable = environment.iter().find(|(name, _)| name == "CONFIG").map(|(_, path)| Path::new(path));
    let mut settings = Settings::default();
    if let Some(path) = flags.config.as_deref().or(variable) {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", path.display())))?;
        let wrong = |why| Failure::Usage(format!("{}{why}", path.display()));
        file::apply(&text, &mut settings).map_err(wrong)?;
    }
    for (name, value) in &environment {
        apply_variable(&mut settings, name, value)
            .map_err(|why| Failure::Usage(format!("FLEETING_{name}: {why}")))?;
    }
    apply_flags(&mut settings, flags).map_err(Failure::Usage)?;
    let checked = settings.services.check(settings.files.as_deref());
    checked.map_err(|why| Failure::Usage(format!("--serve: {why}")))?;
    settings.tls.check().map_err(Failure::Usage)?;
    settings.proxies.check().map_err(Failure::Usage)?;
    Ok(settings)
}

fn apply_variable(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let variables = |prefix: &str, names: &[&str]| {
        names.iter().map(|name| format!("{prefix}{}", name.to_uppercase())).collect::<Vec<_>>().join(", ")
    };
    if let Some(limit) = name.strip_prefix("LIMIT_") {
        return match lowercase_name(limit, Limits::NAMES) {
            Some(limit) => settings.limits.set(limit, value).map_err(|error| error.to_string()),
            None => {
                Err(format!("unknown limit; expected one of {}", variables("FLEETING_LIMIT_", Limits::NAMES)))
            }
        };
    }
    if let Some(timeout) = name.strip_prefix("TIMEOUT_") {
        return match lowercase_name(timeout, Timeouts::NAMES) {
            Some(timeout) => settings.timeouts.set(timeout, value).map_err(|error| error.to_string()),
            None => Err(format!(
                "unknown timeout; expected one of {}",
                variables("FLEETING_TIMEOUT_", Timeouts::NAMES)
            )),
        };
    }
    match name {
        "FILES" => settings.set_files(value.into()),
        _ => {
            let name = name.to_lowercase();
            let listed = || value.split(',').map(|value| value.trim().to_string()).collect();
            settings.set(&name, value).or_else(|| settings.set_list(&name, listed())).unwrap_or(Ok(()))
        }
    }
}

fn apply_flags(settings: &mut Settings, flags: &Flags) -> Result<(), String> {
    for (name, values) in flags.list_settings() {
        if !values.is_empty()
            && let Some(Err(why)) = settings.set_list(name, values.clone())
        {
            return Err(format!("--{}: {why}", name.replace('_', "-")));
        }
    }
    if let Some(directory) = &flags.files {
        settings.set_files(directory.clone()).map_err(|why| format!("--files: {why}"))?;
    }
    for (name, value) in flags.text_settings() {
        if let Some(Err(why)) = value.and_then(|value| settings.set(name, value)) {
            return Err(format!("--{}: {why}", name.replace('_', "-")));
        }
    }
    for text in &flags.limit {
        let set = name_and_value(text)
            .and_then(|(name, value)| settings.limits.set(name, value).map_err(|error| error.to_string()));
        set.map_err(|why| format!("--limit {text}: {why}"))?;
    }
    for text in &flags.timeout {
        let set = name_and_value(text)
            .and_then(|(name, value)| settings.timeouts.set(name, value).map_err(|error| error.to_string()));
        set.map_err(|why| format!("--timeout {text}: {why}"))?;
    }
    Ok(())
}

/// Returns the variables that are settings, without the prefix `FLEETING_`. An empty variable counts as unset. Those that
/// Kubernetes sets for a service of this name are ignored, and any other that is unknown is an error here or later.
fn fleeting_variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix("FLEETING_")) else { continue };
        if value.is_empty() || is_from_kubernetes(name, &value) {
            continue;
        }
        if !is_setting(name) {
            return Err(unknown(name));
        }
        let value = value.to_str().ok_or_else(|| not_text(name, &value))?;
        found.push((name.to_string(), value.to_string()));
    }
    Ok(found)
}

/// The settings that are a variable, in capitals.
fn variables() -> impl Iterator<Item = String> {
    let lists = LIST_SETTINGS.iter().map(|(name, _)| *name);
    let texts = TEXT_SETTINGS.iter().map(|(name, _)| *name);
    ["config", "files"].into_iter().chain(lists).chain(texts).map(str::to_uppercase)
}

fn is_setting(name: &str) -> bool {
    name.starts_with("LIMIT_") || name.starts_with("TIMEOUT_") || variables().any(|known| known == name)
}

/// Whether Kubernetes sets this variable for a service named `fleeting`, or `fleeting-` and more: `[NAME_]SERVICE_HOST`,
/// `[NAME_]SERVICE_PORT[_NAME]`, `[NAME_]PORT` and `[NAME_]PORT_80_TCP[_ADDR]`.
fn is_from_kubernetes(name: &str, value: &OsStr) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let has_pair = |first, is_second: fn(&str) -> bool| {
        parts.windows(2).any(|pair| pair[0] == first && is_second(pair[1]))
    };
    has_pair("SERVICE", |part| part == "HOST" || part == "PORT")
        || has_pair("PORT", |part| part.bytes().all(|byte| byte.is_ascii_digit()))
        || (parts.last() == Some(&"PORT") && value.to_str().is_some_and(|value| value.contains("://")))
}

fn unknown(name: &str) -> Failure {
    let names: Vec<String> = variables().map(|name| format!("FLEETING_{name}")).collect();
    Failure::Usage(format!(
        "FLEETING_{name}: unknown variable; expected FLEETING_LIMIT_..., FLEETING_TIMEOUT_..., or one of {}",
        names.join(", ")
    ))
}

fn not_text(name: &str, value: &OsStr) -> Failure {
    Failure::Usage(format!("FLEETING_{name}: {value:?} is not UTF-8"))
}

/// Returns the one of `names` that `capitals` spells in capitals.
fn lowercase_name<'n>(capitals: &str, names: &[&'n str]) -> Option<&'n str> {
    names.iter().find(|name| name.to_uppercase() == capitals).copied()
}

fn name_and_value(text: &str) -> Result<(&str, &str), String> {
    let (name, value) = text.split_once('=').ok_or("there is no `=`; expected NAME=VALUE")?;
    Ok((name.trim(), value))
}

#[cfg(test)]
mod tests {
    use super::super::services::Service;
    use super::super::values::StoreLocation;
    use super::*;
    use fleeting::SlowConsumer;
    use fleeting::ws::Compression;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_environment_sets_every_setting() {
        let variables = environment(&[
            ("FLEETING_LISTEN", "a:1, b:2"),
            ("FLEETING_ADMIN_LISTEN", "c:3"),
            ("FLEETING_SERVE", "files, hub"),
            ("FLEETING_MEDIA_TYPE", "a=b/c,d=e/f"),
            ("FLEETING_HOST", "chat.example, [::1]"),
            ("FLEETING_ORIGIN", "https://chat.example:443,*"),
            ("FLEETING_WORKERS", "3"),
            ("FLEETING_SPIN", "50us"),
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
            ("FLEETING_BOGUS", ""),
            // What Kubernetes sets for the services `fleeting` and `fleeting-hub`.
            ("FLEETING_PORT", "tcp://10.0.0.1:80"),
            ("FLEETING_SERVICE_HOST", "10.0.0.1"),
            ("FLEETING_SERVICE_PORT", "80"),
            ("FLEETING_SERVICE_PORT_HTTP", "80"),
            ("FLEETING_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("FLEETING_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("FLEETING_HUB_SERVICE_HOST", "10.0.0.2"),
            ("FLEETING_HUB_PORT", "tcp://10.0.0.2:80"),
            ("PATH", "/bin"),
        ]);
        let settings = gather(&Flags::default(), variables).unwrap();
        assert_eq!(settings.listen, ["a:1", "b:2"]);
        assert_eq!(settings.admin_listen.as_deref(), Some("c:3"));
        assert!(settings.serves(Service::Hub) && !settings.serves(Service::Clients));
        assert_eq!(settings.media_types.len(), 2);
        assert_eq!(settings.hosts, ["chat.example", "[::1]"]);
        assert_eq!(settings.origins, ["https://chat.example", "*"]);
        assert_eq!(settings.workers, 3);
        assert_eq!(settings.spin.as_micros(), 50);
        assert_eq!(settings.files.as_deref(), Some(Path::new("a/b")));
        assert_eq!(settings.compression, Compression::off().window(10));
        assert_eq!(settings.slow_consumer, SlowConsumer::Conflate);
        assert_eq!(settings.store, StoreLocation::Redis("redis://:p@a:1".parse().unwrap()));
        assert_eq!(settings.node.as_deref(), Some("n 1"));
        assert_eq!((settings.clients.unheld.as_secs(), settings.clients.after_close.as_secs()), (120, 3));
        assert_eq!(settings.limits.body_bytes, 8 << 20);
        assert_eq!(settings.timeouts.ws_idle.as_secs(), 7);
        assert_eq!(settings.timeouts.idle, Timeouts::default().idle);
    }

    #[test]
    fn an_error_begins_with_the_variable() {
        fn check(name: &str, value: &str, expected: &str) {
            match gather(&Flags::default(), environment(&[(name, value)])) {
                Err(Failure::Usage(message)) => {
                    assert!(message.starts_with(name) && message.contains(expected), "{message}");
                }
                other => panic!("{name}={value}: {other:?}"),
            }
        }
        check("FLEETING_WORKERS", "0", "from 1");
        // Finding F5.
        check(
            "FLEETING_BOGUS",
            "1",
            "unknown variable; expected FLEETING_LIMIT_..., FLEETING_TIMEOUT_..., or one of",
        );
        check("FLEETING_PORT", "8080", "FLEETING_LISTEN");
        check("FLEETING_listen", "a:1", "FLEETING_LISTEN");
        check("FLEETING_WORKERS", "two", "`two`");
        check("FLEETING_WORKERS", "65536", "65535");
        check("FLEETING_SPIN", "50", "50us");
        check("FLEETING_LISTEN", "a:1,", "``");
        check("FLEETING_ADMIN_LISTEN", "9090", "HOST:PORT");
        check("FLEETING_SERVE", "hub,chat", "`chat`");
        check("FLEETING_HOST", "chat.example:80", "without a port");
        check("FLEETING_ORIGIN", "chat.example", "SCHEME://HOST");
        check("FLEETING_COMPRESSION", "gzip", "`gzip`");
        check("FLEETING_SLOW_CONSUMER", "drop", "drop-oldest");
        check("FLEETING_STORE", "memroy", "redis://HOST");
        check("FLEETING_STORE", "redis://:secret@a/x", "the database should be a number");
        check("FLEETING_NODE", "a\tb", "no control characters");
        check("FLEETING_CLIENT_LIFE", "0s", "`0s`");
        check("FLEETING_CLIENT_CLOSE", "soon", "expected `remove`, or a time");
        check("FLEETING_LIMIT_BODY", "1", "FLEETING_LIMIT_BODY_BYTES");
        check("FLEETING_LIMIT_body_bytes", "1", "unknown limit");
        check("FLEETING_TIMEOUT_IDLE", "10", "1.5s");
    }

    #[test]
    fn every_text_setting_has_a_flag_and_the_flag_takes_precedence() {
        let names = Flags::default().text_settings().map(|(name, _)| name);
        assert_eq!(names, TEXT_SETTINGS.map(|(name, _)| name));
        let names = Flags::default().list_settings().map(|(name, _)| name);
        assert_eq!(names, LIST_SETTINGS.map(|(name, _)| name));
        let flags = Flags { node: Some("flag".into()), ..Flags::default() };
        let variables = environment(&[("FLEETING_NODE", "variable"), ("FLEETING_WORKERS", "2")]);
        let settings = gather(&flags, variables).unwrap();
        assert_eq!((settings.node.as_deref(), settings.workers), (Some("flag"), 2));
        let flags = Flags { slow_consumer: Some("drop".into()), ..Flags::default() };
        match gather(&flags, environment(&[])) {
            Err(Failure::Usage(message)) => assert!(message.starts_with("--slow-consumer: "), "{message}"),
            other => panic!("{other:?}"),
        }
    }
}
