//! The command line: its commands and flags, and their help texts.
//!
//! It does not know what a value means: flags are text here.

use super::help::{self, Topic};
use crate::failure::Failure;
use crate::lesson::Mode;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// The command that the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Serve, with these flags.
    Serve(Box<Flags>),
    /// Play the lesson.
    Lesson(LessonArgs),
    /// Make a certificate for these names.
    Cert(Vec<String>),
    /// Print this text.
    Print(String),
}

#[derive(Debug, Parser)]
#[command(
    name = "fleeting",
    version,
    about = help::ABOUT,
    after_help = help::MORE,
    term_width = help::COLUMNS,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
    /// Print this help; `fleeting help` has more
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: (),
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: (),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; `fleeting` without a command does the same
    Serve(Box<Flags>),
    /// Show what goes wrong when a handler keeps the strings that Go's Fiber lends it, and why it does not here
    ///
    /// Two browser tabs use four versions of one application, over real sockets.
    Lesson(LessonArgs),
    /// Make a certificate for development, and its key, in this directory
    ///
    /// It signs itself, so clients must be told to trust it. Nothing is overwritten.
    Cert {
        /// Names and addresses that it is for [default: localhost 127.0.0.1 ::1]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Explain a command or a topic
    Help {
        /// What to explain
        topic: Option<Topic>,
    },
    /// Print the version
    Version,
}

/// Options of the lesson.
#[derive(Debug, Default, Args)]
pub(crate) struct LessonArgs {
    /// Show the code of each version first
    #[arg(long)]
    pub(crate) explain: bool,
    /// Play only this version; repeatable [default: all]
    #[arg(long, value_name = "MODE", hide_default_value = true)]
    pub(crate) mode: Vec<Mode>,
}

