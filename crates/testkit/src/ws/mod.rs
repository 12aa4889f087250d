//! Streams of WebSocket frames: how to write them, what they mean, and a comparison with tungstenite.

pub mod corpus;
pub mod differential;
pub mod frames;
pub mod trace;
