//! Measures what socket flags and options cost or save on loopback. Rounds are interleaved. Prints medians, and
//! each median as a ratio to the first of its table (lower is better).
//!
//!     sockflags [ROUNDS]

use socket2::SockRef;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Repeats an operation and returns the time that counts, without the setup.
type Run<'a> = Box<dyn FnMut(u32) -> io::Result<Duration> + 'a>;

const SMALL_BYTES: usize = 128;
const LARGE_BYTES: usize = 100 << 10;
const BUSY_POLL_US: u32 = 50;

fn main() -> io::Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(9), |text| text.parse());
    let rounds: usize = rounds.ok().filter(|rounds| *rounds > 0).ok_or(ErrorKind::InvalidInput)?;
    pin(1);
    let (nonblocking, dontwait) = (libc::MSG_NOSIGNAL, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
    table(
        "128 bytes, round trip in one thread, ns per send and receive",
        (rounds, 20_000),
        vec![
            ("std: send(MSG_NOSIGNAL), recv(0)", round_trip(std_pair()?)),
            ("write, read", round_trip(file_pair()?)),
            ("writev, readv", round_trip(vectored_pair()?)),
            ("send and recv, both flags", round_trip(flagged_pair(true, dontwait)?)),
            ("both flags, blocking sockets", round_trip(flagged_pair(false, dontwait)?)),
            ("SO_BUSY_POLL", round_trip(busy_pair()?)),
            ("TCP_QUICKACK after each recv", round_trip(quick_pair()?)),
        ],
    )?;
    table(
        "100 KiB one way in one thread, ns",
        (rounds, 1000),
        vec![("send", one_way(nonblocking)?), ("send(MSG_ZEROCOPY)", one_way(libc::MSG_ZEROCOPY)?)],
    )?;
    table(
        "a connection with one request and one answer in one thread, ns",
        (rounds, 1000),
        vec![("plain", connections(0)?), ("TCP_DEFER_ACCEPT", connections(10)?)],
    )?;
    table(
        "128 bytes, round trip between two threads, ns",
        (rounds, 5000),
        vec![
            ("blocking reads", between_threads(true, 0)?),
            ("blocking reads, SO_BUSY_POLL", between_threads(true, BUSY_POLL_US)?),
            ("non-blocking reads in a loop", between_threads(false, 0)?),
        ],
    )?;
    let (_, ours) = pair(true)?;
    println!("SO_INCOMING_NAPI_ID on loopback: {}", option(&ours, libc::SO_INCOMING_NAPI_ID)?);
    let (sends, copied) = sends_copied(1000)?;
    println!("the kernel copied {copied} of {sends} sends with MSG_ZEROCOPY");
    Ok(())
}

fn table(title: &str, (rounds, count): (usize, u32), mut cases: Vec<(&str, Run<'_>)>) -> io::Result<()> {
    let mut nanos = vec![Vec::new(); cases.len()];
    for round in 0..=rounds {
        for ((_, run), nanos) in cases.iter_mut().zip(&mut nanos) {
            let each = run(count)?.as_nanos() as f64 / f64::from(count);
            // The first round warms up.
            if round > 0 {
                nanos.push(each);
            }
        }
    }
    println!("{title}: median (minimum to maximum) of {rounds} rounds of {count}");
    let mut first = None;
    for ((name, _), mut nanos) in cases.into_iter().zip(nanos) {
        nanos.sort_by(f64::total_cmp);
        let median = nanos[nanos.len() / 2];
        let ratio = median / *first.get_or_insert(median);
        println!("  {name:34} {median:9.0} ({:.0}-{:.0})  {ratio:.2}", nanos[0], nanos[nanos.len() - 1]);
    }
    println!();
    Ok(())
}

// ---------------------------------------------------------------- one thread, small

/// One end of a connection, with a way to send and to receive.
trait End {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize>;
}

/// A stream of std. A `File` uses write(2) and read(2).
struct Plain<S>(S);
struct Vectored(TcpStream);
struct Flagged(TcpStream, i32);
struct Quick(TcpStream);

impl<S: Read + Write> End for Plain<S> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl End for Vectored {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read_vectored(&mut [io::IoSliceMut::new(room)])
    }
}

