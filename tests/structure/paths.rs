//! Resolves relative paths within the repository.

use std::path::{Component, Path, PathBuf};

/// Resolves `.` and `..` in `path`. Returns `None` if it leads out of the repository.
pub fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !out.pop() => return None,
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    Some(out)
}
