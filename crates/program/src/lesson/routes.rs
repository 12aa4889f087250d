//! `/lesson/{mode}`: each version of the application over HTTP and WebSockets.
//!
//! It treats all versions alike. `?room=` selects a set of maps of the visitor's own. Its invariant: an id that reaches a
//! version is short and has only characters without a meaning in a path, a query or JSON. docs/lesson.md describes the
//! routes.

use super::buffer::ID_BYTES_MAX;
use super::explain;
use super::mode::Mode;
use super::rooms::{Lesson, Network, ROOMS_MAX, Room};
use super::versions::{CLIENTS_MAX, Version};
use fleeting::ws::CloseCode;
use fleeting::{
    App, ConnId, Error, Handle, HandlerFn, Keep, Message, Request, Response, Socket, WebSocket, handler,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// Adds the routes.
pub(crate) fn routes(app: App, handle: &Handle, lesson: &Arc<Lesson>) -> App {
    let handle = handle.clone();
    let with = |act| with(lesson, act);
    let for_notify = lesson.clone();
    app.post("/lesson/{mode}/clients", with(store))
        .get("/lesson/{mode}/clients", with(list))
        .delete("/lesson/{mode}/clients", with(clear))
        .get("/lesson/{mode}/clients/{id}", with(find))
        .delete("/lesson/{mode}/clients/{id}", with(delete))
        .get("/lesson/{mode}/code", |req| Ok(Response::text(explain::code(mode(req)?).join("\n"))))
        .post("/lesson/{mode}/messages", move |req| {
            let mode = mode(req)?;
            notify(room(req, &for_notify)?.version(mode), &handle)
        })
        .ws("/lesson/{mode}/ws", ClientSockets(lesson.clone()))
}

/// What a route does with the version that the request selects.
type Act = for<'r> fn(&Request<'r>, &Version) -> Result<Response<'r>, Error>;

fn with(lesson: &Arc<Lesson>, act: Act) -> impl HandlerFn + use<> {
    let lesson = lesson.clone();
    handler(move |req| {
        let mode = mode(req)?;
        act(req, room(req, &lesson)?.version(mode))
    })
}

/// Returns the mode that the path names.
fn mode(req: &Request<'_>) -> Result<Mode, Error> {
    Mode::from_name(req.param("mode")).ok_or_else(|| {
        let names = Mode::ALL.map(Mode::name).join(", ");
        Error::not_found(format!("Unknown mode. The modes are {names}."))
    })
}

/// Returns the room that the query names, or the one without a name.
fn room(req: &Request<'_>, lesson: &Lesson) -> Result<Arc<Room>, Error> {
    let name = req.query_value("room").map(checked).transpose()?;
    let network = Network::of(req.client_ip());
    lesson.room(name, network, Instant::now()).ok_or_else(|| {
        let message = format!("All {ROOMS_MAX} rooms are in use. Try again soon, or run `fleeting lesson`.");
        Error::unavailable(message).header("retry-after", "30")
    })
}

/// Returns the id if it is valid.
fn checked(id: &str) -> Result<&str, Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(id);
    }
    Err(Error::bad_request(format!(
        "An id must be 1 to {ID_BYTES_MAX} characters long and may contain only letters, digits and - . _ ~"
    )))
}

fn store<'r>(req: &Request<'r>, version: &Version) -> Result<Response<'r>, Error> {
    let id = req.header("x-id").ok_or(Error::bad_request("The field X-Id is missing."))?;
    if !version.post(checked(id)?) {
        return Err(Error::unavailable(format!(
            "This mode already has {CLIENTS_MAX} clients, the maximum. DELETE the clients of this mode first."
        )));
    }
    Ok(list(req, version)?.with_status(201))
}

/// Answers with the whole map, as `setXpto` in docs/lesson.md does.
fn list<'r>(req: &Request<'r>, version: &Version) -> Result<Response<'r>, Error> {
    Response::json(req, &version.records())?.header("cache-control", "no-store")
}

fn clear<'r>(_req: &Request<'r>, version: &Version) -> Result<Response<'r>, Error> {
    version.app.clear();
    Ok(Response::new(204))
}

fn no_client() -> Error {
    Error::not_found("No client has this id.")
}

fn find<'r>(req: &Request<'r>, version: &Version) -> Result<Response<'r>, Error> {
    let id = checked(req.param("id"))?;
    let found = version.app.has(id);
    let record = found.then(|| version.records().into_iter().find(|record| record.key == id)).flatten();
    Response::json(req, &record.ok_or_else(no_client)?)?.header("cache-control", "no-store")
}

/// Deletes a client. With `?then=list` the answer is the whole map, whether or not there was a record: a browser
/// reports a 404 as an error of the page that asked.
fn delete<'r>(req: &Request<'r>, version: &Version) -> Result<Response<'r>, Error> {
    let deleted = version.app.delete(checked(req.param("id"))?);
    match req.query_value("then") {
        Some("list") => list(req, version),
        _ if deleted => Ok(Response::new(204)),
        _ => Err(no_client()),
    }
}

/// Sends a message to each record's connection, which names the client it is meant for.
fn notify(version: &Version, handle: &Handle) -> Result<Response<'static>, Error> {
    for record in version.app.records() {
        let text = encode(&Notification { r#for: record.stored_key });
        let sent = record.conn.map(|conn| handle.send(conn, Message::Text(&text)));
        sent.unwrap_or(Ok(())).map_err(|error| Error::unavailable(error.to_string()))?;
    }
    Ok(Response::new(202))
}

/// What a client's WebSocket receives when it opens, and in answer to each message.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientStatus {
    pub(super) client: String,
    /// Whether a lookup finds the client's record.
    pub(super) found: bool,
}

/// What `/messages` sends to a record's connection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notification {
    /// The id of the client that the record was stored for.
    pub(super) r#for: String,
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and booleans can be written as JSON")
}

/// The clients' WebSockets, `?id=`.
struct ClientSockets(Arc<Lesson>);

struct Session {
    /// Held, the room is removed only if its network has the most.
    room: Arc<Room>,
    mode: Mode,
    id: Box<str>,
    conn: ConnId,
}

impl Session {
    fn version(&self) -> &Version {
        self.room.version(self.mode)
    }

    fn send_status(&self, socket: &mut Socket<'_>) {
        let found = self.version().app.has(&self.id);
        socket.text(&encode(&ClientStatus { client: self.id.to_string(), found }));
    }
}

impl WebSocket for ClientSockets {
    type Session = Session;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Session, Error> {
        let id = req.query_value("id");
        let id = checked(id.ok_or(Error::bad_request("The query must be ?id=, with the client's id."))?)?;
        let mode = mode(req)?;
        let session = Session { room: room(req, &self.0)?, mode, id: id.keep(), conn: socket.conn_id() };
        session.version().open(&session.id, session.conn);
        session.send_status(socket);
        Ok(session)
    }

    fn message(&self, session: &mut Session, _message: Message<'_>, socket: &mut Socket<'_>) {
        session.send_status(socket);
    }

    fn close(&self, session: Session, _code: Option<CloseCode>, _reason: &str) {
        session.version().close(session.conn);
    }
}
