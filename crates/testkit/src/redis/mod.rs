//! A real Redis for a test, a proxy in front of it, and a broker that writes down what arrives.

pub mod node;
pub mod proxy;
pub mod server;
