//! Whether the signal SIGPIPE would end the process.
//!
//! Writing to a connection that its peer has left raises the signal, unless the call says otherwise. Its default action
//! ends the process. Rust's runtime ignores the signal before `main`, but a program in another language that embeds the
//! library may not, and a Rust program may have restored the default.

use std::sync::atomic::{AtomicBool, Ordering};

/// SIGPIPE is number 13, and bit 0 of a mask stands for number 1: signal(7).
const SIGPIPE: u64 = 1 << 12;

static IS_HANDLED: AtomicBool = AtomicBool::new(false);

/// Looks whether the process ignores or catches the signal, for [`is_handled`].
pub fn look() {
    let status = std::fs::read_to_string("/proc/self/status");
    IS_HANDLED.store(status.is_ok_and(|status| handles_sigpipe(&status)), Ordering::Relaxed);
}

/// Whether the process ignored or caught the signal when [`look`] was called last; false if it never was.
#[inline]
pub fn is_handled() -> bool {
    IS_HANDLED.load(Ordering::Relaxed)
}

/// `status` is the text of `/proc/PID/status`: proc_pid_status(5).
fn handles_sigpipe(status: &str) -> bool {
    let mask = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    };
    (mask("SigIgn:") | mask("SigCgt:")) & SIGPIPE != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actions_of_a_process_are_read() {
        fn check(status: &str, expected: bool) {
            assert_eq!(handles_sigpipe(status), expected, "{status}");
        }
        check("", false);
        check("SigBlk:\t0000000000001000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000180004002\n", false);
        check("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000000\n", true);
        check("SigIgn:\t0000000000000000\nSigCgt:\t0000000180005002\n", true);
        check("SigIgn:\tno number\n", false);
        // Rust's runtime ignores the signal.
        look();
        assert!(is_handled());
    }
}
