//! A message, as sessions and subscribers receive and send it.

/// A complete, unmasked message (RFC 6455 §5.6).
///
/// ```
/// use fleeting::Message;
/// use fleeting::ws::Opcode;
///
/// let message = Message::Text("hello");
/// assert_eq!((message.opcode(), message.bytes()), (Opcode::Text, &b"hello"[..]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'m> {
    /// UTF-8 text.
    Text(&'m str),
    /// Any bytes.
    Binary(&'m [u8]),
}

impl<'m> Message<'m> {
    /// Returns the payload.
    pub fn bytes(&self) -> &'m [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// Returns the opcode of the message's first frame.
    pub fn opcode(&self) -> super::Opcode {
        match self {
            Message::Text(_) => super::Opcode::Text,
            Message::Binary(_) => super::Opcode::Binary,
        }
    }
}
