//! One connection to Redis, on which every wait is bounded.
//!
//! The `redis` crate parses the replies. The socket is our own, because the crate applies its timeout to each read and
//! not to a whole operation. Invariant: after an operation that ended in anything but a reply from Redis, the link is
//! not [usable](Link::is_usable), because a late reply could be taken for the reply to the next operation.

use super::bounds::Bounds;
use super::primary::{IS_REPLICA, Question, Server, is_misplaced, is_refusal};
use super::tls::Tls;
use super::url::Login;
use super::wire::Wire;
use redis::{Cmd, FromRedisValue, Parser, RedisResult, Value, from_redis_value};
use socket2::{SockAddr, Socket};
use std::borrow::Cow;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A connection.
pub(super) struct Link {
    wire: Wire,
    parser: Parser,
    timeout: Timeout,
    bounds: Bounds,
    usable: bool,
    /// Another thread has closed the link.
    closed: Arc<AtomicBool>,
    /// What the server said about itself when the link was made, and how it was asked.
    server: Server,
    question: Question,
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

/// How long one message may take to arrive on a link with a heartbeat, in heartbeats.
const REPLY_HEARTBEATS_MAX: u32 = 60;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl Link {
    /// Connects to the first of `addrs` that is available. With `tls`, that must prove to be this host.
    pub(super) fn connect(
        addrs: &[SockAddr],
        tls: Option<(&Tls, &str)>,
        deadline: Instant,
    ) -> RedisResult<Link> {
        let mut wire = Wire::connect(addrs, deadline)?;
        if let Some((tls, host)) = tls {
            wire.secure(tls.session(host)?, deadline)?;
        }
        Ok(Link::new(wire, Timeout::Deadline(deadline)))
    }

    fn new(wire: Wire, timeout: Timeout) -> Link {
        Link {
            wire,
            parser: Parser::new(),
            timeout,
            bounds: Bounds::new(),
            usable: true,
            closed: Arc::default(),
            server: Server::default(),
            question: Question::Info,
        }
    }

    /// Logs in, selects the database, asks the server about itself, and waits until it answers a PING. It may be a
    /// replica.
    pub(super) fn introduce(&mut self, login: &Login, database: u32) -> RedisResult<()> {
        let mut introduction = Vec::new();
        let mut count = append_login(login, &mut introduction);
        if database != 0 {
            redis::cmd("SELECT").arg(database).write_packed_command(&mut introduction);
            count += 1;
        }
        self.question.append(&mut introduction);
        introduction.extend_from_slice(PING);
        self.send(&introduction)?;
        for _ in 0..count {
            self.receive()?.extract_error()?;
        }
        let mut answer = self.answer();
        // If the connection has ended, the first error says why.
        if self.usable {
            self.receive()?.extract_error()?;
        }
        while answer.as_ref().is_err_and(is_refusal) {
            self.question = self.question.next();
            answer = self.ask();
        }
        self.server = answer?;
        Ok(())
    }

    /// Logs in.
    pub(super) fn log_in(&mut self, login: &Login) -> RedisResult<()> {
        let mut command = Vec::new();
        for _ in 0..append_login(login, &mut command) {
            self.send(&command)?;
            self.receive()?.extract_error()?;
        }
        Ok(())
    }

    /// Refuses a link to a replica.
    pub(super) fn of_primary(self) -> Result<Link, Cow<'static, str>> {
        if self.server.is_replica { Err(IS_REPLICA.into()) } else { Ok(self) }
    }

    /// Records that the server was found under this name.
    pub(super) fn set_name(&mut self, name: &str) {
        self.server.set_name(name);
    }

    /// Returns what the server said about itself when the link was made.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Returns how the server lets itself be asked.
    pub(super) fn question(&self) -> Question {
        self.question
    }

    /// Asks the server about itself again.
    pub(super) fn ask(&mut self) -> RedisResult<Server> {
        let mut commands = Vec::new();
        self.question.append(&mut commands);
        self.send(&commands)?;
        self.answer()
    }

    /// Receives the answer to the link's question, which was sent.
    pub(super) fn answer(&mut self) -> RedisResult<Server> {
        self.question.answer(|| self.receive())
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
        self.usable &= self.wire.is_quiet();
        self.usable
    }

    /// Returns a handle that shuts the link down from another thread: blocked reads and writes then end.
    pub(super) fn closer(&self) -> io::Result<LinkCloser> {
        Ok(LinkCloser { socket: self.wire.twin()?, closed: self.closed.clone() })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> RedisResult<()> {
        let sent = self.wire.send(bytes, self.timeout.until());
        self.usable &= sent.is_ok();
        Ok(sent?)
    }

    /// Receives the next reply. An error reply is a value like others.
    pub(super) fn receive(&mut self) -> RedisResult<Value> {
        let Link { wire, parser, timeout, bounds, closed, .. } = self;
        let (timeout, pinged, began) = (*timeout, false, None);
        let reader = Reader { wire, timeout, pinged, began, bounds, closed };
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
            Err(error) => error.code().is_some() && !is_misplaced(error),
        };
    }
}

