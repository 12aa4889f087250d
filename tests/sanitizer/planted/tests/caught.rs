//! AddressSanitizer sees what gets out, wherever it lay; and has nothing to say of who keeps a copy.

use std::process::{Command, Output};

const PLACES: [&str; 5] = ["header", "parameter", "content", "message", "arena"];

fn planted(way: &str, place: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_planted"));
    command.args([way, place]).env_remove("ASAN_OPTIONS");
    command.output().expect("the program was built for this test")
}

#[test]
fn what_escapes_is_a_use_after_free() {
    for place in PLACES {
        let output = planted("escape", place);
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{place}: {report}");
        assert!(
            report.contains("ERROR: AddressSanitizer: heap-use-after-free on address"),
            "{place}: {report}"
        );
        assert!(report.contains("READ of size ") && report.contains("freed by thread "), "{place}: {report}");
        assert!(output.stdout.is_empty(), "{place}: it went on after that");
    }
}

#[test]
fn what_is_kept_is_still_there() {
    for place in PLACES {
        let output = planted("kept", place);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            (output.status.code(), &*stdout, &*stderr),
            (Some(0), "the first client\n", ""),
            "{place}"
        );
    }
}
