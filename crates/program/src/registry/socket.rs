//! `/clients/ws?id=`: a WebSocket that holds a record for as long as it is open.
//!
//! It gets the record when it has it, and again as the answer to whatever it sends. The invariant: however the
//! connection ends, and whatever a store that waits is doing meanwhile, its record is let go of once.

use super::Registry;
use super::handlers::{busy, no_client, refusal};
use super::record::check_id;
use fleeting::ws::CloseCode;
use fleeting::{Arena, ConnId, Error, Keep, Message, Offload, Request, Socket, WebSocket};
use fleeting_store::StoreError;
use std::sync::{Arc, Mutex, PoisonError};

/// There is no such record: 4404, for a store that has to be waited for. One that has not answers 404.
const NO_CLIENT: u16 = 4404;
/// Another connection has taken the record over.
const TAKEN_OVER: u16 = 4409;
/// Memory for one record.
const RECORD_BYTES: usize = 4 << 10;

/// The route's WebSockets.
pub(super) struct Clients {
    registry: Arc<Registry>,
    /// Who asks a store that waits.
    offload: Option<Arc<Offload>>,
}

/// One connection.
pub(super) struct Client {
    id: Box<str>,
    conn: ConnId,
    hold: Mutex<Hold>,
}

/// Whether it holds its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is being asked for.
    Asked,
    Held,
    /// The connection has ended, or there is no record.
    Ended,
}

impl Client {
    /// Changes what is held; tells what was.
    fn now(&self, hold: Hold) -> Hold {
        let mut held = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        // From its end nothing comes back.
        if *held == Hold::Ended { Hold::Ended } else { std::mem::replace(&mut held, hold) }
    }
}

impl Clients {
    pub(super) fn new(registry: &Arc<Registry>, offload: Option<Arc<Offload>>) -> Clients {
        Clients { registry: registry.clone(), offload }
    }
}

impl Registry {
    /// Lets a client hold its record. Who has held it until now is told that it is over.
    fn hold<'a>(&self, client: &Client, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        let Some((record, before)) = self.tie(&client.id, client.conn, arena)? else { return Ok(None) };
        if let Some(before) = before.filter(|before| *before != client.conn) {
            self.close(before, TAKEN_OVER, "another connection holds the record now");
        }
        Ok(Some(record))
    }

    /// The same on a thread that may wait, for a connection that is open already.
    fn hold_later(&self, client: &Client) {
        let arena = Arena::new(RECORD_BYTES);
        match self.hold(client, &arena) {
            Ok(Some(record)) => {
                if client.now(Hold::Held) == Hold::Ended {
                    // It has ended meanwhile.
                    let _ = self.untie(&client.id, client.conn, &arena);
                } else {
                    self.send(client.conn, record);
                }
            }
            Ok(None) => {
                client.now(Hold::Ended);
                self.close(client.conn, NO_CLIENT, "there is no client of this id");
            }
            Err(error) => {
                client.now(Hold::Ended);
                self.close(client.conn, CloseCode::TRY_AGAIN.get(), &error.to_string());
            }
        }
    }

    fn send(&self, conn: ConnId, record: &[u8]) {
        // A connection that is gone needs none.
        let _ = self.handle.send(conn, Message::Text(text(record)));
    }

    fn close(&self, conn: ConnId, code: u16, reason: &str) {
        let code = CloseCode::new(code).expect("it may be sent");
        let _ = self.handle.close(conn, code, reason);
    }
}

/// JSON is text.
fn text(record: &[u8]) -> &str {
    std::str::from_utf8(record).unwrap_or("null")
}

impl WebSocket for Clients {
    type Session = Arc<Client>;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Arc<Client>, Error> {
        let id = req
            .query_value("id")
            .ok_or(Error::bad_request("The query should be ?id=, with the client's."))?;
        check_id(id).map_err(|_| no_client())?;
        let (conn, hold) = (socket.conn_id(), Mutex::new(Hold::Asked));
        let client = Arc::new(Client { id: id.keep(), conn, hold });
        if let Some(offload) = &self.offload {
            let (registry, held) = (self.registry.clone(), client.clone());
            offload.run(move || registry.hold_later(&held)).map_err(busy)?;
            return Ok(client);
        }
        let record = self.registry.hold(&client, req.arena()).map_err(refusal)?.ok_or_else(no_client)?;
        client.now(Hold::Held);
        socket.text(text(record));
        Ok(client)
    }

    /// Whatever it says, it is told what its record is now.
    fn message(&self, client: &mut Arc<Client>, _message: Message<'_>, socket: &mut Socket<'_>) {
        let (registry, asking) = (self.registry.clone(), client.clone());
        if let Some(offload) = &self.offload {
            let find = move || {
                let arena = Arena::new(RECORD_BYTES);
                if let Ok(record) = registry.find(&asking.id, &arena) {
                    registry.send(asking.conn, record.unwrap_or(b"null"));
                }
            };
            if offload.run(find).is_err() {
                socket.close(CloseCode::TRY_AGAIN, "too many are waiting for the store");
            }
            return;
        }
        let arena = Arena::new(RECORD_BYTES);
        match registry.find(&asking.id, &arena) {
            Ok(record) => drop(socket.text(text(record.unwrap_or(b"null")))),
            Err(error) => socket.close(CloseCode::TRY_AGAIN, &error.to_string()),
        }
    }

    fn close(&self, client: Arc<Client>, _code: Option<CloseCode>, _reason: &str) {
        // If it is being asked for, who asks sees that it has ended.
        if client.now(Hold::Ended) != Hold::Held {
            return;
        }
        let registry = self.registry.clone();
        let untie = move || {
            // What the store has not done its lease will.
            let _ = registry.untie(&client.id, client.conn, &Arena::new(RECORD_BYTES));
        };
        match &self.offload {
            Some(offload) => drop(offload.run(untie)),
            None => untie(),
        }
    }
}
