// A connection's name made of the index of its record, which others use after it.

use fleeting::{ConnId, Handle, Message};

fn main() {
    let handle = Handle::unattended(1);
    let first = ConnId { worker: 0, index: 0, generation: 0 };
    let _ = handle.send(first, Message::Text("for the first"));
}
