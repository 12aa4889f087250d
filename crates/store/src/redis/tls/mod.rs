//! TLS to a server. With the feature `tls` it is rustls. Without it nothing can ask for TLS, because no such address is
//! parsed; both variants have the same items.

#[cfg(feature = "tls")]
mod with_rustls;
#[cfg(not(feature = "tls"))]
mod without;

#[cfg(feature = "tls")]
pub(super) use with_rustls::{Session, Tls};
#[cfg(not(feature = "tls"))]
pub(super) use without::{Session, Tls};
