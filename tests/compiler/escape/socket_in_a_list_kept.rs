// The connection's id, which is never reused, is kept for later messages.

use fleeting::{ConnId, Error, Handle, Message, Request, Socket, WebSocket};
use std::cell::RefCell;

struct Clients {
    all: RefCell<Vec<ConnId>>,
    handle: Handle,
}

impl WebSocket for Clients {
    type Session = ();

    fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        self.all.borrow_mut().push(socket.conn_id());
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, _socket: &mut Socket<'_>) {
        for conn in self.all.borrow().iter() {
            let _ = self.handle.send(*conn, message);
        }
    }
}

fn main() {
    let clients = Clients { all: RefCell::default(), handle: Handle::unattended(1) };
    let _app = fleeting::App::new().ws("/ws", clients);
}
