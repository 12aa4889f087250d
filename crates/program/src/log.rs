//! The program's output: lines of the log on standard error, and the greeting on standard output.
//!
//! It knows no text. Its invariant: nobody waits for a reader. A thread of its own writes to each stream, so a pipe that
//! nobody reads holds up neither a worker nor a shutdown; lines that have no room are counted, and the count is written
//! once there is room again.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use std::{backtrace, thread};

/// The number of texts that wait for a stream.
const WAITING_MAX: usize = 1024;
/// How long the end of the program waits for a reader.
const FLUSH: Duration = Duration::from_secs(1);

static ERROR: LazyLock<Stream> = LazyLock::new(|| Stream::new("fleeting-log", std::io::stderr));
static OUTPUT: LazyLock<Stream> = LazyLock::new(|| Stream::new("fleeting-greet", std::io::stdout));

/// Writes a line to standard error, soon. A closed standard error does not stop the program.
pub(crate) fn line(text: &str) {
    ERROR.write(format!("{text}\n"));
}

/// Writes a text to standard output, soon.
pub(crate) fn output(text: String) {
    OUTPUT.write(text);
}

/// Waits until everything is written, but not long.
pub(crate) fn flush() {
    for stream in [&OUTPUT, &ERROR] {
        if let Some(stream) = LazyLock::get(stream) {
            stream.flush(FLUSH);
        }
    }
}

/// Reports a panic as the standard library does, but without waiting for standard error.
pub(crate) fn panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let backtrace = backtrace::Backtrace::capture();
    let name = thread.name().unwrap_or("<unnamed>");
    let trace = match backtrace.status() {
        backtrace::BacktraceStatus::Captured => format!("\nstack backtrace:\n{backtrace}"),
        _ => String::new(),
    };
    line(&format!("thread '{name}' {info}{trace}"));
}

/// Escapes control characters, so that a message that quotes the user's text stays one line.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

enum Order {
    Write(String),
    /// Answer once everything before this has been written.
    Flush(mpsc::Sender<()>),
}

/// A stream and the thread that writes to it.
struct Stream {
    orders: Sender<Order>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Texts that are not written yet, at most [`WAITING_MAX`].
    waiting: AtomicUsize,
    /// Texts that had no room, and that the stream has not been told about yet.
    lost: AtomicU64,
}

impl Stream {
    fn new<W: Write>(name: &str, open: impl FnOnce() -> W + Send + 'static) -> Stream {
        let (orders, received) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let write = move || {
            let mut stream = open();
            for order in received {
                match order {
                    Order::Write(text) => {
                        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
                        counted.waiting.fetch_sub(1, Ordering::Relaxed);
                    }
                    Order::Flush(written) => drop(written.send(())),
                }
                let lost = counted.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(stream, "warning: {lost} lines of the log are missing here");
                }
            }
        };
        // Without a thread the stream stays silent: its receiver is gone.
        let _ = thread::Builder::new().name(name.into()).spawn(write);
        Stream { orders, counts }
    }

    fn write(&self, text: String) {
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX {
            let _ = self.orders.send(Order::Write(text));
        } else {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for everything that has room, also when there is none left.
    fn flush(&self, patience: Duration) {
        let (written, all) = mpsc::channel();
        if self.orders.send(Order::Flush(written)).is_ok() {
            let _ = all.recv_timeout(patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Mutex;

    /// A stream that takes a text only when the test lets it.
    struct Gate(mpsc::Receiver<()>, Arc<Mutex<String>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.lock().unwrap().push_str(str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Finding C10.
    #[test]
    fn a_line_never_waits_and_lost_lines_are_counted() {
        let (open, gate) = mpsc::channel();
        let text = Arc::new(Mutex::new(String::new()));
        let shown = text.clone();
        let stream = Stream::new("test", move || Gate(gate, shown));
        for number in 0..WAITING_MAX + 3 {
            stream.write(format!("{number}\n"));
        }
        stream.flush(Duration::ZERO);
        (0..2 * WAITING_MAX).for_each(|_| open.send(()).expect("the thread reads"));
        stream.flush(Duration::from_secs(20));
        let mut expected: Vec<_> = (0..WAITING_MAX).map(|number| number.to_string()).collect();
        expected.insert(1, "warning: 3 lines of the log are missing here".into());
        assert_eq!(text.lock().unwrap().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nb\u{7}"), "a\\nb\\u{7}");
    }
}
