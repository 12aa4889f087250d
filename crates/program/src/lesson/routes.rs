//! `/lesson/{mode}`: each version of the application over HTTP and WebSockets.
//!
//! It knows no version from another. Its invariant: an id that reaches one is short, and of characters that
//! mean nothing in a path, a query or JSON. What a client may ask is in docs/lesson.md.

use super::Mode;
use super::memory::ID_BYTES_MAX;
use super::stage::{CLIENTS_MAX, Lesson, Stage};
use fleeting::ws::CloseCode;
use fleeting::{App, ConnId, Error, Handle, Keep, Message, Request, Response, Socket, WebSocket};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Adds the routes.
pub(crate) fn routes(app: App, handle: &Handle, lesson: &Arc<Lesson>) -> App {
    let handle = handle.clone();
    let [storing, listing, clearing, finding, deleting, calling] = [(); 6].map(|()| lesson.clone());
    app.post("/lesson/{mode}/clients", move |req| store(req, stage(req, &storing)?))
        .get("/lesson/{mode}/clients", move |req| list(req, stage(req, &listing)?))
        .delete("/lesson/{mode}/clients", move |req| {
            stage(req, &clearing)?.app.clear();
            Ok(Response::empty(204))
        })
        .get("/lesson/{mode}/clients/{id}", move |req| find(req, stage(req, &finding)?))
        .delete("/lesson/{mode}/clients/{id}", move |req| delete(req, stage(req, &deleting)?))
        .post("/lesson/{mode}/messages", move |req| call(stage(req, &calling)?, &handle))
        .ws("/lesson/{mode}/ws", Tabs(lesson.clone()))
}

/// The version that the path names.
fn mode(req: &Request<'_>) -> Result<Mode, Error> {
    Mode::named(req.param("mode")).ok_or_else(|| {
        let names = Mode::ALL.map(Mode::name).join(" ");
        Error::not_found(format!("There is no such mode; there are: {names}."))
    })
}

fn stage<'l>(req: &Request<'_>, lesson: &'l Lesson) -> Result<&'l Stage, Error> {
    Ok(lesson.stage(mode(req)?))
}

/// An id that may be one.
fn checked(id: &str) -> Result<&str, Error> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(known) {
        return Ok(id);
    }
    Err(Error::bad_request(format!(
        "An id has 1 to {ID_BYTES_MAX} characters, which are letters, digits or one of - . _ ~"
    )))
}

fn store<'r>(req: &Request<'r>, stage: &Stage) -> Result<Response<'r>, Error> {
    let id = req.header("x-id").ok_or(Error::bad_request("The field X-Id is missing."))?;
    if !stage.post(checked(id)?) {
        return Err(Error::unavailable(format!(
            "There are {CLIENTS_MAX} clients, which is enough for a lesson. DELETE the clients of this mode."
        )));
    }
    Ok(list(req, stage)?.with_status(201))
}

/// The whole map, as the article's `setXpto` answers.
fn list<'r>(req: &Request<'r>, stage: &Stage) -> Result<Response<'r>, Error> {
    Response::json(req, &stage.told())?.header("cache-control", "no-store")
}

fn no_client() -> Error {
    Error::not_found("There is no client of this id.")
}

fn find<'r>(req: &Request<'r>, stage: &Stage) -> Result<Response<'r>, Error> {
    let id = checked(req.param("id"))?;
    let found = stage.app.has(id).then(|| stage.told().into_iter().find(|told| told.key == id)).flatten();
    Response::json(req, &found.ok_or_else(no_client)?)?.header("cache-control", "no-store")
}

fn delete<'r>(req: &Request<'r>, stage: &Stage) -> Result<Response<'r>, Error> {
    if stage.app.delete(checked(req.param("id"))?) { Ok(Response::empty(204)) } else { Err(no_client()) }
}

/// Sends each record's connection whom it is for.
fn call(stage: &Stage, handle: &Handle) -> Result<Response<'static>, Error> {
    for record in stage.app.records() {
        let text = encode(&Call { r#for: record.stored_key });
        let sent = record.conn.map(|conn| handle.send(conn, Message::Text(&text)));
        sent.unwrap_or(Ok(())).map_err(|error| Error::unavailable(error.to_string()))?;
    }
    Ok(Response::empty(202))
}

/// What a tab is told of itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) client: String,
    /// Whether there is a record of it.
    pub(super) found: bool,
}

/// What a tab gets that is called.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    /// Whom it is for.
    pub(super) r#for: String,
}

fn encode(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and truth are written as JSON")
}

/// The tabs' WebSockets, `?id=`.
struct Tabs(Arc<Lesson>);

struct Tab {
    mode: Mode,
    id: Box<str>,
    conn: ConnId,
}

impl Tabs {
    fn hello(&self, tab: &Tab, socket: &mut Socket<'_>) {
        let found = self.0.stage(tab.mode).app.has(&tab.id);
        socket.text(&encode(&Hello { client: tab.id.to_string(), found }));
    }
}

impl WebSocket for Tabs {
    type Session = Tab;

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<Tab, Error> {
        let id = req.query_value("id");
        let id = checked(id.ok_or(Error::bad_request("The query should be ?id=, with the client's id."))?)?;
        let tab = Tab { mode: mode(req)?, id: id.keep(), conn: socket.conn_id() };
        self.0.stage(tab.mode).open(&tab.id, tab.conn);
        self.hello(&tab, socket);
        Ok(tab)
    }

    fn message(&self, tab: &mut Tab, _message: Message<'_>, socket: &mut Socket<'_>) {
        self.hello(tab, socket);
    }

    fn close(&self, tab: Tab, _code: Option<CloseCode>, _reason: &str) {
        self.0.stage(tab.mode).close(tab.conn);
    }
}
