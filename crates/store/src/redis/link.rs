//! One connection to a Redis, on which nothing waits for longer than it is told to.
//!
//! The reader of replies is the crate's; the socket is our own, because the crate's times out each read and not a
//! whole operation. Invariant: once anything but an answer of Redis's has come of an operation, the link is not
//! [whole](Link::is_whole): a reply that was not waited for could be taken for the next one's.

use super::failure::sentence;
use super::url::{Place, RedisUrl};
use redis::{Cmd, FromRedisValue, Parser, RedisResult, Value, from_redis_value};
use socket2::{SockAddr, Socket, Type};
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{Shutdown, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A connection.
pub(super) struct Link {
    socket: Socket,
    parser: Parser,
    patience: Patience,
    whole: bool,
}

/// How long a link waits for what is to come.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// Until then, sending included.
    Until(Instant),
    /// For ever, as long as something comes, or a Ping that is sent after so long is answered within as long again.
    Heartbeat(Duration),
}

/// Bytes that one reply may have: memory is bounded even if it is not Redis that answers.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// The shortest wait that a socket may be told of: nothing at all is for ever.
const WAIT_MIN: Duration = Duration::from_millis(1);

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl RedisUrl {
    /// The addresses of its host. It may wait for as long as the system's resolver does.
    pub(super) fn resolve(&self) -> io::Result<Vec<SockAddr>> {
        match &self.place {
            Place::Tcp(host, port) => {
                let addrs: Vec<SockAddr> = (&**host, *port).to_socket_addrs()?.map(SockAddr::from).collect();
                if addrs.is_empty() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(addrs) }
            }
            Place::Unix(path) => Ok(vec![SockAddr::unix(path)?]),
        }
    }
}

impl Link {
    /// Finds the addresses, and connects within `timeout`. Tells why it cannot.
    pub(super) fn reach(url: &RedisUrl, timeout: Duration) -> Result<Link, Cow<'static, str>> {
        let addrs = url.resolve().map_err(|error| format!("its name is not resolved: {error}"))?;
        Link::connect(url, &addrs, Instant::now() + timeout).map_err(|error| sentence(&error, timeout))
    }

    /// Connects to the first of `addrs` that can be had, as whom and to which database `url` says, and sees that it
    /// answers.
    pub(super) fn connect(url: &RedisUrl, addrs: &[SockAddr], deadline: Instant) -> RedisResult<Link> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for (at, addr) in addrs.iter().enumerate() {
            // Each has its share of the time: one that does not answer leaves some for the others.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addrs.len() - at) as u32;
            outcome = connect(addr, now + share);
            if outcome.is_ok() {
                break;
            }
        }
        let (socket, parser, patience) = (outcome?, Parser::new(), Patience::Until(deadline));
        let mut link = Link { socket, parser, patience, whole: true };
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

    /// What is sent and received from now on has until then.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.patience = Patience::Until(deadline);
    }

    /// What is received from now on may take for ever, if the peer is there: that is asked when nothing has come for
    /// `every`.
    pub(super) fn set_heartbeat(&mut self, every: Duration) {
        self.patience = Patience::Heartbeat(every);
    }

    /// Whether it may be used again.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Sees whether nothing has come that nobody waits for, the end included.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = self.socket.set_nonblocking(true).and_then(|()| self.socket.read(&mut byte));
        let quiet = matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.whole &= quiet && self.socket.set_nonblocking(false).is_ok();
        self.whole
    }

    /// The means to end it from another thread: whoever reads or writes comes to the end.
    pub(super) fn cutter(&self) -> io::Result<Cutter> {
        self.socket.try_clone().map(Cutter)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> RedisResult<()> {
        let sent = self.try_send(bytes);
        self.whole &= sent.is_ok();
        Ok(sent?)
    }

    fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.socket.set_write_timeout(Some(self.patience.left()?))?;
            match self.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next reply, an error of Redis's among them, which is a value like others.
    pub(super) fn receive(&mut self) -> RedisResult<Value> {
        let Link { socket, parser, patience, .. } = self;
        let reader = Reader { socket, patience: *patience, asked: false, room: REPLY_BYTES_MAX };
        let received = parser.parse_value(reader);
        self.whole &= received.is_ok();
        received
    }

    /// Sends a command, and makes of the reply what is expected.
    pub(super) fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.send(&command.get_packed_command())?;
        Ok(from_redis_value(self.receive()?.extract_error()?)?)
    }

    /// A reply that is well-formed and not what the operation expects belongs to something else.
    pub(super) fn see<T>(&mut self, outcome: &RedisResult<T>) {
        self.whole &= match outcome {
            Ok(_) => true,
            // Who may not write here may elsewhere, where the name leads now.
            Err(error) => error.code().is_some_and(|code| code != "READONLY"),
        };
    }
}

