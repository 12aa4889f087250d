//! One connection to Redis, on which every wait is bounded.
//!
//! The `redis` crate parses the replies. The socket is our own, because the crate applies its timeout to each read and
//! not to a whole operation. Invariant: after an operation that ended in anything but a reply from Redis, the link is
//! not [usable](Link::is_usable), because a late reply could be taken for the reply to the next operation.

use super::failure::describe;
use super::url::{Endpoint, RedisUrl};
use redis::{Cmd, FromRedisValue, Parser, RedisResult, Value, from_redis_value};
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{SockAddr, Socket, Type};
use std::borrow::Cow;
use std::io::{self, Read};
use std::net::{Shutdown, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A connection.
pub(super) struct Link {
    socket: Socket,
    parser: Parser,
    timeout: Timeout,
    usable: bool,
}

/// How long a link waits.
#[derive(Debug, Clone, Copy)]
enum Timeout {
    /// All sending and receiving must be done by then.
    Deadline(Instant),
    /// Without limit while data arrives. After this time without any, the link sends a PING, which must be answered
    /// within the same time.
    Heartbeat(Duration),
}

/// The largest reply in bytes. It bounds the memory even if the peer is not Redis.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// The shortest timeout to set on a socket: zero would mean none.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A peer that is gone is an error and not the signal SIGPIPE, which may end the process. Elsewhere than on Linux,
/// [`Socket::new`] turns the signal off.
#[cfg(target_os = "linux")]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: SendFlags = SendFlags::empty();

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl RedisUrl {
    /// Resolves the host name. This may block for as long as the system's resolver does.
    pub(super) fn resolve(&self) -> io::Result<Vec<SockAddr>> {
        match &self.endpoint {
            Endpoint::Tcp(host, port) => {
                let addrs: Vec<SockAddr> = (&**host, *port).to_socket_addrs()?.map(SockAddr::from).collect();
                if addrs.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(addrs) }
            }
            Endpoint::Unix(path) => Ok(vec![SockAddr::unix(path)?]),
        }
    }
}

impl Link {
    /// Resolves the host name and connects within `timeout`. On failure it returns the reason.
    pub(super) fn open(url: &RedisUrl, timeout: Duration) -> Result<Link, Cow<'static, str>> {
        let addrs = url.resolve().map_err(|error| format!("its host name cannot be resolved: {error}"))?;
        Link::connect(url, &addrs, Instant::now() + timeout).map_err(|error| describe(&error, timeout))
    }

    /// Connects to the first of `addrs` that is available, logs in, selects the database, and waits until Redis answers a
    /// PING.
    pub(super) fn connect(url: &RedisUrl, addrs: &[SockAddr], deadline: Instant) -> RedisResult<Link> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for (at, addr) in addrs.iter().enumerate() {
            // Each address gets its share of the time, so that a silent one leaves some for the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addrs.len() - at) as u32;
            outcome = connect(addr, now + share);
            if outcome.is_ok() {
                break;
            }
        }
        let (socket, parser, timeout) = (outcome?, Parser::new(), Timeout::Deadline(deadline));
        let mut link = Link { socket, parser, timeout, usable: true };
        let mut introduction = Vec::new();
        if let Some(password) = &url.password {
            redis::cmd("AUTH")
                .arg(url.user.as_deref())
                .arg(&**password)
                .write_packed_command(&mut introduction);
        }
        if url.database != 0 {
            redis::cmd("SELECT").arg(url.database).write_packed_command(&mut introduction);
        }
        let count = usize::from(url.password.is_some()) + usize::from(url.database != 0);
        introduction.extend_from_slice(PING);
        link.send(&introduction)?;
        for _ in 0..=count {
            link.receive()?.extract_error()?;
        }
        Ok(link)
    }

    /// Sets the deadline for all that is sent and received from now on.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.timeout = Timeout::Deadline(deadline);
    }

    /// Lets [`receive`](Link::receive) wait without limit from now on, and checks with a PING whether the peer is there
    /// when nothing has arrived for `interval`.
    pub(super) fn set_heartbeat(&mut self, interval: Duration) {
        self.timeout = Timeout::Heartbeat(interval);
    }

    /// Returns whether the link may be used for another operation.
    pub(super) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Checks an idle link: it is no longer usable if data or the end of the stream has arrived unasked. Returns whether
    /// it is usable.
    pub(super) fn check_idle(&mut self) -> bool {
        let mut byte = [0];
        let read = self.socket.set_nonblocking(true).and_then(|()| self.socket.read(&mut byte));
        let quiet = matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.usable &= quiet && self.socket.set_nonblocking(false).is_ok();
        self.usable
    }

    /// Returns a handle that shuts the link down from another thread: blocked reads and writes then end.
    pub(super) fn closer(&self) -> io::Result<LinkCloser> {
        self.socket.try_clone().map(LinkCloser)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> RedisResult<()> {
        let sent = send_all(&self.socket, bytes, self.timeout);
        self.usable &= sent.is_ok();
        Ok(sent?)
    }

    /// Receives the next reply. An error reply is a value like others.
    pub(super) fn receive(&mut self) -> RedisResult<Value> {
        let Link { socket, parser, timeout, .. } = self;
        let reader = Reader { socket, timeout: *timeout, pinged: false, left: REPLY_BYTES_MAX };
        let received = parser.parse_value(reader);
        self.usable &= received.is_ok();
        received
    }

    /// Sends a command and converts the reply.
    pub(super) fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.send(&command.get_packed_command())?;
        Ok(from_redis_value(self.receive()?.extract_error()?)?)
    }

    /// Records the outcome of an operation. A well-formed reply of a type that the operation does not expect belongs to
    /// something else, so the link is not usable after it.
    pub(super) fn record<T>(&mut self, outcome: &RedisResult<T>) {
        self.usable &= match outcome {
            Ok(_) => true,
            // The host name may lead to another server by now, which accepts writes.
            Err(error) => error.code().is_some_and(|code| code != "READONLY"),
        };
    }
}