/// Shuts a link down.
pub(super) struct LinkCloser {
    socket: Socket,
    closed: Arc<AtomicBool>,
}

impl LinkCloser {
    pub(super) fn close(&self) {
        // A peer that goes on sending would not let the reads end by themselves.
        self.closed.store(true, Ordering::Relaxed);
        // The link may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Appends the command that logs in, if there is anything to log in with. Returns how many commands those are.
fn append_login(login: &Login, out: &mut Vec<u8>) -> usize {
    let Some(password) = &login.password else { return 0 };
    redis::cmd("AUTH").arg(login.user.as_deref()).arg(&**password).write_packed_command(out);
    1
}

impl Timeout {
    /// Returns until when to wait for what is sent or received now.
    fn until(self) -> Instant {
        match self {
            Timeout::Deadline(deadline) => deadline,
            Timeout::Heartbeat(interval) => Instant::now() + interval,
        }
    }
}

/// Gives the parser the bytes of one reply.
struct Reader<'a> {
    wire: &'a mut Wire,
    timeout: Timeout,
    /// A PING was sent, and nothing has arrived since.
    pinged: bool,
    /// When the first bytes arrived, if the reply was not complete then.
    began: Option<Instant>,
    bounds: &'a mut Bounds,
    closed: &'a AtomicBool,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match self.wire.receive(into, self.timeout.until()) {
                Ok(read) => {
                    self.bounds.follow(&into[..read]).map_err(io::Error::other)?;
                    self.pinged = false;
                    self.check_pace()?;
                    return Ok(read);
                }
                Err(error) => match (error.kind(), self.timeout) {
                    (io::ErrorKind::TimedOut, Timeout::Heartbeat(interval)) if !self.pinged => {
                        self.wire.send(PING, Instant::now() + interval)?;
                        self.pinged = true;
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

impl Reader<'_> {
    /// Gives up a reply that arrives forever. With a deadline, that bounds it already.
    fn check_pace(&mut self) -> io::Result<()> {
        let Timeout::Heartbeat(interval) = self.timeout else { return Ok(()) };
        if !self.bounds.is_within_reply() {
            return Ok(());
        }
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() > REPLY_HEARTBEATS_MAX * interval {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::describe;
    use super::*;
    use fleeting_testkit::sigpipe::under_default_action;
    use socket2::Type;
    use std::io::Write;

    /// Returns the two ends of a connection: a link with a deadline, and the socket of the peer.
    fn pair(timeout: Duration) -> (Link, Socket) {
        let (socket, redis) = Socket::pair(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        (Link::new(Wire::new(socket), Timeout::Deadline(Instant::now() + timeout)), redis)
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
        check("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", false);
        check("NOAUTH Authentication required.", false);
        check("ERR Error running script: @user_script:1: -READONLY You can't write against a replica", false);
    }

    /// Finding B11: the parser needed 805 MiB for this array.
    #[test]
    fn the_memory_for_a_reply_is_bounded() {
        let (mut link, mut redis) = pair(LONG);
        let flood = std::thread::spawn(move || {
            let integers = b":1\r\n".repeat(1 << 16);
            let mut sent = redis.write_all(b"*15000000\r\n");
            while sent.is_ok() {
                sent = redis.write_all(&integers);
            }
        });
        let mut outcome = Ok(Value::Nil);
        let memory = allocation_counter::measure(|| outcome = link.receive());
        let error = outcome.unwrap_err();
        assert_eq!(describe(&error, LONG), "the reply has more than 65536 values");
        assert!(memory.bytes_max < 1 << 20, "{} bytes", memory.bytes_max);
        assert!(!link.is_usable());
        drop(link);
        flood.join().unwrap();
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

    /// Finding B11.
    #[test]
    fn a_message_that_never_ends_is_given_up() {
        let (mut link, mut redis) = pair(LONG);
        link.set_heartbeat(Duration::from_millis(1));
        let trickle = std::thread::spawn(move || {
            let mut sent = redis.write_all(b"$60000000\r\n");
            while sent.is_ok() {
                sent = redis.write_all(b"x");
            }
        });
        assert!(link.receive().unwrap_err().is_timeout());
        drop(link);
        trickle.join().unwrap();
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
        // Even if the peer goes on sending.
        let (mut link, mut redis) = pair(LONG);
        link.set_heartbeat(LONG);
        let closer = link.closer().unwrap();
        redis.write_all(&b"+OK\r\n".repeat(1000)).unwrap();
        assert_eq!(link.receive(), Ok(Value::Okay));
        closer.close();
        let error = (0..1000).find_map(|_| link.receive().err()).unwrap();
        assert!(error.is_connection_dropped());
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
            let mut asked = Vec::new();
            while !asked.ends_with(PING) {
                let mut byte = [0];
                redis.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            redis.write_all(b"+\r\n+\r\n+PONG\r\n").unwrap();
        });
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut link = Link::connect(&[silent, good], None, deadline).unwrap();
        assert!(link.introduce(&Login::default(), 0).is_ok() && link.is_usable());
        redis.join().unwrap();
    }
}
