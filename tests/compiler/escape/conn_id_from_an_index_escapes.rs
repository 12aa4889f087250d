// A ConnId is made from the index of a connection's record, which later connections reuse.

use fleeting::{ConnId, Handle, Message};

fn main() {
    let handle = Handle::unattended(1);
    let first = ConnId { worker: 0, index: 0, generation: 0 };
    let _ = handle.send(first, Message::Text("for the first"));
}