/// Settings on the command line, as text. The code that parses the environment's values parses these too.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// Address to listen on; repeatable [default: 127.0.0.1:8080]
    ///
    /// Such as 127.0.0.1:8080, [::1]:80, localhost:0 (any free port), or :8080 or *:8080 for all addresses. unix:/run/a.sock is a
    /// Unix socket, unix:/run/a.sock?mode=0660 says who may connect, and unix:@NAME has no file. fd:3 is a listening socket that the
    /// program was started with. systemd takes all sockets of a service manager, systemd:NAME those of this name.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<String>,
    /// Speak TLS, with this certificate chain, in PEM; repeatable
    ///
    /// Each needs a --tls-key. The first is for clients that name no server, or one that no certificate is for. A directory
    /// needs none: it has NAME.pem or NAME.crt with NAME-key.pem or NAME.key, or, in directories of their own, fullchain.pem
    /// with privkey.pem. The files are read again when they change. `fleeting cert` makes one for development.
    #[arg(long, value_name = "FILE|DIR")]
    pub(super) tls_cert: Vec<String>,
    /// The private key of the --tls-cert in the same place; repeatable
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Vec<String>,
    /// Address where clients of plain HTTP are sent to https [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) redirect_http: Option<String>,
    /// How long browsers shall use no plain HTTP [default: none]
    ///
    /// With this host, such as 8760h for a year: the field Strict-Transport-Security (RFC 6797). They keep to it even if the
    /// server stops speaking TLS, so begin with minutes.
    #[arg(long, value_name = "TIME")]
    pub(super) hsts: Option<String>,
    /// Proxies that begin each connection with a PROXY header; repeatable
    ///
    /// A network such as 10.0.0.0/8, an address, or unix for all clients of Unix sockets. The header, of version 1 or 2, names the
    /// client. A connection from these addresses that has none is closed.
    #[arg(long, value_name = "CIDR")]
    pub(super) proxy_from: Vec<String>,
    /// Proxies whose X-Forwarded fields are believed; repeatable
    ///
    /// A network such as 10.0.0.0/8, an address, or unix for all clients of Unix sockets. The fields are X-Forwarded-For, -Proto and
    /// -Host. A proxy must set all three or remove them, because clients may send them, too. See docs/proxies.md.
    #[arg(long, value_name = "CIDR")]
    pub(super) trust: Vec<String>,
    /// How these proxies name clients: x-forwarded or forwarded [default: x-forwarded]
    ///
    /// With forwarded, in the field Forwarded (RFC 7239), and X-Forwarded-For is not read.
    #[arg(long, value_name = "FIELDS", hide_short_help = true)]
    pub(super) trust_fields: Option<String>,
    /// Another address, for /metrics and /census [default: none]
    ///
    /// The others then do not serve them. What is set for proxies does not apply to it.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) admin_listen: Option<String>,
    /// Worker threads, or auto for one per processor [default: 1]
    ///
    /// Each has its own connections.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) workers: Option<String>,
    /// How long a worker polls without waiting after activity [default: 0s]
    ///
    /// Such as 50us. It shortens response times, costs processor time, and needs a processor for each worker.
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub(super) spin: Option<String>,
    /// Serve the files of this directory at / instead of the demo page
    ///
    /// A directory is answered with its index.html. There are no listings, and names that begin with a dot are hidden,
    /// except .well-known.
    #[arg(long, value_name = "DIR")]
    pub(super) files: Option<PathBuf>,
    /// Content-Type of files by extension; repeatable
    ///
    /// Such as ndjson=application/x-ndjson.
    #[arg(long, value_name = "EXT=TYPE", hide_short_help = true)]
    pub(super) media_type: Vec<String>,
    /// Serve only these groups of routes [default: all]
    ///
    /// Such as files,hub. The groups are files, page, plain (/plaintext, /json), echo (/echo, /ws), hub (/hub, /topics), clients, lesson,
    /// metrics (/metrics, /census) and health (/healthz).
    #[arg(long, value_name = "GROUP,...")]
    pub(super) serve: Vec<String>,
    /// Serve the routes with state for this host; repeatable
    ///
    /// A name or an address, or * for any. The routes are /hub, /topics, /clients, /lesson, /metrics and /census; requests
    /// for other hosts get 421. A loopback address always serves localhost and the loopback's addresses. Another address, or a
    /// Unix socket, serves any host if none is named.
    #[arg(long, value_name = "NAME")]
    pub(super) host: Vec<String>,
    /// Let pages of this origin change things and connect; repeatable
    ///
    /// They may store, publish and open WebSockets. Such as https://chat.example, or * for any. Pages of this server's own origin always may.
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Vec<String>,
    /// Compress WebSocket messages: off, shared or dedicated [default: off]
    ///
    /// For clients that offer it. With shared, each message is compressed on its own; with dedicated, each connection has a
    /// window. Then any of window=9..15, level=1..9 and threshold=BYTES, separated by commas.
    #[arg(long, value_name = "MODE")]
    pub(super) compression: Option<String>,
    /// For slow subscribers: drop-newest, drop-oldest, conflate or close [default: drop-newest]
    ///
    /// What to do with publications for a client that reads too slowly.
    #[arg(long, value_name = "POLICY")]
    pub(super) slow_consumer: Option<String>,
    /// Which versions of HTTP to speak: 1, 2 or both [default: both]
    ///
    /// With TLS the client chooses in the handshake (ALPN); without, by beginning with HTTP/2's preface.
    #[arg(long, value_name = "VERSIONS", hide_short_help = true)]
    pub(super) http: Option<String>,
    /// How to write to many subscribers: auto, epoll or uring [default: auto]
    ///
    /// With uring, the writes to up to 1,024 subscribers are one system call (Linux 6.1). With epoll, each write is one. auto
    /// is uring where the system allows it, and epoll elsewhere.
    #[arg(long, value_name = "HOW")]
    pub(super) io: Option<String>,
    /// Where to keep entries: memory, or a Redis [default: memory]
    ///
    /// A Redis is redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss://HOST[?ca=FILE&cert=FILE&key=FILE] for TLS,
    /// redis+sentinel://HOST[,HOST...]/NAME for the primary that sentinels know, or unix:///PATH. Nodes that use the same Redis
    /// also share their topics.
    #[arg(long, value_name = "WHERE")]
    pub(super) store: Option<String>,
    /// Name of this server among the nodes that share a Redis [default: host name and process id]
    ///
    /// For logs and clients' records.
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// How long to keep a record that no connection holds [default: 10m]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub(super) client_life: Option<String>,
    /// When a client's connection closes: remove its record, or keep it for a time [default: remove]
    #[arg(long, value_name = "remove|TIME", hide_short_help = true)]
    pub(super) client_close: Option<String>,
    /// Set a limit; repeatable. See `fleeting help limits`
    ///
    /// Such as body_bytes=8MiB.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) limit: Vec<String>,
    /// Set a timeout; repeatable. See `fleeting help timeouts`
    ///
    /// Such as idle=30s.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) timeout: Vec<String>,
    /// Read a TOML file. See `fleeting help settings`
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Flags {
    /// The flags that may be repeated, by the name of the setting.
    pub(super) fn list_settings(&self) -> [(&'static str, &Vec<String>); 9] {
        [
            ("listen", &self.listen),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("proxy_from", &self.proxy_from),
            ("trust", &self.trust),
            ("media_type", &self.media_type),
            ("serve", &self.serve),
            ("host", &self.host),
            ("origin", &self.origin),
        ]
    }

    /// The flags that take one text, by the name of the setting.
    pub(super) fn text_settings(&self) -> [(&'static str, Option<&str>); 14] {
        [
            ("redirect_http", self.redirect_http.as_deref()),
            ("hsts", self.hsts.as_deref()),
            ("trust_fields", self.trust_fields.as_deref()),
            ("admin_listen", self.admin_listen.as_deref()),
            ("workers", self.workers.as_deref()),
            ("spin", self.spin.as_deref()),
            ("compression", self.compression.as_deref()),
            ("slow_consumer", self.slow_consumer.as_deref()),
            ("http", self.http.as_deref()),
            ("io", self.io.as_deref()),
            ("store", self.store.as_deref()),
            ("node", self.node.as_deref()),
            ("client_life", self.client_life.as_deref()),
            ("client_close", self.client_close.as_deref()),
        ]
    }
}

/// Parses the command line, which begins with the program's name.
///
/// # Errors
/// [`Failure::Usage`] with clap's message in one line.
pub(crate) fn parse_command_line(line: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    match CommandLine::try_parse_from(line) {
        Ok(CommandLine { command: Some(command), .. }) => Ok(match command {
            Command::Serve(flags) => Invocation::Serve(flags),
            Command::Lesson(lesson) => Invocation::Lesson(lesson),
            Command::Cert { names } => Invocation::Cert(names),
            Command::Help { topic } => Invocation::Print(explain(topic)),
            Command::Version => Invocation::Print(CommandLine::command().render_version()),
        }),
        Ok(CommandLine { command: None, flags, .. }) => Ok(Invocation::Serve(flags.into())),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Invocation::Print(error.render().to_string()))
        }
        Err(error) => Err(Failure::Usage(brief(&error.render().to_string()))),
    }
}

