//! The command line, the environment and the configuration file, and the [`Settings`] that they add up to.
//!
//! Nothing here starts anything: no file except the configuration file is opened, and no address is resolved.

mod args;
mod file;
mod help;
mod parse;
mod proxies;
mod services;
mod sites;
mod sources;
mod tls;
mod values;

pub(crate) use args::{Invocation, parse_command_line};
pub(crate) use services::Service;
#[cfg(test)]
pub(crate) use services::Services;
pub(crate) use sources::gather;
pub(crate) use tls::{CertificatePlace, TlsSettings};
pub(crate) use values::{Settings, StoreLocation};
