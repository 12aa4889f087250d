// A copy of a message's payload is stored in the session for the next message.

use fleeting::{Error, Keep, Message, Request, Socket, WebSocket};

struct Last;

impl WebSocket for Last {
    type Session = Option<Box<str>>;

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<Option<Box<str>>, Error> {
        Ok(None)
    }

    fn message(&self, session: &mut Option<Box<str>>, message: Message<'_>, socket: &mut Socket<'_>) {
        if let Some(last) = session {
            socket.text(last);
        }
        if let Message::Text(text) = message {
            *session = Some(text.keep());
        }
    }
}

fn main() {
    let _app = fleeting::App::new().ws("/ws", Last);
}
