//! The command line: its commands and flags, and their help texts.
//!
//! It does not know what a value means: flags are text here.

use super::help;
use crate::failure::Failure;
use crate::lesson::Mode;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// The command that the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Serve, with these flags.
    Serve(Box<Flags>),
    /// Play the lesson.
    Lesson(LessonArgs),
    /// Nothing more: help or the version was requested and has been printed.
    Printed,
}

#[derive(Debug, Parser)]
#[command(
    name = "fleeting",
    version,
    about = "A zero-copy, arena-based HTTP/1.1 and WebSocket server",
    long_about = "A zero-copy, arena-based HTTP/1.1 and WebSocket server.\n\n\
        Without arguments it serves a live demo page, a publish/subscribe hub, a registry of clients, a WebSocket \
        echo and a few plain routes on \
        http://127.0.0.1:8080. Ctrl-C or SIGTERM shuts it down gracefully.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; `fleeting` without a command does the same
    Serve(Box<Flags>),
    /// Show what goes wrong when a handler keeps the strings that Go's Fiber lends it, and that it does
    /// not go wrong here: two browser tabs use four versions of one application, over real sockets
    Lesson(LessonArgs),
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
    /// Address to listen on, such as 127.0.0.1:8080, [::]:80 or localhost:0 (any free port); repeatable
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Vec<String>,
    /// Address for /metrics and /census, which are then not served on the others [default: none]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) admin_listen: Option<String>,
    /// Worker threads, each with its own connections [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) workers: Option<String>,
    /// Serve the files of this directory at / instead of the demo page. A directory is answered with its
    /// index.html; there are no listings, and names that begin with a dot are hidden, except .well-known
    #[arg(long, value_name = "DIR")]
    pub(super) files: Option<PathBuf>,
    /// Serve only these groups of routes, separated by commas: files, page, plain (/plaintext, /json), echo (/echo,
    /// /ws), hub (/hub, /topics), clients, lesson, metrics (/metrics, /census), health (/healthz) [default: all]
    #[arg(long, value_name = "GROUP,...")]
    pub(super) serve: Vec<String>,
    /// Serve /hub, /topics, /clients, /lesson, /metrics and /census for this host, a name or an address, and answer
    /// 421 for others; repeatable, and * serves any. On a loopback address the default is localhost and the loopback's
    /// addresses, on others it is any host
    #[arg(long, value_name = "NAME")]
    pub(super) host: Vec<String>,
    /// Let pages of this origin, such as https://chat.example, store, publish and open WebSockets, besides pages of
    /// this server's own; repeatable, and * lets all
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Vec<String>,
    /// Compress WebSocket messages for clients that offer it: off, shared (each message on its own) or
    /// dedicated (a window per connection), then any of window=9..15, level=1..9 and threshold=BYTES,
    /// separated by commas [default: off]
    #[arg(long, value_name = "MODE")]
    pub(super) compression: Option<String>,
    /// What to do with publications for a client of /hub that reads too slowly: drop-newest, drop-oldest,
    /// conflate or close [default: drop-newest]
    #[arg(long, value_name = "POLICY")]
    pub(super) slow_consumer: Option<String>,
    /// Where to keep entries: memory, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or unix:///PATH. Nodes
    /// that use the same Redis also share their topics [default: memory]
    #[arg(long, value_name = "WHERE")]
    pub(super) store: Option<String>,
    /// This server's name among the nodes that share a Redis, for logs and clients' records [default: host
    /// name and process id]
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// How long to keep a client's record while no connection holds it [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(super) client_life: Option<String>,
    /// What to do with a client's record when its connection closes: remove, or keep it for a time such as
    /// 30s [default: remove]
    #[arg(long, value_name = "remove|TIME")]
    pub(super) client_close: Option<String>,
    /// Set a limit, such as body_bytes=8MiB; repeatable (--help lists the names)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) limit: Vec<String>,
    /// Set a timeout, such as idle=30s; repeatable (--help lists the names)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) timeout: Vec<String>,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Flags {
    /// The flags that may be repeated, by the name of the setting.
    pub(super) fn list_settings(&self) -> [(&'static str, &Vec<String>); 4] {
        [("listen", &self.listen), ("serve", &self.serve), ("host", &self.host), ("origin", &self.origin)]
    }

    /// The flags that take one text, by the name of the setting.
    pub(super) fn text_settings(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("admin_listen", self.admin_listen.as_deref()),
            ("workers", self.workers.as_deref()),
            ("compression", self.compression.as_deref()),
            ("slow_consumer", self.slow_consumer.as_deref()),
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
    let reference = help::reference();
    let command = CommandLine::command()
        .after_long_help(reference.clone())
        .mut_subcommand("serve", |serve| serve.after_long_help(reference));
    let parsed =
        command.try_get_matches_from(line).and_then(|matches| CommandLine::from_arg_matches(&matches));
    match parsed {
        Ok(CommandLine { command: Some(Command::Serve(flags)), .. }) => Ok(Invocation::Serve(flags)),
        Ok(CommandLine { command: None, flags }) => Ok(Invocation::Serve(flags.into())),
        Ok(CommandLine { command: Some(Command::Lesson(lesson)), .. }) => Ok(Invocation::Lesson(lesson)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            Ok(Invocation::Printed)
        }
        Err(error) => Err(Failure::Usage(brief(&error.render().to_string()))),
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
