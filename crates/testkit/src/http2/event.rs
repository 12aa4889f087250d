//! What the frames of a peer mean to the owner of a session.

use super::Field;

/// What a frame means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole field section: a head or trailers.
    Fields {
        stream: u32,
        fields: Vec<Field>,
        end: bool,
    },
    /// `counted` bytes of the windows are used up, padding included.
    Data {
        stream: u32,
        data: Vec<u8>,
        counted: u32,
        end: bool,
    },
    Reset {
        stream: u32,
        code: u32,
    },
    GoAway {
        last_stream: u32,
        code: u32,
        debug: Vec<u8>,
    },
    Settings,
    Pong([u8; 8]),
    /// A window has become larger.
    Window,
    /// Nothing that an owner needs to know.
    Nothing,
}
