//! AddressSanitizer reports borrowed data that escapes from any source, and reports nothing if a copy is kept.

use std::process::{Command, Output};

const SOURCES: [&str; 5] = ["header", "parameter", "content", "message", "arena"];

fn planted(method: &str, source: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_planted"));
    command.args([method, source]).env_remove("ASAN_OPTIONS");
    command.output().expect("the program was built for this test")
}

#[test]
fn an_escape_is_reported_as_use_after_free() {
    for source in SOURCES {
        let output = planted("escape", source);
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{source}: {report}");
        assert!(
            report.contains("ERROR: AddressSanitizer: heap-use-after-free on address"),
            "{source}: {report}"
        );
        assert!(
            report.contains("READ of size ") && report.contains("freed by thread "),
            "{source}: {report}"
        );
        assert!(output.stdout.is_empty(), "{source}: the program continued");
    }
}

#[test]
fn a_copy_is_still_intact() {
    for source in SOURCES {
        let output = planted("kept", source);
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            (output.status.code(), &*stdout, &*stderr),
            (Some(0), "the first client\n", ""),
            "{source}"
        );
    }
}
