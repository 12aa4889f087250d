//! Reads the CPU time of a process from the scheduler's nanosecond clock.

use std::fs;
use std::io;

/// Returns the microseconds used by all threads of `pid`, or `None` without a `pid`.
pub fn used_us(pid: Option<u32>) -> Result<Option<f64>, String> {
    pid.map(|pid| threads_ns(pid).map(|ns| ns as f64 / 1e3))
        .transpose()
        .map_err(|e| format!("cannot read the CPU time of --pid: {e}"))
}

fn threads_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let used = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
        sum += used.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(sum)
}
