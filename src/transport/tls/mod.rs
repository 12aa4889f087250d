//! TLS: a stream on top of another one.
//!
//! Only this folder names rustls. Each file knows less than the one before: `acceptor` begins connections, `stream` is one
//! of them, `shared` has what those of a worker share, `session` knows records and no stream, `records` only bytes. `config`
//! has the certificates, `algorithms` what they are used with.

mod acceptor;
mod algorithms;
mod config;
mod records;
mod session;
mod shared;
mod stream;

pub use acceptor::TlsAcceptor;
pub use config::{Tls, TlsError, TlsOptions};
pub use stream::TlsStream;
