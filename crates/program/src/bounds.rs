//! What `--help` says about limits and timeouts, and where else they can be set.

use fleeting::config::Setting;
use fleeting::{Limits, Timeouts};
use std::fmt::Write;

const ELSEWHERE: &str = "\
Settings may also come from the environment and from a TOML file. A flag goes before the \
environment, that before the file, that before the default.

  FLEETING_CONFIG=fleeting.toml            # where the file is, without --config
  FLEETING_LISTEN=127.0.0.1:80,[::1]:80    # addresses, with commas
  FLEETING_WORKERS=2
  FLEETING_FILES=public                    # a directory to serve, as --files
  FLEETING_COMPRESSION=shared,window=12    # as --compression
  FLEETING_SLOW_CONSUMER=conflate          # as --slow-consumer
  FLEETING_STORE=redis://:secret@cache/0   # as --store, and no secret in `ps`
  FLEETING_NODE=a                          # as --node
  FLEETING_CLIENT_LIFE=10m                 # as --client-life
  FLEETING_CLIENT_CLOSE=30s                # as --client-close
  FLEETING_LIMIT_BODY_BYTES=8MiB           # any limit, in capitals
  FLEETING_TIMEOUT_IDLE=30s                # any timeout

  listen = [\"127.0.0.1:8080\"]              # the file; every key may be left out
  workers = 2
  files = \"public\"                         # from where the program was started
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

Exit status: 0 after SIGTERM or Ctrl-C, once all is answered and closed; 1 when an address or a file or \
a directory is not to be had; 2 for a wrong flag, value or file. A second signal ends it at once.

Examples:
  fleeting
  fleeting serve --listen 0.0.0.0:8080 --workers 2
  fleeting serve --listen 127.0.0.1:0 --limit body_bytes=8MiB --timeout idle=5m
  fleeting serve --files public
  fleeting serve --compression dedicated,window=12 --slow-consumer conflate
  fleeting serve --store redis://127.0.0.1:6379 --node a
  fleeting serve --config fleeting.toml";

/// The tables of names, and the ways to set them.
pub(super) fn reference() -> String {
    let mut text =
        String::from("Limits (--limit NAME=VALUE): a number of at least 1, or one with KiB, MiB or GiB\n");
    list(&mut text, Limits::describe());
    text.push_str("\nTimeouts (--timeout NAME=VALUE): a number with ms, s or m; 0s is none\n");
    list(&mut text, Timeouts::describe());
    text.push('\n');
    text + ELSEWHERE
}

/// Appends one line for each setting.
fn list(text: &mut String, settings: impl Iterator<Item = Setting>) {
    for setting in settings {
        let _ = writeln!(text, "  {:<14} {:>8}  {}", setting.name, setting.default, setting.help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_fits_a_terminal() {
        // Prose is wrapped where it is shown, tables are not.
        for line in reference().lines().filter(|line| line.starts_with(' ')) {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
