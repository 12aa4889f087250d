//! Tests under the default action of the signal SIGPIPE, which ends the process.
//!
//! Rust's runtime ignores the signal, and with it hides what a program in another language would die of. The action
//! belongs to the whole process, so such a test runs in a process of its own.

use std::process::Command;

const CHILD: &str = "FLEETING_DEFAULT_SIGPIPE";

/// Runs `body` in a process of its own, under the default action of SIGPIPE. `test` is the full name of the calling
/// test, which is run again there.
#[track_caller]
pub fn under_default_action(test: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        sigpipe::reset();
        return body();
    }
    let child = Command::new(std::env::current_exe().expect("this test has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the test can be run again");
    let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("1 passed"), "{}: {output}", child.status);
}
