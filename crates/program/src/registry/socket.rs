//! `/clients/ws?id=`: a WebSocket that holds a record for as long as it is open.
//!
//! The client receives the record when the connection holds it, and again in answer to each message. The invariant:
//! the record is released exactly once, however the connection ends and whatever a blocking store does meanwhile.

use super::errors::no_client;
use super::record::check_id;
use super::records::Registry;
use fleeting::ws::CloseCode;
use fleeting::{Arena, ConnId, Error, Keep, Message, Offload, Request, Socket, WebSocket};
use fleeting_store::StoreError;
use std::sync::{Arc, Mutex, PoisonError};

/// Close code if there is no such record and the store blocks. With other stores the handshake is answered with 404.
const NO_CLIENT: u16 = 4404;
/// Close code if another connection has taken the record over.
const TAKEN_OVER: u16 = 4409;
/// Size of an arena for one record.
const RECORD_BYTES: usize = 4 << 10;

/// The WebSockets of the route.
pub(super) struct Clients {
    registry: Arc<Registry>,
    /// The threads that call a store that blocks.
    offload: Option<Arc<Offload>>,
}

/// The session of one connection.
pub(super) struct Client {
    id: Box<str>,
    conn: ConnId,
    state: Mutex<HoldState>,
}

/// Whether the connection holds its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldState {
    /// The store is being asked.
    Requested,
    Held,
    /// The connection has ended, or it has no record.
    Ended,
}

impl Client {
    /// Sets the state and returns the previous one.
    fn set_state(&self, state: HoldState) -> HoldState {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // `Ended` is final.
        if *current == HoldState::Ended { HoldState::Ended } else { std::mem::replace(&mut current, state) }
    }
}

impl Clients {
    pub(super) fn new(registry: &Arc<Registry>, offload: Option<Arc<Offload>>) -> Clients {
        Clients { registry: registry.clone(), offload }
    }
}

impl Registry {
    /// Makes the client hold its record, and closes the connection that held it before. Returns the record.
    fn acquire<'a>(&self, client: &Client, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let Some((record, before)) = self.attach(&client.id, client.conn, arena)? else { return Ok(None) };
        if let Some(before) = before.filter(|before| *before != client.conn) {
            self.close(before, TAKEN_OVER, "another connection holds the record now");
        }
        Ok(Some(record))
    }

    /// Does what [`acquire`](Registry::acquire) does for a connection that is already open, on a thread that may block.
    fn acquire_later(&self, client: &Client) {
        let arena = Arena::new(RECORD_BYTES);
        match self.acquire(client, &arena) {
            Ok(Some(record)) => {
                if client.set_state(HoldState::Held) == HoldState::Ended {
                    // The connection ended in the meantime.
                    let _ = self.detach(&client.id, client.conn, &arena);
                } else {
                    self.send(client.conn, record);
                }
            }
            Ok(None) => {
                client.set_state(HoldState::Ended);
                self.close(client.conn, NO_CLIENT, "there is no client with this id");
            }
            Err(error) => {
                client.set_state(HoldState::Ended);
                self.close(client.conn, CloseCode::TRY_AGAIN.get(), &error.to_string());
            }
        }
    }

    fn send(&self, conn: ConnId, record: &[u8]) {
        // The connection may be gone.
        let _ = self.handle.send(conn, Message::Text(text(record)));
    }

    fn close(&self, conn: ConnId, code: u16, reason: &str) {
        let code = CloseCode::new(code).expect("the code may be sent");
        let _ = self.handle.close(conn, code, reason);
    }
}

/// Returns a record as text, which JSON always is.
fn text(record: &[u8]) -> &str {
    std::str::from_utf8(record).unwrap_or("null")
}

impl WebSocket for Clients {
    type Session = Arc<Client>;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Arc<Client>, Error> {
        let id = req
            .query_value("id")
            .ok_or(Error::bad_request("The query `id` is missing; expected ?id= with the client's id."))?;
        check_id(id).map_err(|_| no_client())?;
        let (conn, state) = (socket.conn_id(), Mutex::new(HoldState::Requested));
        let client = Arc::new(Client { id: id.keep(), conn, state });
        if let Some(offload) = &self.offload {
            let (registry, requesting) = (self.registry.clone(), client.clone());
            offload.run(move || registry.acquire_later(&requesting))?;
            return Ok(client);
        }
        let record = self.registry.acquire(&client, req.arena())?.ok_or_else(no_client)?;
        client.set_state(HoldState::Held);
        socket.text(text(record));
        Ok(client)
    }

    /// Answers any message with the current record.
    fn message(&self, client: &mut Arc<Client>, _message: Message<'_>, socket: &mut Socket<'_>) {
        let (registry, client) = (self.registry.clone(), client.clone());
        if let Some(offload) = &self.offload {
            let find = move || {
                let arena = Arena::new(RECORD_BYTES);
                if let Ok(record) = registry.find(&client.id, &arena) {
                    registry.send(client.conn, record.unwrap_or(b"null"));
                }
            };
            if offload.run(find).is_err() {
                socket.close(CloseCode::TRY_AGAIN, "too many requests are waiting for the store");
            }
            return;
        }
        let arena = Arena::new(RECORD_BYTES);
        match registry.find(&client.id, &arena) {
            Ok(record) => drop(socket.text(text(record.unwrap_or(b"null")))),
            Err(error) => socket.close(CloseCode::TRY_AGAIN, &error.to_string()),
        }
    }

    fn close(&self, client: Arc<Client>, _code: Option<CloseCode>, _reason: &str) {
        // If the store is still being asked, `acquire_later` sees that the connection has ended.
        if client.set_state(HoldState::Ended) != HoldState::Held {
            return;
        }
        let registry = self.registry.clone();
        let detach = move || {
            // If the store fails, the record's lease runs out.
            let _ = registry.detach(&client.id, client.conn, &Arena::new(RECORD_BYTES));
        };
        match &self.offload {
            Some(offload) => drop(offload.run(detach)),
            None => detach(),
        }
    }
}