/// Returns the help about a topic, or the short help without one.
fn explain(topic: Option<Topic>) -> String {
    let mut command = CommandLine::command();
    // Without this, the help of a command does not name the program.
    command.build();
    let Some(topic) = topic else { return command.render_help().to_string() };
    match topic {
        Topic::Serve | Topic::Lesson => {
            let name = if topic == Topic::Serve { "serve" } else { "lesson" };
            let command = command.find_subcommand_mut(name).expect("a command of this name exists");
            command.render_long_help().to_string()
        }
        Topic::Routes => help::ROUTES.into(),
        Topic::Limits => help::limits(),
        Topic::Timeouts => help::timeouts(),
        Topic::Settings => help::SETTINGS.into(),
        Topic::Signals => help::SIGNALS.into(),
    }
}

/// Shortens clap's message to one line: the error and its tips, without the usage.
fn brief(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut brief = lines.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    for line in lines {
        brief.push_str("; ");
        brief.push_str(line);
    }
    brief + "; see fleeting --help"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, Failure> {
        parse_command_line(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_help_text_fits_its_columns() {
        for line in ["fleeting -h", "fleeting serve --help", "fleeting help serve", "fleeting help lesson"] {
            match parse(line) {
                Ok(Invocation::Print(text)) => {
                    for line in text.lines() {
                        assert!(line.chars().count() <= help::COLUMNS, "{line}");
                    }
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn serve_is_the_default_command() {
        for line in ["fleeting --listen a:1 --workers 2", "fleeting serve --workers 2 --listen a:1"] {
            match parse(line) {
                Ok(Invocation::Serve(flags)) => {
                    assert_eq!((flags.listen, flags.workers), (vec!["a:1".into()], Some("2".into())));
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_lesson_takes_several_modes() {
        match parse("fleeting lesson --mode fiber+mutex --explain --mode arena") {
            Ok(Invocation::Lesson(lesson)) => {
                assert_eq!((lesson.explain, lesson.mode), (true, vec![Mode::FiberMutex, Mode::Arena]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_flag_is_reported_in_one_line() {
        match parse("fleeting serve --wrokers 2") {
            Err(Failure::Usage(message)) => {
                assert!(message.contains("--wrokers"), "{message}");
                assert!(message.contains("--workers"), "{message}");
                assert!(!message.contains('\n'), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}
