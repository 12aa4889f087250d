// A header's value is stored in a WebSocket's session.

use fleeting::{Error, Message, Request, Socket, WebSocket};

struct Named;

impl WebSocket for Named {
    type Session = &'static str;

    fn open(&self, req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<&'static str, Error> {
        let name = req.header("x-id").ok_or(Error::bad_request("no X-Id"))?;
        Ok(name)
    }

    fn message(&self, _session: &mut &'static str, _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

fn main() {
    let _app = fleeting::App::new().ws("/ws", Named);
}