impl End for Flagged {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.0).send_with_flags(bytes, self.1)
    }

    fn receive(&mut self, _room: &mut [u8]) -> io::Result<usize> {
        let mut room = [MaybeUninit::uninit(); 2 * SMALL_BYTES];
        SockRef::from(&self.0).recv_with_flags(&mut room, self.1)
    }
}

impl End for Quick {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.read(room)?;
        SockRef::from(&self.0).set_tcp_quickack(true)?;
        Ok(bytes)
    }
}

fn std_pair() -> io::Result<(Plain<TcpStream>, Plain<TcpStream>)> {
    let (left, right) = pair(true)?;
    Ok((Plain(left), Plain(right)))
}

fn file_pair() -> io::Result<(Plain<File>, Plain<File>)> {
    let (left, right) = pair(true)?;
    Ok((Plain(File::from(OwnedFd::from(left))), Plain(File::from(OwnedFd::from(right)))))
}

fn vectored_pair() -> io::Result<(Vectored, Vectored)> {
    let (left, right) = pair(true)?;
    Ok((Vectored(left), Vectored(right)))
}

fn flagged_pair(nonblocking: bool, flags: i32) -> io::Result<(Flagged, Flagged)> {
    let (left, right) = pair(nonblocking)?;
    Ok((Flagged(left, flags), Flagged(right, flags)))
}

fn busy_pair() -> io::Result<(Plain<TcpStream>, Plain<TcpStream>)> {
    let (left, right) = pair(true)?;
    busy_poll(&left, BUSY_POLL_US)?;
    busy_poll(&right, BUSY_POLL_US)?;
    Ok((Plain(left), Plain(right)))
}

fn quick_pair() -> io::Result<(Quick, Quick)> {
    let (left, right) = pair(true)?;
    Ok((Quick(left), Quick(right)))
}

fn round_trip<'a, E: End + 'a>((mut left, mut right): (E, E)) -> Run<'a> {
    Box::new(move |count| {
        let (bytes, mut room) = ([b'x'; SMALL_BYTES], [0; 2 * SMALL_BYTES]);
        let begin = Instant::now();
        for _ in 0..count / 2 {
            left.send(&bytes)?;
            assert_eq!(right.receive(&mut room)?, SMALL_BYTES);
            right.send(&bytes)?;
            assert_eq!(left.receive(&mut room)?, SMALL_BYTES);
        }
        Ok(begin.elapsed())
    })
}

// ---------------------------------------------------------------- one thread, large

