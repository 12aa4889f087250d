//! Chat rooms: a page for the browser, and WebSockets that talk through topics.
//!
//!     cargo run --example chat -- 127.0.0.1:8080
//!
//! Open http://127.0.0.1:8080/ in two browser tabs, with two names and the same room. Each sees who joins and leaves, what
//! the other writes, and the room's last lines. Or read along, as a client without a name to write under:
//!
//!     curl -N http://127.0.0.1:8080/rooms/tea/lines
//!
//! A name and a line that a client sends lie in memory that is reused for the next client. What a session or a room keeps
//! is copied with `keep()`; without the copy this does not compile.

use fleeting::ws::CloseCode;
use fleeting::{App, Error, Handle, Keep, Message, Request, Response, Server, Socket, WebSocket};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Chat</title>\n\
    <form id=join><input id=who placeholder=name required> in <input id=room value=tea required> <button>Join</button></form>\n\
    <pre id=lines></pre><form id=say hidden><input id=text autofocus> <button>Send</button></form><script>\n\
    let socket;\n\
    join.onsubmit = event => {\n\
        event.preventDefault();\n\
        socket = new WebSocket(`ws://${location.host}/rooms/${encodeURIComponent(room.value)}` +\n\
            `?name=${encodeURIComponent(who.value)}`);\n\
        socket.onopen = () => { join.hidden = true; say.hidden = false; };\n\
        socket.onmessage = event => lines.append(event.data + '\\n');\n\
        socket.onclose = () => { lines.append('(not connected)\\n'); join.hidden = false; say.hidden = true; };\n\
    };\n\
    say.onsubmit = event => { event.preventDefault(); socket.send(text.value); text.value = ''; };\n\
    </script>";
/// Lines that a room keeps for those who join later, and the rooms that keep any.
const LINES_KEPT: usize = 20;
const ROOMS_KEPT: usize = 1000;
/// Bytes of a name and of a line, at most.
const NAME_BYTES_MAX: usize = 40;
const LINE_BYTES_MAX: usize = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    // Two workers: a room's members may be connected to either of them.
    let history = History::default();
    let server =
        Server::builder().bind(addr).workers(2).serve(move |worker| app(&worker.handle, &history))?;
    println!("listening on http://{}", server.local_addrs()[0]);
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    Ok(())
}

fn app(handle: &Handle, history: &History) -> App {
    let rooms = Rooms { handle: handle.clone(), history: history.clone() };
    let handle = handle.clone();
    App::new().get("/", |_req| Ok(Response::html(PAGE))).ws("/rooms/{room}", rooms).get(
        "/rooms/{room}/lines",
        // Publications become server-sent events.
        move |req| Ok(handle.events(topic(req))?),
    )
}

/// Returns the topic that a room's lines are published under. It lies in the request's arena.
fn topic<'r>(req: &Request<'r>) -> &'r str {
    req.arena().format(format_args!("room {}", req.param("room")))
}

/// The last lines of each room. The workers share it, so it has a lock.
#[derive(Clone, Default)]
struct History(Arc<Mutex<HashMap<Box<str>, Lines>>>);

/// The latest first.
type Lines = VecDeque<Box<str>>;

impl History {
    fn add(&self, topic: &str, line: &str) {
        let mut rooms = self.0.lock().expect("no thread panics while it holds the lock");
        if rooms.len() >= ROOMS_KEPT && !rooms.contains_key(topic) {
            return;
        }
        let lines = rooms.entry(topic.keep()).or_default();
        lines.truncate(LINES_KEPT - 1);
        lines.push_front(line.keep());
    }

    /// Sends the lines, the oldest first.
    fn send(&self, topic: &str, socket: &mut Socket<'_>) {
        let rooms = self.0.lock().expect("no thread panics while it holds the lock");
        for line in rooms.get(topic).into_iter().flatten().rev() {
            socket.text(line);
        }
    }
}

struct Rooms {
    handle: Handle,
    history: History,
}

/// What a connection keeps. It outlives the request, so it owns its text.
struct Member {
    topic: Box<str>,
    name: Box<str>,
}

impl WebSocket for Rooms {
    type Session = Member;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Member, Error> {
        let name = req.query_value("name").unwrap_or_default().trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(Error::bad_request("The name is empty, too long, or no text."));
        }
        let topic = topic(req);
        // First, so that no line is missed between the last one that was kept and the first one that is published.
        socket.subscribe(topic)?;
        self.history.send(topic, socket);
        socket.publish(topic, Message::Text(&format!("* {name} has joined")))?;
        Ok(Member { topic: topic.keep(), name: name.keep() })
    }

    fn message(&self, member: &mut Member, message: Message<'_>, socket: &mut Socket<'_>) {
        let Message::Text(text) = message else {
            return socket.close(CloseCode::UNSUPPORTED, "only text");
        };
        if text.len() > LINE_BYTES_MAX {
            return socket.close(CloseCode::TOO_BIG, "the line is too long");
        }
        let line = format!("{}: {text}", member.name);
        self.history.add(&member.topic, &line);
        // An error means that the connection is closing.
        let _ = socket.publish(&member.topic, Message::Text(&line));
    }

    /// Also called when a client vanishes. The connection is over, so the room learns of it through the handle.
    fn close(&self, member: Member, _code: Option<CloseCode>, _reason: &str) {
        let line = format!("* {} has left", member.name);
        let _ = self.handle.publish(&member.topic, Message::Text(&line));
    }
}
