//! A real Redis server for a test, a proxy in front of it, and a broker that records what arrives.

pub mod node;
pub mod proxy;
pub mod server;
