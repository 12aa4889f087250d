//! What happens to the notes, for clients that watch: as server-sent events and over WebSockets.
//!
//! It knows the topic, not the notes.

use fleeting::ws::CloseCode;
use fleeting::{Error, Handle, Message, Request, Response, Socket, WebSocket};

const TOPIC: &str = "notes";

/// Tells the clients of all workers. A note that was written stays written if this fails, so the error is dropped.
pub fn publish(handle: &Handle, req: &Request<'_>, what: &str, id: u64) {
    // Made in the request's arena: publishing copies it.
    let text = req.arena().format(format_args!("{what} {id}"));
    let _ = handle.publish(TOPIC, Message::Text(text));
}

/// The changes as an event stream.
pub fn events<'r>(handle: &Handle, _req: &Request<'r>) -> Result<Response<'r>, Error> {
    Ok(handle.events(TOPIC)?)
}

/// The changes over a WebSocket. A page cannot send a token with its handshake, but the browser sends the cookie.
pub struct Changes;

impl WebSocket for Changes {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        socket.subscribe(TOPIC)?;
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, socket: &mut Socket<'_>) {
        socket.close(CloseCode::UNSUPPORTED, "there is nothing to say here");
    }
}
