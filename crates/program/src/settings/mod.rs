//! What the program is started with: the command line, the environment and a file become [`Settings`].

mod args;
mod file;
mod reference;
mod sources;
mod values;

pub(crate) use args::{Asked, asked};
pub(crate) use sources::gather;
pub(crate) use values::{Place, Settings};
