//! Tests under a limit of the system, which applies to a whole process.

use std::process::Command;

/// What `value` of [`run_again`] is in the process that it starts.
const VALUE: &str = "FLEETING_LIMITED_TEST";

/// Runs the test `name` again, in a process of its own with a limit of the shell's `ulimit`, such as `-n 128`. There it returns
/// `value`; here it returns `None` once that process has passed the test.
///
/// # Panics
/// If the limit cannot be set, or the test fails.
pub fn run_again(name: &str, limit: &str, value: &str) -> Option<String> {
    if let Ok(value) = std::env::var(VALUE) {
        return Some(value);
    }
    let child = Command::new("sh")
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" --test-threads 1 --exact \"$1\"")])
        .arg(std::env::current_exe().expect("this test has a path"))
        .arg(name)
        .env(VALUE, value)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("there is a shell");
    let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && output.contains("1 passed"), "{value}: {output}");
    None
}
