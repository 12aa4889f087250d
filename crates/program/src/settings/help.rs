//! The help texts: what `--help` says, and the topics of `fleeting help`.
//!
//! It parses nothing, and knows no limit by name. Its invariant: no line is wider than [`COLUMNS`].

use clap::ValueEnum;
use fleeting::Setting;
use fleeting::{Limits, Timeouts};
use std::fmt::Write;

/// The width of a terminal.
pub(super) const COLUMNS: usize = 80;

/// What `fleeting help` explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Topic {
    /// The server and its flags
    Serve,
    /// The lesson and its flags
    Lesson,
    /// What is served where
    Routes,
    /// How much a client may send
    Limits,
    /// How long a client may take
    Timeouts,
    /// Settings in the environment and in a file
    Settings,
    /// Signals and the exit status
    Signals,
}

/// What the program is, at the start of `--help`.
pub(super) const ABOUT: &str = "\
Fleeting is an HTTP/1.1, HTTP/2 and WebSocket server. Without arguments it
serves, at http://127.0.0.1:8080, a live page, a hub (publish and subscribe), a
registry of clients, metrics, and with --files the files of a directory.";

/// The end of `--help`.
pub(super) const MORE: &str = "\
More: fleeting help serve (every option) | lesson | routes | limits | timeouts |
settings | signals

Examples:
  fleeting
  fleeting --listen :8080 --workers auto
  fleeting --files public --serve files
  fleeting cert && fleeting --tls-cert localhost.pem --tls-key localhost-key.pem
  fleeting --store redis://127.0.0.1:6379 --node a
  fleeting lesson --explain";

pub(super) const ROUTES: &str = "\
What the server serves; --serve selects groups of these:

  /                page     a live page, unless --files is set
  /...             files    the files of the directory of --files
  /hub             hub      a WebSocket: commands in JSON subscribe and publish
  /topics          hub      GET lists topics
  /topics/NAME     hub      GET subscribes (server-sent events), POST publishes
  /clients         clients  the registry: GET lists records, POST with X-Id
                            stores one, /clients/ws?id= holds one
  /lesson/MODE     lesson   four versions of the application of the lesson
  /metrics         metrics  figures for Prometheus; /census has them as JSON
  /echo, /ws       echo     what is posted or sent comes back
  /plaintext       plain    a greeting; /json has it as JSON
  /healthz         health   \"ok\"

  curl http://127.0.0.1:8080/topics
  curl -N 'http://127.0.0.1:8080/topics/prices.*'
  curl http://127.0.0.1:8080/topics/prices.eur -H 'Content-Type: text/plain' \\
       -d 1.08
  curl http://127.0.0.1:8080/clients -H 'X-Id: alice' \\
       -H 'Content-Type: text/plain' -d hello
";

