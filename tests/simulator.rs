//! A stream, an application and clients' scripts for tests of the engine without a socket.

#![allow(dead_code, reason = "the simulator, which uses all of it, comes on top")]

pub mod random;
pub mod script;
pub mod service;
pub mod wire;
