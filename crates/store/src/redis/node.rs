//! The names of nodes, which are the servers that share a Redis.

use std::fmt;

/// The largest length of a node name, in bytes.
pub(super) const NODE_BYTES_MAX: usize = 64;

/// Why a node name is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// The name is empty or longer than this many bytes.
    Length(usize),
    /// The name contains a control character.
    Control,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Length(max) => write!(f, "the name of a node must have 1 to {max} bytes"),
            NodeError::Control => f.write_str("the name of a node must contain no control characters"),
        }
    }
}

impl std::error::Error for NodeError {}

/// Checks whether [`RedisBroker::new`](super::RedisBroker::new) accepts a node name.
///
/// # Errors
/// [`NodeError`] if the name does not have 1 to 64 bytes or contains a control character.
pub fn check_node(node: &str) -> Result<(), NodeError> {
    if !(1..=NODE_BYTES_MAX).contains(&node.len()) {
        return Err(NodeError::Length(NODE_BYTES_MAX));
    }
    if node.chars().any(char::is_control) { Err(NodeError::Control) } else { Ok(()) }
}
