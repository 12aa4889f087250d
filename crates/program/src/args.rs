//! The command line.

use super::lesson::Mode;
use super::{Failure, bounds};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// To serve, with these settings.
    Serve(Box<Flags>),
    /// For the lesson.
    Lesson(Lesson),
    /// For help or the version, which it has been told.
    Told,
}

#[derive(Debug, Parser)]
#[command(
    name = "fleeting",
    version,
    about = "A zero-copy, arena-based HTTP/1.1 and WebSocket server",
    long_about = "A zero-copy, arena-based HTTP/1.1 and WebSocket server.\n\n\
        Without arguments it serves a small page, a few plain routes and a WebSocket echo on \
        http://127.0.0.1:8080, until Ctrl-C or SIGTERM ends it in good order.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; what `fleeting` alone does too
    Serve(Box<Flags>),
    /// See what goes wrong when strings of a request are kept as Go's Fiber hands them out, and that it
    /// does not here: two browser tabs against four versions of one application, over real sockets
    Lesson(Lesson),
}

/// How the lesson is told.
#[derive(Debug, Default, Args)]
pub(super) struct Lesson {
    /// Show the code of each version first
    #[arg(long)]
    pub(super) explain: bool,
    /// Play this version only; may be given more than once [default: all]
    #[arg(long, value_name = "MODE", hide_default_value = true)]
    pub(super) mode: Vec<Mode>,
}

/// Settings on the command line. Their values are read where those of the environment are.
#[derive(Debug, Default, Args)]
pub(super) struct Flags {
    /// Address to listen on, such as 127.0.0.1:8080, [::]:80 or localhost:0 (any free port); may be
    /// given more than once [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listen: Vec<String>,
    /// Threads that serve, each with connections of its own [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) workers: Option<String>,
    /// Serve the files of this directory at /, in place of the page; index.html for a directory, no
    /// listings, no names that begin with a dot
    #[arg(long, value_name = "DIR")]
    pub(super) files: Option<PathBuf>,
    /// Compress WebSocket messages for clients that offer it: off, shared (each message alone) or
    /// dedicated (windows for each connection), then any of window=9..15, level=1..9 and
    /// threshold=BYTES, with commas between [default: off]
    #[arg(long, value_name = "MODE")]
    pub(super) compression: Option<String>,
    /// What becomes of what is published for a client of /hub that reads too slowly: drop-newest,
    /// drop-oldest, conflate or close [default: drop-newest]
    #[arg(long, value_name = "POLICY")]
    pub(super) slow_consumer: Option<String>,
    /// Where entries are kept: memory, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or unix:///PATH. With a
    /// Redis, topics are shared with the other nodes that have the same [default: memory]
    #[arg(long, value_name = "WHERE")]
    pub(super) store: Option<String>,
    /// This server's name among those that share a Redis, for logs [default: the host's name and the
    /// process's number]
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// How long the record of a client is kept that no connection holds any more or yet, such as 10m
    /// [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(super) client_life: Option<String>,
    /// What becomes of a client's record when its connection closes: remove, or a time that it stays, such as
    /// 30s [default: remove]
    #[arg(long, value_name = "remove|TIME")]
    pub(super) client_close: Option<String>,
    /// Bound what a peer may send, such as body_bytes=8MiB; may be given more than once (names:
    /// --help)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) limit: Vec<String>,
    /// Bound how long a peer may take, such as idle=30s; may be given more than once (names:
    /// --help)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) timeout: Vec<String>,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Flags {
    /// Those that are one text, by the names of the settings.
    pub(super) fn texts(&self) -> [(&'static str, Option<&str>); 7] {
        [
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

/// Reads the command line, the program's name first.
pub(super) fn asked(line: impl IntoIterator<Item = OsString>) -> Result<Asked, Failure> {
    let reference = bounds::reference();
    let command = Line::command()
        .after_long_help(reference.clone())
        .mut_subcommand("serve", |serve| serve.after_long_help(reference));
    let read = command.try_get_matches_from(line).and_then(|found| Line::from_arg_matches(&found));
    match read {
        Ok(Line { command: Some(Command::Serve(flags)), .. }) => Ok(Asked::Serve(flags)),
        Ok(Line { command: None, flags }) => Ok(Asked::Serve(flags.into())),
        Ok(Line { command: Some(Command::Lesson(lesson)), .. }) => Ok(Asked::Lesson(lesson)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            Ok(Asked::Told)
        }
        Err(error) => Err(Failure::Usage(brief(&error.render().to_string()))),
    }
}

/// What clap says in a paragraph, in a line: the error and its tips, without the usage.
fn brief(rendered: &str) -> String {
    let said = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut said = said.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut brief = said.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    for line in said {
        brief.push_str("; ");
        brief.push_str(line);
    }
    brief + "; see fleeting --help"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Asked, Failure> {
        asked(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_is_well_formed() {
        Line::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_word() {
        for line in ["fleeting --listen a:1 --workers 2", "fleeting serve --workers 2 --listen a:1"] {
            match read(line) {
                Ok(Asked::Serve(flags)) => {
                    assert_eq!((flags.listen, flags.workers), (vec!["a:1".into()], Some("2".into())));
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_lesson_may_be_of_some_modes() {
        match read("fleeting lesson --mode fiber+mutex --explain --mode arena") {
            Ok(Asked::Lesson(lesson)) => {
                assert_eq!((lesson.explain, lesson.mode), (true, vec![Mode::FiberMutex, Mode::Arena]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_flag_is_one_line() {
        match read("fleeting serve --wrokers 2") {
            Err(Failure::Usage(message)) => {
                assert!(message.contains("--wrokers"), "{message}");
                assert!(message.contains("--workers"), "{message}");
                assert!(!message.contains('\n'), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}
