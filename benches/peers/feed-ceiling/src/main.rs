//! The ceiling of the market-data gateway: not a server, but the limit for one thread that turns datagrams into
//! WebSocket messages.
//!
//! One epoll loop reads the datagrams that have arrived, `SYMBOL PRICE SEQUENCE`, puts one frame for each into a
//! buffer, and sends the buffer to every client in one `send`, as `examples/gateway` does. No checks, symbols, commands,
//! last values, timeouts: what clients send is read and thrown away, and every client gets every tick.
//! `feed-ceiling PORT FEED_PORT [spin]`: with `spin`, it never sleeps.

use base64::Engine;
use sha1::{Digest, Sha1};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd};

/// The same numbers as those of the gateway.
const TICKS_PER_ROUND: usize = 64;
const FEED_BUFFER_BYTES: i32 = 4 << 20;

struct Client {
    fd: i32,
    /// What has arrived of the handshake; `None` after it.
    request: Option<Vec<u8>>,
    /// What the socket did not take.
    pending: Vec<u8>,
}

fn send(fd: i32, b: &[u8]) -> usize {
    // SAFETY: pointer and length of `b`.
    let n = unsafe { libc::send(fd, b.as_ptr().cast(), b.len(), libc::MSG_NOSIGNAL) };
    n.max(0) as usize
}

fn arm(ep: i32, op: i32, fd: i32, out: bool) {
    let events = libc::EPOLLIN | if out { libc::EPOLLOUT } else { 0 };
    let mut ev = libc::epoll_event {
        events: events as u32,
        u64: fd as u64,
    };
    // SAFETY: `ev` outlives the call.
    unsafe { libc::epoll_ctl(ep, op, fd, &mut ev) };
}

fn send_or_queue(ep: i32, c: &mut Client, out: &[u8]) {
    let sent = if c.pending.is_empty() { send(c.fd, out) } else { 0 };
    if sent < out.len() {
        if c.pending.is_empty() {
            arm(ep, libc::EPOLL_CTL_MOD, c.fd, true);
        }
        c.pending.extend_from_slice(&out[sent..]);
    }
}

fn handshake(req: &[u8]) -> Option<Vec<u8>> {
    req.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(req).ok()?;
    let key = text.lines().find_map(|l| {
        let (k, v) = l.split_once(':')?;
        k.eq_ignore_ascii_case("sec-websocket-key").then(|| v.trim())
    })?;
    let mut sha = Sha1::new();
    sha.update(key.as_bytes());
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(sha.finalize());
    let res = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some(res.into_bytes())
}

/// Appends the frame of a tick, which is shorter than 126 bytes.
fn frame(out: &mut Vec<u8>, datagram: &[u8]) {
    let mut fields = datagram.splitn(3, |b| *b == b' ');
    let mut next = || fields.next().unwrap_or_default();
    let at = out.len();
    out.extend_from_slice(&[0x81, 0]);
    for part in [
        b"{\"symbol\":\"",
        next(),
        b"\",\"price\":\"",
        next(),
        b"\",\"sequence\":",
        next(),
        b"}",
    ] {
        out.extend_from_slice(part);
    }
    out[at + 1] = (out.len() - at - 2) as u8;
}

/// Sends the ticks that have arrived to every client.
fn publish(ep: i32, feed: &UdpSocket, clients: &mut [Option<Client>], out: &mut Vec<u8>) {
    out.clear();
    let mut datagram = [0u8; 129];
    for _ in 0..TICKS_PER_ROUND {
        let Ok(n) = feed.recv(&mut datagram) else { break };
        frame(out, &datagram[..n]);
    }
    if !out.is_empty() {
        for c in clients.iter_mut().flatten().filter(|c| c.request.is_none()) {
            send_or_queue(ep, c, out);
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut port = || args.next().and_then(|p| p.parse::<u16>().ok());
    let (Some(port), Some(feed_port)) = (port(), port()) else {
        panic!("usage: feed-ceiling PORT FEED_PORT [spin]");
    };
    let spin = args.next().as_deref() == Some("spin");
    let feed = UdpSocket::bind(("127.0.0.1", feed_port)).expect("bind");
    feed.set_nonblocking(true).unwrap();
    let bytes = FEED_BUFFER_BYTES;
    // SAFETY: the option is an `int`, which outlives the call.
    unsafe {
        let value = (&raw const bytes).cast();
        libc::setsockopt(feed.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, value, 4);
    }
    let l = TcpListener::bind(("127.0.0.1", port)).expect("bind");
    l.set_nonblocking(true).unwrap();
    let lfd = l.as_raw_fd();
    // SAFETY: plain system call without pointers.
    let ep = unsafe { libc::epoll_create1(0) };
    arm(ep, libc::EPOLL_CTL_ADD, lfd, false);
    if !spin {
        arm(ep, libc::EPOLL_CTL_ADD, feed.as_raw_fd(), false);
    }
    // By descriptor.
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut out = Vec::new();
    let mut buf = vec![0u8; 64 * 1024];
    let mut evs = vec![libc::epoll_event { events: 0, u64: 0 }; 64];
    loop {
        if spin {
            publish(ep, &feed, &mut clients, &mut out);
        }
        // SAFETY: the buffer holds as many events as its length says.
        let n = unsafe { libc::epoll_wait(ep, evs.as_mut_ptr(), 64, if spin { 0 } else { -1 }) };
        for ev in evs.iter().take(n.max(0) as usize) {
            let (fd, flags) = (ev.u64 as i32, ev.events);
            if fd == feed.as_raw_fd() {
                publish(ep, &feed, &mut clients, &mut out);
                continue;
            }
            if fd == lfd {
                while let Ok((s, _)) = l.accept() {
                    s.set_nonblocking(true).unwrap();
                    s.set_nodelay(true).unwrap();
                    let fd = s.into_raw_fd();
                    if clients.len() <= fd as usize {
                        clients.resize_with(fd as usize + 1, || None);
                    }
                    clients[fd as usize] = Some(Client {
                        fd,
                        request: Some(Vec::new()),
                        pending: Vec::new(),
                    });
                    arm(ep, libc::EPOLL_CTL_ADD, fd, false);
                }
                continue;
            }
            let Some(c) = clients[fd as usize].as_mut() else {
                continue;
            };
            if flags & libc::EPOLLOUT as u32 != 0 {
                let sent = send(fd, &c.pending);
                c.pending.drain(..sent);
                if c.pending.is_empty() {
                    arm(ep, libc::EPOLL_CTL_MOD, fd, false);
                }
            }
            if flags & !(libc::EPOLLOUT as u32) == 0 {
                continue;
            }
            // SAFETY: pointer and length of `buf`.
            let r = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
            if r <= 0 {
                // SAFETY: `fd` is owned by this loop.
                unsafe { libc::close(fd) };
                clients[fd as usize] = None;
                continue;
            }
            if let Some(request) = &mut c.request {
                request.extend_from_slice(&buf[..r as usize]);
                if let Some(res) = handshake(request) {
                    c.request = None;
                    send_or_queue(ep, c, &res);
                }
            }
        }
    }
}
