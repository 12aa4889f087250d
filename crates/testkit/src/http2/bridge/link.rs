//! The bridge's side of an HTTP/2 connection: streams that several threads use.
//!
//! One thread reads and one writes. All others only change the state, so none of them holds the lock while the socket waits. The window
//! of the connection opens as soon as data has arrived, and that of a stream when its data has been passed on: a client
//! that does not read holds up no other.

use crate::client::PATIENCE;
use crate::http2::Field;
use crate::http2::event::Event;
use crate::http2::frames::{Frame, code, setting};
use crate::http2::session::{Session, Windows};
use socket2::{Domain, Socket, Type};
use std::collections::{HashMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// The most that waits for the socket before content waits.
const OUTPUT_BYTES: usize = 64 << 10;

/// How long a stream whose client has gone may stand still before its server is asked about it.
const STANDSTILL: Duration = Duration::from_millis(50);

/// One HTTP/2 connection. Dropping it ends the connection.
pub struct Link(Arc<Shared>);

struct Shared {
    stream: TcpStream,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    session: Session,
    inboxes: HashMap<u32, Inbox>,
    /// The connection has ended.
    is_over: bool,
    /// There was a GOAWAY.
    is_retired: bool,
    /// Called once, when the connection accepts no more streams.
    at_retirement: Vec<Box<dyn FnOnce() + Send>>,
    pings: u64,
    pongs: u64,
}

#[derive(Default)]
struct Inbox {
    items: VecDeque<Item>,
    /// The number of items that have arrived.
    arrived: usize,
}

/// What has arrived on a stream.
pub enum Item {
    Fields(Vec<Field>, bool),
    /// Data, the bytes of the window that it used up, and whether it is the last.
    Data(Vec<u8>, u32, bool),
    Reset(u32),
    /// The connection has ended, or the server has not processed the stream.
    Gone,
}

impl Link {
    /// Connects, from the address `from` if there is one.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn connect(server: SocketAddr, from: Option<IpAddr>) -> io::Result<Arc<Link>> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        if let Some(ip) = from.filter(|ip| ip.is_ipv4() == server.is_ipv4()) {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        socket.connect(&server.into())?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let mut session = Session::client(&[(setting::ENABLE_PUSH, 0)]);
        session.windows = Windows::OfConnection;
        let state = State {
            session,
            inboxes: HashMap::new(),
            is_over: false,
            is_retired: false,
            at_retirement: Vec::new(),
            pings: 0,
            pongs: 0,
        };
        let shared = Arc::new(Shared { stream, state: Mutex::new(state), changed: Condvar::new() });
        let (reader, writer) = (shared.clone(), shared.clone());
        thread::spawn(move || reader.read());
        thread::spawn(move || writer.write());
        Ok(Arc::new(Link(shared)))
    }

    /// Returns whether the connection accepts no more streams.
    pub fn is_retired(&self) -> bool {
        self.0.state().is_retired
    }

    /// Calls `call` once the connection accepts no more streams.
    pub fn at_retirement(&self, call: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state();
        if state.is_retired {
            drop(state);
            return call();
        }
        state.at_retirement.push(Box::new(call));
    }

    /// Waits for the server's settings, and returns whether they allow extended CONNECT (RFC 8441 §3).
    pub fn allows_extended_connect(&self) -> bool {
        let waits = |state: &State| state.session.settings.is_none() && !state.is_over;
        let state = self.0.wait(waits);
        state.session.settings.as_ref().is_some_and(|settings| settings.extended_connect)
    }

    /// Sends the head of a request on a new stream, as soon as the server allows one more. Returns `None` if there will be none.
    pub fn open(&self, fields: &[Field], end: bool) -> Option<u32> {
        let mut state = self.0.wait(|state| {
            let streams = state.inboxes.len();
            let settings = state.session.settings.as_ref();
            let may_open = settings.is_some_and(|s| s.streams_max.is_none_or(|max| streams < max as usize));
            !may_open && !state.is_retired
        });
        if state.is_retired {
            return None;
        }
        let stream = state.session.open(fields, end);
        state.inboxes.insert(stream, Inbox::default());
        self.0.changed.notify_all();
        Some(stream)
    }

    /// Sends content, and the end of the stream behind it. Returns `false` if the stream accepts none.
    pub fn send(&self, stream: u32, data: &[u8], end: bool) -> bool {
        let mut rest = data;
        loop {
            let mut state = self.0.wait(|state| {
                let is_held = state.session.output.len() >= OUTPUT_BYTES
                    || !rest.is_empty() && state.session.sendable(stream, rest.len()) == 0;
                is_held && state.session.is_writable(stream) && !state.is_over
            });
            if state.is_over || !state.session.is_writable(stream) {
                return false;
            }
            let sent = state.session.data(stream, rest, end);
            self.0.changed.notify_all();
            rest = &rest[sent..];
            if rest.is_empty() {
                return true;
            }
        }
    }

    /// Sends trailers, which end the request.
    pub fn trailers(&self, stream: u32, fields: &[Field]) {
        let mut state = self.0.state();
        if state.session.is_writable(stream) {
            state.session.fields(stream, fields, true);
            self.0.changed.notify_all();
        }
    }

    /// Returns whether the whole request of a stream is sent, or about to be.
    pub fn has_sent_end(&self, stream: u32) -> bool {
        self.0.state().session.has_sent_end(stream)
    }

    /// Waits for what arrives next on a stream.
    pub fn next(&self, stream: u32) -> Item {
        let is_empty = |state: &State| state.inboxes.get(&stream).is_some_and(|inbox| inbox.items.is_empty());
        let mut state = self.0.wait(|state| is_empty(state) && !state.is_over);
        let item = state.inboxes.get_mut(&stream).and_then(|inbox| inbox.items.pop_front());
        item.unwrap_or(Item::Gone)
    }

    /// Opens a stream's window by data that has been passed on.
    pub fn grant(&self, stream: u32, bytes: u32) {
        self.0.state().session.grant(stream, bytes);
        self.0.changed.notify_all();
    }

    /// Ends a stream. If it is open, it is reset with this code.
    pub fn close(&self, stream: u32, code: u32) {
        self.0.state().session.reset(stream, code);
        self.forget(stream);
    }

    /// Drops what arrives on a stream from now on.
    pub fn forget(&self, stream: u32) {
        self.0.state().inboxes.remove(&stream);
        self.0.changed.notify_all();
    }

    /// Resets a stream at once, because its client is gone. Nothing is answered then.
    pub fn cancel(&self, stream: u32) {
        let mut state = self.0.state();
        state.session.reset(stream, code::CANCEL);
        state.deliver(stream, Item::Gone);
        self.0.changed.notify_all();
    }

    /// Resets a stream whose client has ended its connection, unless the server goes on with the response. A server
    /// acknowledges PING without waiting for anything else, so a stream on which nothing has arrived in two
    /// round trips, although its window is open, is one that waits.
    pub fn cancel_unless_answered(&self, stream: u32) {
        let mut idle = 0;
        while idle < 2 {
            let mut state = self.0.state();
            let Some(before) = state.inboxes.get(&stream).map(|inbox| inbox.arrived) else { return };
            // Only a stream that has stood still for a while is asked about: servers limit the PINGs of a client.
            let stands = |state: &mut State| {
                state.inboxes.get(&stream).is_some_and(|inbox| inbox.arrived == before) && !state.is_over
            };
            let (waited, timeout) = self
                .0
                .changed
                .wait_timeout_while(state, STANDSTILL, stands)
                .expect("the lock is not poisoned");
            if !timeout.timed_out() && !waited.is_over {
                idle = 0;
                continue;
            }
            state = waited;
            state.pings += 1;
            let ping = state.pings;
            state.session.put(&Frame::ping(ping.to_be_bytes()));
            self.0.changed.notify_all();
            let is_waiting = |state: &State| state.inboxes.contains_key(&stream) && !state.is_over;
            let wait = |state: MutexGuard<'_, State>, until: &dyn Fn(&State) -> bool| {
                drop(state);
                drop(self.0.wait(|state| is_waiting(state) && !until(state)));
                self.0.state()
            };
            state = wait(state, &|state| state.pongs >= ping);
            let is_held = |state: &State| {
                let has_items = state.inboxes.get(&stream).is_some_and(|inbox| !inbox.items.is_empty());
                has_items || state.session.receive_window(stream) <= 0
            };
            if is_held(&state) {
                state = wait(state, &|state| !is_held(state));
            }
            let after = state.inboxes.get(&stream).map(|inbox| inbox.arrived);
            idle = if after == Some(before) { idle + 1 } else { 0 };
            if state.is_over {
                return;
            }
        }
        self.cancel(stream);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl State {
    fn deliver(&mut self, stream: u32, item: Item) {
        if let Some(inbox) = self.inboxes.get_mut(&stream) {
            inbox.items.push_back(item);
            inbox.arrived += 1;
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Fields { stream, fields, end } => self.deliver(stream, Item::Fields(fields, end)),
            Event::Data { stream, data, counted, end } => {
                if self.inboxes.contains_key(&stream) {
                    self.deliver(stream, Item::Data(data, counted, end));
                } else {
                    self.session.grant(stream, counted);
                }
            }
            Event::Reset { stream, code } => self.deliver(stream, Item::Reset(code)),
            Event::GoAway { last_stream, .. } => {
                self.is_retired = true;
                let refused: Vec<u32> = self.inboxes.keys().copied().filter(|id| *id > last_stream).collect();
                refused.into_iter().for_each(|stream| self.deliver(stream, Item::Gone));
            }
            Event::Pong(payload) => self.pongs = u64::from_be_bytes(payload),
            Event::Settings | Event::Window | Event::Nothing => {}
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }

    /// Waits while `waits`.
    fn wait(&self, waits: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.state(), |state| waits(state)).expect("the lock is not poisoned")
    }

    fn read(&self) {
        let mut stream = BufReader::new(&self.stream);
        while let Ok(Some(frame)) = Frame::read(&mut stream) {
            let mut state = self.state();
            match state.session.receive(&frame) {
                Ok(event) => state.take(event),
                Err(problem) => {
                    eprintln!("the server breaks HTTP/2: {problem}");
                    break;
                }
            }
            self.retire(state);
        }
        self.end();
    }

    /// Lets all threads look at the state again, and the owners know if it accepts no more streams.
    fn retire(&self, mut state: MutexGuard<'_, State>) {
        let calls = if state.is_retired { std::mem::take(&mut state.at_retirement) } else { Vec::new() };
        drop(state);
        self.changed.notify_all();
        calls.into_iter().for_each(|call| call());
    }

    /// Lets nothing wait for the connection any more. What is in the output is still written.
    fn end(&self) {
        let mut state = self.state();
        (state.is_over, state.is_retired) = (true, true);
        self.retire(state);
    }

    /// Writes the output until the end. The reader goes on until the server has closed the connection as well, so that no
    /// unread bytes reset it.
    fn write(&self) {
        let _ = self.stream.set_write_timeout(Some(PATIENCE));
        loop {
            let mut state = self.wait(|state| state.session.output.is_empty() && !state.is_over);
            let output = std::mem::take(&mut state.session.output);
            let is_over = state.is_over;
            drop(state);
            self.changed.notify_all();
            if (&self.stream).write_all(&output).is_err() {
                let _ = self.stream.shutdown(Shutdown::Both);
                return;
            }
            if is_over {
                let _ = self.stream.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}
