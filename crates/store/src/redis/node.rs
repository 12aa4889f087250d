//! The names of servers.

use std::fmt;

/// Bytes that the name of a server may have.
pub(super) const NODE_BYTES_MAX: usize = 64;

/// Why a server cannot have such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// It is empty, or has more bytes than this.
    Length(usize),
    /// It holds a control character.
    Control,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Length(max) => write!(f, "the name of a node has 1 to {max} bytes"),
            NodeError::Control => f.write_str("the name of a node holds no control characters"),
        }
    }
}

impl std::error::Error for NodeError {}

/// Sees whether a server may have this name.
///
/// # Errors
/// [`NodeError`].
pub fn check_node(node: &str) -> Result<(), NodeError> {
    if !(1..=NODE_BYTES_MAX).contains(&node.len()) {
        return Err(NodeError::Length(NODE_BYTES_MAX));
    }
    if node.chars().any(char::is_control) { Err(NodeError::Control) } else { Ok(()) }
}
