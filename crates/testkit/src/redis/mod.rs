//! A real Redis server for a test, a proxy in front of it, a server that answers what the test says, and a broker that
//! records what arrives.

pub mod fake;
pub mod node;
pub mod proxy;
pub mod server;
