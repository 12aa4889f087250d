// A copy of a header's value is stored in a WebSocket's session.

use fleeting::{Error, Keep, Message, Request, Socket, WebSocket};

struct Named;

impl WebSocket for Named {
    type Session = Box<str>;

    fn open(&self, req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<Box<str>, Error> {
        let name = req.header("x-id").ok_or(Error::bad_request("no X-Id"))?;
        Ok(name.keep())
    }

    fn message(&self, _session: &mut Box<str>, _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

fn main() {
    let _app = fleeting::App::new().ws("/ws", Named);
}