pub(super) const SETTINGS: &str = "\
Settings can also come from the environment and from a TOML file. A flag
overrides the environment, the environment overrides the file, the file
overrides the default. An unknown variable that begins with FLEETING_ is
refused, unless Kubernetes sets it for a service of this name.

  FLEETING_CONFIG=fleeting.toml            # the file to read, as --config
  FLEETING_LISTEN=127.0.0.1:80,[::1]:80    # as --listen, separated by commas
  FLEETING_TLS_CERT=cert.pem               # as --tls-cert, separated by commas
  FLEETING_TLS_KEY=key.pem                 # as --tls-key, separated by commas
  FLEETING_REDIRECT_HTTP=:80               # as --redirect-http
  FLEETING_HSTS=8760h                      # as --hsts
  FLEETING_PROXY_FROM=10.0.0.0/8           # as --proxy-from
  FLEETING_TRUST=10.0.0.0/8,unix           # as --trust, separated by commas
  FLEETING_TRUST_FIELDS=forwarded          # as --trust-fields
  FLEETING_ADMIN_LISTEN=127.0.0.1:9090     # as --admin-listen
  FLEETING_WORKERS=2
  FLEETING_SPIN=50us                       # as --spin
  FLEETING_FILES=public                    # as --files
  FLEETING_MEDIA_TYPE=md=text/plain        # as --media-type
  FLEETING_SERVE=files,hub                 # as --serve
  FLEETING_HOST=chat.example               # as --host, separated by commas
  FLEETING_ORIGIN=https://chat.example     # as --origin, separated by commas
  FLEETING_COMPRESSION=shared,window=12    # as --compression
  FLEETING_SLOW_CONSUMER=conflate          # as --slow-consumer
  FLEETING_HTTP=1                          # as --http
  FLEETING_IO=epoll                        # as --io
  FLEETING_STORE=redis://:secret@cache/0   # as --store; not shown by `ps`
  FLEETING_NODE=a                          # as --node
  FLEETING_CLIENT_LIFE=10m                 # as --client-life
  FLEETING_CLIENT_CLOSE=30s                # as --client-close
  FLEETING_LIMIT_BODY_BYTES=8MiB           # any limit, in capitals
  FLEETING_TIMEOUT_IDLE=30s                # any timeout, in capitals

  listen = [\"127.0.0.1:8080\"]              # the file; every key is optional
  tls_cert = \"cert.pem\"
  tls_key = \"key.pem\"
  redirect_http = \":80\"
  hsts = \"8760h\"
  proxy_from = [\"10.0.0.0/8\"]
  trust = [\"10.0.0.0/8\"]
  trust_fields = \"x-forwarded\"
  admin_listen = \"127.0.0.1:9090\"
  workers = 2
  spin = \"50us\"
  files = \"public\"                         # relative to the current directory
  media_type = [\"md=text/plain\"]
  serve = [\"files\", \"hub\"]
  host = [\"chat.example\"]
  origin = [\"https://chat.example\"]
  compression = \"shared\"
  slow_consumer = \"conflate\"
  http = \"both\"
  io = \"auto\"
  store = \"redis://127.0.0.1:6379\"
  node = \"a\"
  [clients]
  life = \"10m\"
  on_close = \"remove\"
  [limits]
  body_bytes = \"8MiB\"
  [timeouts]
  idle = \"30s\"
";

pub(super) const SIGNALS: &str = "\
Signals to the server:

  SIGTERM, SIGINT, SIGQUIT   shut the server down: it accepts nothing more,
                             answers the requests in flight, closes WebSockets
                             with 1001, and ends with status 0. A second one
                             ends it at once.
  SIGHUP                     reads the settings and the certificates again. The
                             hosts, origins and certificates change at once, and
                             no connection is closed; what needs a restart is
                             named. If the server runs in a terminal, the
                             terminal is gone, and the server shuts down.
  SIGUSR1, SIGUSR2           are ignored.

A service manager that started the server, such as systemd, is told when the
server is ready, reloads or stops, and, for a watchdog, that its workers run.

Exit status: 0 after a shutdown, once open requests are answered and connections
are closed; 1 if an address, a file or a directory is unavailable; 2 if a flag,
a value, a variable or the file is wrong.
";

/// The table of limits.
pub(super) fn limits() -> String {
    let mut text = String::from(
        "Limits (--limit NAME=VALUE): a number from 1, optionally with KiB, MiB or GiB,\nor with KB, MB or GB for powers of 1000\n",
    );
    push_table(&mut text, Limits::describe());
    text
}

/// The table of timeouts.
pub(super) fn timeouts() -> String {
    let mut text = String::from(
        "Timeouts (--timeout NAME=VALUE): a number with ms, s, m or h, such as 1.5s; 0s\nmeans no timeout\n",
    );
    push_table(&mut text, Timeouts::describe());
    text
}

/// Appends a line for each setting.
fn push_table(text: &mut String, settings: impl Iterator<Item = Setting>) {
    for setting in settings {
        let _ = writeln!(text, "  {:<14} {:>8}  {}", setting.name, setting.default, setting.help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_fits_a_terminal_of_80_columns() {
        for text in [ABOUT, MORE, ROUTES, SETTINGS, SIGNALS, &limits(), &timeouts()] {
            for line in text.lines() {
                assert!(line.chars().count() <= COLUMNS, "{line}");
            }
        }
    }
}