fn one_way<'a>(flags: i32) -> io::Result<Run<'a>> {
    let (left, mut right) = pair(true)?;
    if flags & libc::MSG_ZEROCOPY != 0 {
        set_option(&left, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    }
    let (bytes, mut room) = (vec![b'x'; LARGE_BYTES], vec![0; 128 << 10]);
    Ok(Box::new(move |count| {
        let begin = Instant::now();
        for _ in 0..count {
            transfer(&left, &mut right, &bytes, &mut room, flags)?;
            if flags & libc::MSG_ZEROCOPY != 0 {
                while notice(&left)?.is_some() {}
            }
        }
        Ok(begin.elapsed())
    }))
}

/// Sends all of `bytes` and receives them.
fn transfer(
    left: &TcpStream,
    right: &mut TcpStream,
    bytes: &[u8],
    room: &mut [u8],
    flags: i32,
) -> io::Result<()> {
    let (mut sent, mut received) = (0, 0);
    while received < bytes.len() {
        if sent < bytes.len() {
            sent += unless_blocked(SockRef::from(left).send_with_flags(&bytes[sent..], flags))?;
        }
        received += unless_blocked(right.read(room))?;
    }
    Ok(())
}

/// Returns 0 for a call that would block.
fn unless_blocked(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Makes at least `count` sends with MSG_ZEROCOPY. Returns their number, and how many the kernel copied anyway.
fn sends_copied(count: u32) -> io::Result<(u32, u32)> {
    let (left, mut right) = pair(true)?;
    set_option(&left, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    let (bytes, mut room) = (vec![b'x'; LARGE_BYTES], vec![0; 128 << 10]);
    let (mut sends, mut copied) = (0, 0);
    while sends < count {
        transfer(&left, &mut right, &bytes, &mut room, libc::MSG_ZEROCOPY)?;
        while let Some((range, was_copied)) = notice(&left)? {
            sends += range;
            copied += if was_copied { range } else { 0 };
        }
    }
    Ok((sends, copied))
}

/// Takes a notice of completed zero-copy sends. Returns how many, and whether they were copied.
fn notice(stream: &TcpStream) -> io::Result<Option<(u32, bool)>> {
    let mut control = [0u64; 16];
    // SAFETY: all zeros is a valid, empty message header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points to `control`, which is alive, and states its length.
    let received =
        unsafe { libc::recvmsg(stream.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if received < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: the kernel has filled the header, and messages of the error queue begin with an extended error.
    let error = unsafe {
        let part = libc::CMSG_FIRSTHDR(&header);
        assert!(!part.is_null());
        libc::CMSG_DATA(part).cast::<libc::sock_extended_err>().read_unaligned()
    };
    // SO_EE_CODE_ZEROCOPY_COPIED is 1.
    Ok(Some((error.ee_data - error.ee_info + 1, error.ee_code & 1 != 0)))
}

// ---------------------------------------------------------------- connections

fn connections<'a>(defer_secs: i32) -> io::Result<Run<'a>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    if defer_secs > 0 {
        set_option(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, defer_secs)?;
    }
    Ok(Box::new(move |count| {
        let (bytes, mut room) = ([b'x'; SMALL_BYTES], [0; 2 * SMALL_BYTES]);
        let begin = Instant::now();
        for _ in 0..count {
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            client.write_all(&bytes)?;
            let (mut ours, _) = listener.accept()?;
            assert_eq!(ours.read(&mut room)?, SMALL_BYTES);
            ours.write_all(&bytes)?;
            assert_eq!(client.read(&mut room)?, SMALL_BYTES);
            // Close with a reset, so that no port stays in TIME_WAIT.
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        Ok(begin.elapsed())
    }))
}

// ---------------------------------------------------------------- two threads

fn between_threads<'a>(blocking: bool, busy_poll_us: u32) -> io::Result<Run<'a>> {
    let (mut left, mut right) = pair(!blocking)?;
    busy_poll(&left, busy_poll_us)?;
    busy_poll(&right, busy_poll_us)?;
    Ok(Box::new(move |count| {
        std::thread::scope(|scope| {
            let echo = scope.spawn(|| {
                pin(0);
                (0..count).try_for_each(|_| {
                    receive(&mut right)?;
                    right.write_all(&[b'x'; SMALL_BYTES])
                })
            });
            let begin = Instant::now();
            for _ in 0..count {
                left.write_all(&[b'x'; SMALL_BYTES])?;
                receive(&mut left)?;
            }
            let took = begin.elapsed();
            echo.join().expect("the echo thread did not panic")?;
            Ok(took)
        })
    }))
}

/// Waits for one message of `SMALL_BYTES`.
fn receive(stream: &mut TcpStream) -> io::Result<()> {
    let mut room = [0; 2 * SMALL_BYTES];
    loop {
        match stream.read(&mut room) {
            Ok(SMALL_BYTES) => return Ok(()),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
    }
}

// ---------------------------------------------------------------- sockets

/// Returns the two ends of a connection, with TCP_NODELAY.
fn pair(nonblocking: bool) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let left = TcpStream::connect(listener.local_addr()?)?;
    let (right, _) = listener.accept()?;
    for end in [&left, &right] {
        end.set_nodelay(true)?;
        end.set_nonblocking(nonblocking)?;
    }
    Ok((left, right))
}

fn busy_poll(stream: &TcpStream, micros: u32) -> io::Result<()> {
    if micros == 0 { Ok(()) } else { SockRef::from(stream).set_busy_poll(micros) }
}

fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let bytes = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is alive, and its size is passed.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), bytes) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn option(socket: &impl AsRawFd, name: i32) -> io::Result<i32> {
    let (mut value, mut bytes) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the value is alive, and its size is passed.
    let outcome = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut bytes)
    };
    if outcome == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Pins this thread to a core, if that core exists.
fn pin(core: usize) {
    // SAFETY: all zeros is an empty set, the core fits into it, and its size is passed.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}
