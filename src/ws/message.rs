//! A message, as it is handed from one to the other.

/// A message (RFC 6455 §5.6), whole and unmasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'m> {
    /// UTF-8 text.
    Text(&'m str),
    /// Any bytes.
    Binary(&'m [u8]),
}

impl<'m> Message<'m> {
    /// The payload.
    pub fn bytes(&self) -> &'m [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The opcode of its (first) frame.
    pub fn opcode(&self) -> super::Opcode {
        match self {
            Message::Text(_) => super::Opcode::Text,
            Message::Binary(_) => super::Opcode::Binary,
        }
    }
}
