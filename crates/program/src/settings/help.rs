//! The end of `--help`: the limits, the timeouts, and the other sources of settings.
//!
//! It parses nothing, and knows no limit by name.

use fleeting::Setting;
use fleeting::{Limits, Timeouts};
use std::fmt::Write;

const ELSEWHERE: &str = "\
Settings can also come from the environment and from a TOML file. A flag overrides the environment, \
the environment overrides the file, the file overrides the default.

  FLEETING_CONFIG=fleeting.toml            # the file to read, as --config
  FLEETING_LISTEN=127.0.0.1:80,[::1]:80    # addresses, separated by commas
  FLEETING_ADMIN_LISTEN=127.0.0.1:9090     # as --admin-listen
  FLEETING_WORKERS=2
  FLEETING_FILES=public                    # as --files
  FLEETING_SERVE=files,hub                 # as --serve
  FLEETING_HOST=chat.example               # as --host, separated by commas
  FLEETING_ORIGIN=https://chat.example     # as --origin, separated by commas
  FLEETING_COMPRESSION=shared,window=12    # as --compression
  FLEETING_SLOW_CONSUMER=conflate          # as --slow-consumer
  FLEETING_STORE=redis://:secret@cache/0   # as --store; not shown by `ps`
  FLEETING_NODE=a                          # as --node
  FLEETING_CLIENT_LIFE=10m                 # as --client-life
  FLEETING_CLIENT_CLOSE=30s                # as --client-close
  FLEETING_LIMIT_BODY_BYTES=8MiB           # any limit, in capitals
  FLEETING_TIMEOUT_IDLE=30s                # any timeout, in capitals

  listen = [\"127.0.0.1:8080\"]              # the file; every key is optional
  admin_listen = \"127.0.0.1:9090\"
  workers = 2
  files = \"public\"                         # relative to the current directory
  serve = [\"files\", \"hub\"]
  host = [\"chat.example\"]
  origin = [\"https://chat.example\"]
  compression = \"shared\"
  slow_consumer = \"conflate\"
  store = \"redis://127.0.0.1:6379\"
  node = \"a\"
  [clients]
  life = \"10m\"
  on_close = \"remove\"
  [limits]
  body_bytes = \"8MiB\"
  [timeouts]
  idle = \"30s\"

Exit status: 0 after SIGTERM or Ctrl-C, once open requests are answered and connections are closed; 1 if an \
address, a file or a directory is unavailable; 2 if a flag, a value or the file is wrong. A second signal ends \
the program at once.

Examples:
  fleeting
  fleeting serve --listen 0.0.0.0:8080 --workers 2
  fleeting serve --listen 127.0.0.1:0 --limit body_bytes=8MiB --timeout idle=5m
  fleeting serve --files public --serve files
  fleeting serve --host chat.example --admin-listen 127.0.0.1:9090
  fleeting serve --compression dedicated,window=12 --slow-consumer conflate
  fleeting serve --store redis://127.0.0.1:6379 --node a
  fleeting serve --config fleeting.toml";

/// The tables of limits and timeouts, the other sources of settings, and examples.
pub(super) fn reference() -> String {
    let mut text =
        String::from("Limits (--limit NAME=VALUE): a number from 1, optionally with KiB, MiB or GiB\n");
    push_table(&mut text, Limits::describe());
    text.push_str("\nTimeouts (--timeout NAME=VALUE): a number with ms, s or m; 0s means no timeout\n");
    push_table(&mut text, Timeouts::describe());
    text.push('\n');
    text + ELSEWHERE
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
    fn the_tables_fit_a_terminal_of_80_columns() {
        // clap wraps prose to the width of the terminal, but not tables.
        for line in reference().lines().filter(|line| line.starts_with(' ')) {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
