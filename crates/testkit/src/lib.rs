//! The tools Fleeting is tested with: clients and servers for tests, fuzz bodies, and second
//! implementations that share no code with what they check.
//!
//! The library, the store and the program depend on this package for their tests. It uses their public items, some of
//! which are hidden from the documentation because only this package needs them.

#![expect(missing_docs, reason = "not published: names and module headers suffice")]

/// Makes [`Limits`](fleeting::Limits) that differ from the default in the named fields.
///
/// `limits! { body_bytes: 40, headers: 3 }`. With `from LIMITS;` in front they differ from `LIMITS` instead.
#[macro_export]
macro_rules! limits {
    (from $base:expr; $($name:ident: $value:expr),+ $(,)?) => {{
        let mut limits = $base;
        $(limits.$name = $value;)+
        limits
    }};
    ($($name:ident: $value:expr),+ $(,)?) => {
        $crate::limits! { from ::fleeting::Limits::default(); $($name: $value),+ }
    };
}

pub mod client;
pub mod fuzz;
pub mod http1;
pub mod http2;
pub mod limited;
pub mod on_drop;
pub mod random;
pub mod redis;
pub mod server;
pub mod sigpipe;
#[cfg(feature = "tls")]
pub mod tls;
pub mod ws;

/// Compiles the examples in the README.
#[doc = include_str!("../../../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctests;