/// Ends a link.
pub(super) struct Cutter(Socket);

impl Cutter {
    pub(super) fn cut(&self) {
        // It may have ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Patience {
    /// How long one call to the system may wait.
    fn left(self) -> io::Result<Duration> {
        match self {
            Patience::Until(deadline) => left(deadline),
            Patience::Heartbeat(every) => Ok(every),
        }
    }
}

/// The time that is left, if any is.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left.max(WAIT_MIN)),
    }
}

fn connect(addr: &SockAddr, deadline: Instant) -> io::Result<Socket> {
    let left = left(deadline)?;
    let socket = Socket::new(addr.domain(), Type::STREAM, None)?;
    if addr.is_unix() {
        // Where a queue is full, as that of a process that is stopped, this is how long it waits.
        socket.set_write_timeout(Some(left))?;
        socket.connect(addr)?;
    } else {
        socket.connect_timeout(addr, left)?;
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

/// What the parser reads one reply from.
struct Reader<'a> {
    socket: &'a Socket,
    patience: Patience,
    /// The peer was asked whether it is there, and nothing has come since.
    asked: bool,
    /// Bytes that the reply may still have.
    room: usize,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into.len().min(self.room);
        if length == 0 && !into.is_empty() {
            return Err(io::Error::other("a reply of more than 64 MiB"));
        }
        loop {
            self.socket.set_read_timeout(Some(self.patience.left()?))?;
            match self.socket.read(&mut into[..length]) {
                Ok(read) => {
                    self.room -= read;
                    self.asked = false;
                    return Ok(read);
                }
                Err(error) => match (error.kind(), self.patience) {
                    (io::ErrorKind::Interrupted, _) => {}
                    (io::ErrorKind::WouldBlock, Patience::Heartbeat(every)) if !self.asked => {
                        self.socket.set_write_timeout(Some(every))?;
                        self.socket.write_all(PING)?;
                        self.asked = true;
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

    /// Two ends of a connection: a link's, with so long for all of it, and a Redis's.
    fn pair(timeout: Duration) -> (Link, Socket) {
        let (socket, redis) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        let patience = Patience::Until(Instant::now() + timeout);
        (Link { socket, parser: Parser::new(), patience, whole: true }, redis)
    }

    /// Longer than anything takes that does not wait for it.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn replies_are_told_apart_however_they_come() {
        let (mut link, mut redis) = pair(LONG);
        redis.write_all(b"+OK\r\n$3\r\na\r\n\r\n:7\r\n-ERR no\r\n*2\r\n$-1\r\n$0\r\n\r\n").unwrap();
        assert_eq!(link.receive(), Ok(Value::Okay));
        assert_eq!(link.receive(), Ok(Value::BulkString(b"a\r\n".to_vec())));
        assert_eq!(link.receive(), Ok(Value::Int(7)));
        assert!(matches!(link.receive(), Ok(Value::ServerError(_))));
        let two = vec![Value::Nil, Value::BulkString(Vec::new())];
        assert_eq!(link.receive(), Ok(Value::Array(two)));
        assert!(link.is_whole() && link.is_quiet());
    }

    #[test]
    fn a_link_on_which_anything_else_comes_is_not_whole() {
        let check = |bytes: &[u8], end: bool, expected: &str| {
            let (mut link, mut redis) = pair(if end { LONG } else { Duration::from_millis(1) });
            redis.write_all(bytes).unwrap();
            let _held = (!end).then_some(redis);
            let error = link.receive().unwrap_err();
            assert!(sentence(&error, Duration::from_millis(1)).contains(expected), "{error}");
            assert!(!link.is_whole());
        };
        check(b"", true, "closed the connection");
        check(b"$5\r\nab", true, "closed the connection");
        check(b"", false, "within 1 ms");
        check(b"$5\r\nab", false, "within 1 ms");
        check(b"HTTP/1.1", true, "not understood");
        check(b"$x\r\n", true, "not understood");
        // What comes while nobody waits for it.
        let (mut link, mut redis) = pair(LONG);
        assert!(link.is_quiet());
        redis.write_all(b"+OK\r\n").unwrap();
        assert!(!link.is_quiet() && !link.is_whole());
        let (mut link, redis) = pair(LONG);
        drop(redis);
        assert!(!link.is_quiet() && !link.is_whole());
        // What is no answer to what was asked.
        let (mut link, mut redis) = pair(LONG);
        redis.write_all(b"$1\r\na\r\n").unwrap();
        let wrong = link.query::<i64>(&redis::cmd("DBSIZE"));
        link.see(&wrong);
        assert!(wrong.is_err() && !link.is_whole());
    }

    #[test]
    fn an_error_of_redis_s_is_an_answer() {
        let check = |line: &str, whole: bool| {
            let (mut link, mut redis) = pair(LONG);
            redis.write_all(format!("-{line}\r\n").as_bytes()).unwrap();
            let refused = link.query::<()>(&redis::cmd("GET"));
            link.see(&refused);
            assert!(refused.is_err());
            assert_eq!(link.is_whole(), whole, "{line}");
        };
        check("ERR value is not an integer or out of range", true);
        check("OOM command not allowed", true);
        check("LOADING Redis is loading the dataset in memory", true);
        check("READONLY You can't write against a read only replica.", false);
    }

    #[test]
    fn a_reply_has_a_bound() {
        let (socket, mut redis) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        redis.write_all(&[b'x'; 100]).unwrap();
        let patience = Patience::Until(Instant::now() + LONG);
        let mut reader = Reader { socket: &socket, patience, asked: false, room: 10 };
        let mut into = [0; 64];
        assert_eq!(reader.read(&mut into).unwrap(), 10);
        assert!(reader.read(&mut into).unwrap_err().to_string().contains("more than 64 MiB"));
        assert_eq!(reader.read(&mut []).unwrap(), 0);
    }

    #[test]
    fn who_is_silent_is_asked_once_and_given_up() {
        let (mut link, mut redis) = pair(LONG);
        link.set_heartbeat(Duration::from_millis(10));
        let other = std::thread::spawn(move || {
            let mut asked = [0; PING.len()];
            for _ in 0..2 {
                redis.read_exact(&mut asked).unwrap();
                assert_eq!(asked, PING);
                redis.write_all(b"+PONG\r\n").unwrap();
            }
            redis.read_exact(&mut asked).unwrap();
            // And nothing comes.
            redis
        });
        assert_eq!(link.receive(), Ok(Value::SimpleString("PONG".into())));
        assert_eq!(link.receive(), Ok(Value::SimpleString("PONG".into())));
        assert!(link.receive().unwrap_err().is_timeout());
        assert!(!link.is_whole());
        drop(other.join());
    }

    #[test]
    fn a_link_can_be_cut_from_elsewhere() {
        let (mut link, _redis) = pair(LONG);
        link.set_heartbeat(LONG);
        let cutter = link.cutter().unwrap();
        let other = std::thread::spawn(move || cutter.cut());
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
        // One whose queue is full, so that the system leaves who comes without an answer.
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
        assert!(Link::connect(&url, &[silent, good], deadline).is_ok_and(|link| link.is_whole()));
        redis.join().unwrap();
    }
}
