//! What a server's frames mean to a WebSocket client: whole messages, and what the client answers by itself.
//!
//! It knows no connection. Its invariant: messages are returned in the order in which the server has sent them, and
//! nothing is accepted after a Close.

use super::wire::{Malformed, client_frame, frame};
use std::collections::VecDeque;

/// What a server has sent over a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping, and its payload. Only [silent](super::WebSocketRequest::silent) clients see it; others answer it.
    Ping(Vec<u8>),
    /// A pong, and its payload.
    Pong(Vec<u8>),
    /// A Close: its code, if it has one, and its reason (RFC 6455 §5.5.1).
    Close(Option<u16>, String),
    /// The connection has ended.
    End,
}

/// The frames of a server that have arrived.
#[derive(Debug)]
pub(super) struct Messages {
    received: VecDeque<Received>,
    /// The fragments of a message so far, and the opcode of the first.
    fragments: Option<(u8, Vec<u8>)>,
    /// The client answers nothing by itself.
    is_silent: bool,
    has_closed: bool,
    /// The client has sent a Close itself.
    pub(super) sent_close: bool,
    pub(super) malformed: Option<String>,
}

pub(super) const FIN: u8 = 0x80;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;
const RESERVED: u8 = 0x70;

/// RFC 6455 §5.3 demands a mask that nobody can guess. In a test nobody tries to.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Returns a whole message or a control frame, as a client sends it.
pub(super) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | opcode, payload, MASK)
}

impl Messages {
    pub(super) fn new(is_silent: bool) -> Messages {
        Messages {
            received: VecDeque::new(),
            fragments: None,
            is_silent,
            has_closed: false,
            sent_close: false,
            malformed: None,
        }
    }

    /// Takes the whole frames from the front of `bytes`. Returns what the client answers by itself.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut at = 0;
        while self.malformed.is_none() {
            match self.next(&bytes[at..], &mut answers) {
                Ok(Some(consumed)) => at += consumed,
                Ok(None) => break,
                Err(error) => self.malformed = Some(error),
            }
        }
        bytes.drain(..at);
        answers
    }

    fn next(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Result<Option<usize>, String> {
        let Some(found) = frame(bytes).map_err(|error: Malformed| error.to_string())? else {
            return Ok(None);
        };
        let (first, consumed) = (found.first, found.payload.end);
        let payload = &bytes[found.payload];
        if self.has_closed {
            return Err("a frame after the Close".into());
        }
        if first & RESERVED != 0 {
            return Err("a frame with a reserved bit, which this client has not negotiated".into());
        }
        match (first & 0x0f, first & FIN != 0) {
            (CLOSE, true) => {
                let received = close(payload)?;
                self.has_closed = true;
                if !self.is_silent && !std::mem::replace(&mut self.sent_close, true) {
                    answers.extend(masked(CLOSE, &payload[..payload.len().min(2)]));
                }
                self.received.push_back(received);
            }
            (PING, true) if !self.is_silent => answers.extend(masked(PONG, payload)),
            (PING, true) => self.received.push_back(Received::Ping(payload.into())),
            (PONG, true) => self.received.push_back(Received::Pong(payload.into())),
            (opcode @ (TEXT | BINARY), fin) if self.fragments.is_none() => {
                self.fragments = Some((opcode, payload.into()));
                self.complete(fin)?;
            }
            (0, fin) if self.fragments.is_some() => {
                self.fragments.iter_mut().for_each(|(_, fragments)| fragments.extend_from_slice(payload));
                self.complete(fin)?;
            }
            _ => return Err(format!("a frame that must not come here; its first byte is {first:#04x}")),
        }
        Ok(Some(consumed))
    }

    /// Ends the message, if its last fragment has arrived.
    fn complete(&mut self, fin: bool) -> Result<(), String> {
        let whole = if fin { self.fragments.take() } else { None };
        if let Some((opcode, message)) = whole {
            self.received.push_back(match opcode {
                TEXT => Received::Text(text(message)?),
                _ => Received::Binary(message),
            });
        }
        Ok(())
    }

    /// Takes what was received first.
    pub(super) fn pop(&mut self) -> Option<Received> {
        self.received.pop_front()
    }
}

fn close(payload: &[u8]) -> Result<Received, String> {
    match payload {
        [] => Ok(Received::Close(None, String::new())),
        [_] => Err("a Close with half a code".into()),
        [a, b, reason @ ..] => {
            Ok(Received::Close(Some(u16::from_be_bytes([*a, *b])), text(reason.to_vec())?))
        }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("text that is not UTF-8: \"{}\"", error.as_bytes().escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::super::wire::server_frame;
    use super::*;

    fn read(is_silent: bool, frames: &[Vec<u8>]) -> (Vec<Received>, Vec<u8>, Option<String>) {
        let mut messages = Messages::new(is_silent);
        let answers = messages.read(&mut frames.concat());
        (std::iter::from_fn(|| messages.pop()).collect(), answers, messages.malformed)
    }

    #[test]
    fn messages_are_joined_and_control_frames_come_between_their_fragments() {
        let frames = [
            server_frame(0x01, b"h\xc3"),
            server_frame(0x8a, b"late"),
            server_frame(0x80, b"\xa9"),
            server_frame(0x82, b"\0"),
            server_frame(0x88, b"\x03\xe9bye"),
        ];
        let (received, answers, malformed) = read(false, &frames);
        let close = Received::Close(Some(1001), "bye".into());
        assert_eq!(
            received,
            [Received::Pong(b"late".into()), Received::Text("hé".into()), Received::Binary(vec![0]), close]
        );
        assert_eq!((answers, malformed), (masked(CLOSE, b"\x03\xe9"), None));
    }

    #[test]
    fn a_silent_client_answers_nothing() {
        let frames = [server_frame(0x89, b"p"), server_frame(0x88, b"")];
        let (received, answers, _) = read(true, &frames);
        assert_eq!((received.len(), &received[0], answers.len()), (2, &Received::Ping(b"p".into()), 0));
        assert_eq!(read(false, &frames[..1]), (vec![], masked(PONG, b"p"), None));
    }

    #[test]
    fn frames_that_break_the_rules_are_malformed() {
        for bad in [
            vec![server_frame(0x88, b""), server_frame(0x81, b"")],
            vec![server_frame(0xc1, b"")],
            vec![server_frame(0x80, b"")],
            vec![server_frame(0x01, b""), server_frame(0x81, b"")],
            vec![server_frame(0x81, b"\xff")],
            vec![server_frame(0x88, b"x")],
            vec![server_frame(0x08, b"")],
            vec![server_frame(0x83, b"")],
        ] {
            assert!(read(false, &bad).2.is_some(), "{bad:?}");
        }
    }
}
