// The connection itself is kept for later messages, as Fiber's `*websocket.Conn` can be.

use fleeting::{Error, Message, Request, Socket, WebSocket};
use std::cell::RefCell;

struct Clients {
    all: RefCell<Vec<&'static mut Socket<'static>>>,
}

impl WebSocket for Clients {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        self.all.borrow_mut().push(socket);
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

fn main() {
    let _app = fleeting::App::new().ws("/ws", Clients { all: RefCell::default() });
}