/// Shuts a link down.
pub(super) struct LinkCloser(Socket);

impl LinkCloser {
    pub(super) fn close(&self) {
        // The link may be closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Timeout {
    /// Returns how long one system call may wait.
    fn left(self) -> io::Result<Duration> {
        match self {
            Timeout::Deadline(deadline) => time_left(deadline),
            Timeout::Heartbeat(interval) => Ok(interval),
        }
    }
}

/// Returns the time until the deadline, or an error if it has passed.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left.max(WAIT_MIN)),
    }
}

fn connect(addr: &SockAddr, deadline: Instant) -> io::Result<Socket> {
    let left = time_left(deadline)?;
    let socket = Socket::new(addr.domain(), Type::STREAM, None)?;
    if addr.is_unix() {
        // On a Unix socket, connect(2) waits while the listener's queue is full, for the write timeout at most.
        socket.set_write_timeout(Some(left))?;
        socket.connect(addr)?;
    } else {
        socket.connect_timeout(addr, left)?;
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

fn send_all(socket: &Socket, bytes: &[u8], timeout: Timeout) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        socket.set_write_timeout(Some(timeout.left()?))?;
        match rustix::net::send(socket, rest, SEND_FLAGS) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Gives the parser the bytes of one reply.
struct Reader<'a> {
    socket: &'a Socket,
    timeout: Timeout,
    /// A PING was sent, and nothing has arrived since.
    pinged: bool,
    /// The bytes that the reply may still have.
    left: usize,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(self.left);
        if length == 0 && !into.is_empty() {
            return Err(io::Error::other("the reply has more than 64 MiB"));
        }
        loop {
            self.socket.set_read_timeout(Some(self.timeout.left()?))?;
            match self.socket.read(&mut into[..length]) {
                Ok(read) => {
                    self.left -= read;
                    self.pinged = false;
                    return Ok(read);
                }
                Err(error) => match (error.kind(), self.timeout) {
                    (io::ErrorKind::Interrupted, _) => {}
                    (io::ErrorKind::WouldBlock, Timeout::Heartbeat(interval)) if !self.pinged => {
                        send_all(self.socket, PING, Timeout::Heartbeat(interval))?;
                        self.pinged = true;
                    }
                    (io::ErrorKind::WouldBlock, _) => return Err(io::ErrorKind::TimedOut.into()),
                    _ => return Err(error),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting_testkit::sigpipe::under_default_action;
    use std::io::Write;

    /// Returns the two ends of a connection: a link with a deadline, and the socket of the peer.
    fn pair(timeout: Duration) -> (Link, Socket) {
        let (socket, redis) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        let timeout = Timeout::Deadline(Instant::now() + timeout);
        (Link { socket, parser: Parser::new(), timeout, usable: true }, redis)
    }

    /// Longer than any operation in these tests takes.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn replies_that_arrive_together_are_separated() {
        let (mut link, mut redis) = pair(LONG);
        redis.write_all(b"+OK\r\n$3\r\na\r\n\r\n:7\r\n-ERR no\r\n*2\r\n$-1\r\n$0\r\n\r\n").unwrap();
        assert_eq!(link.receive(), Ok(Value::Okay));
        assert_eq!(link.receive(), Ok(Value::BulkString(b"a\r\n".to_vec())));
        assert_eq!(link.receive(), Ok(Value::Int(7)));
        assert!(matches!(link.receive(), Ok(Value::ServerError(_))));
        let two = vec![Value::Nil, Value::BulkString(Vec::new())];
        assert_eq!(link.receive(), Ok(Value::Array(two)));
        assert!(link.is_usable() && link.check_idle());
    }

    #[test]
    fn a_link_on_which_anything_but_a_reply_arrives_is_not_usable() {
        let check = |bytes: &[u8], end: bool, expected: &str| {
            let (mut link, mut redis) = pair(if end { LONG } else { Duration::from_millis(1) });
            redis.write_all(bytes).unwrap();
            let _held = (!end).then_some(redis);
            let error = link.receive().unwrap_err();
            assert!(describe(&error, Duration::from_millis(1)).contains(expected), "{error}");
            assert!(!link.is_usable());
        };
        check(b"", true, "closed the connection");
        check(b"$5\r\nab", true, "closed the connection");
        check(b"", false, "within 1 ms");
        check(b"$5\r\nab", false, "within 1 ms");
        check(b"HTTP/1.1", true, "not understood");
        check(b"$x\r\n", true, "not understood");
        // Data that arrives while no operation waits for it.
        let (mut link, mut redis) = pair(LONG);
        assert!(link.check_idle());
        redis.write_all(b"+OK\r\n").unwrap();
        assert!(!link.check_idle() && !link.is_usable());
        let (mut link, redis) = pair(LONG);
        drop(redis);
        assert!(!link.check_idle() && !link.is_usable());
        // A reply that does not fit the command.
        let (mut link, mut redis) = pair(LONG);
        redis.write_all(b"$1\r\na\r\n").unwrap();
        let wrong = link.query::<i64>(&redis::cmd("DBSIZE"));
        link.record(&wrong);
        assert!(wrong.is_err() && !link.is_usable());
    }

    #[test]
    fn an_error_reply_leaves_the_link_usable() {
        let check = |line: &str, usable: bool| {
            let (mut link, mut redis) = pair(LONG);
            redis.write_all(format!("-{line}\r\n").as_bytes()).unwrap();
            let refused = link.query::<()>(&redis::cmd("GET"));
            link.record(&refused);
            assert!(refused.is_err());
            assert_eq!(link.is_usable(), usable, "{line}");
        };
        check("ERR value is not an integer or out of range", true);
        check("OOM command not allowed", true);
        check("LOADING Redis is loading the dataset in memory", true);
        check("READONLY You can't write against a read only replica.", false);
    }

    #[test]
    fn the_size_of_a_reply_is_bounded() {
        let (socket, mut redis) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        redis.write_all(&[b'x'; 100]).unwrap();
        let timeout = Timeout::Deadline(Instant::now() + LONG);
        let mut reader = Reader { socket: &socket, timeout, pinged: false, left: 10 };
        let mut into = [0; 64];
        assert_eq!(reader.read(&mut into).unwrap(), 10);
        assert!(reader.read(&mut into).unwrap_err().to_string().contains("more than 64 MiB"));
        assert_eq!(reader.read(&mut []).unwrap(), 0);
    }

    #[test]
    fn a_silent_peer_is_pinged_once_and_then_given_up() {
        let (mut link, mut redis) = pair(LONG);
        link.set_heartbeat(Duration::from_millis(10));
        let other = std::thread::spawn(move || {
            let mut ping = [0; PING.len()];
            for _ in 0..2 {
                redis.read_exact(&mut ping).unwrap();
                assert_eq!(ping, PING);
                redis.write_all(b"+PONG\r\n").unwrap();
            }
            redis.read_exact(&mut ping).unwrap();
            // No answer this time.
            redis
        });
        assert_eq!(link.receive(), Ok(Value::SimpleString("PONG".into())));
        assert_eq!(link.receive(), Ok(Value::SimpleString("PONG".into())));
        assert!(link.receive().unwrap_err().is_timeout());
        assert!(!link.is_usable());
        drop(other.join());
    }

    /// Finding A10.
    #[test]
    fn a_peer_that_is_gone_raises_no_signal() {
        let body = || {
            let (mut link, redis) = pair(LONG);
            drop(redis);
            assert!(link.send(PING).is_err() && !link.is_usable());
            // The heartbeat.
            let (mut link, redis) = pair(LONG);
            link.set_heartbeat(Duration::from_millis(10));
            redis.shutdown(Shutdown::Read).unwrap();
            assert!(link.receive().unwrap_err().is_connection_dropped() && !link.is_usable());
        };
        under_default_action("redis::link::tests::a_peer_that_is_gone_raises_no_signal", body);
    }

    #[test]
    fn another_thread_can_close_a_link() {
        let (mut link, _redis) = pair(LONG);
        link.set_heartbeat(LONG);
        let closer = link.closer().unwrap();
        let other = std::thread::spawn(move || closer.close());
        assert!(link.receive().unwrap_err().is_connection_dropped());
        other.join().unwrap();
    }

    #[test]
    fn an_address_that_does_not_answer_leaves_time_for_the_next() {
        let any: SockAddr = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into();
        let listen = || {
            let socket = Socket::new(any.domain(), Type::STREAM, None).unwrap();
            socket.bind(&any).unwrap();
            socket.listen(0).unwrap();
            (socket.local_addr().unwrap(), socket)
        };
        // Its queue is full, so the system does not answer further clients.
        let (silent, _queue) = listen();
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(any.domain(), Type::STREAM, None).unwrap();
            match socket.connect_timeout(&silent, Duration::from_millis(50)) {
                Ok(()) => queued.push(socket),
                Err(_) => break,
            }
        }
        let (good, listener) = listen();
        let redis = std::thread::spawn(move || {
            let (mut redis, _) = listener.accept().unwrap();
            redis.read_exact(&mut [0; PING.len()]).unwrap();
            redis.write_all(b"+PONG\r\n").unwrap();
        });
        let url = "redis://two.example".parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        assert!(Link::connect(&url, &[silent, good], deadline).is_ok_and(|link| link.is_usable()));
        redis.join().unwrap();
    }
}
