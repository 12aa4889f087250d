//! Ends the program with a message and exit status 1.

/// Prints a message and exits with status 1.
pub fn die(msg: &str) -> ! {
    eprintln!("wsload: {msg}");
    std::process::exit(1);
}
