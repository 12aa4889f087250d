//! Which certificates the server shows, and where their keys are.
//!
//! It opens no file. Its invariant: the certificates and the keys are paired in the order in which they are named.

use std::path::{Path, PathBuf};

/// The files of the certificates and of their keys. Without any, the server speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsFiles {
    certificates: Vec<PathBuf>,
    keys: Vec<PathBuf>,
}

impl TlsFiles {
    /// Whether there are any.
    pub(crate) fn are_set(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Returns each certificate with its key.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.certificates.iter().map(PathBuf::as_path).zip(self.keys.iter().map(PathBuf::as_path))
    }

    /// Returns the scheme of the addresses that it listens on.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.are_set() { "https" } else { "http" }
    }

    /// Replaces the files of the certificates.
    pub(super) fn set_certificates(&mut self, files: Vec<String>) -> Result<(), String> {
        self.certificates = paths(files)?;
        Ok(())
    }

    /// Replaces the files of the keys.
    pub(super) fn set_keys(&mut self, files: Vec<String>) -> Result<(), String> {
        self.keys = paths(files)?;
        Ok(())
    }

    /// Checks that every certificate has a key.
    pub(super) fn check(&self) -> Result<(), String> {
        let (certificates, keys) = (self.certificates.len(), self.keys.len());
        if certificates == keys {
            return Ok(());
        }
        Err(format!(
            "{certificates} certificate(s) and {keys} key(s); expected a --tls-key for each --tls-cert, in the same order"
        ))
    }
}

fn paths(files: Vec<String>) -> Result<Vec<PathBuf>, String> {
    if files.iter().any(String::is_empty) {
        return Err("the name is empty; expected the path of a PEM file".into());
    }
    Ok(files.into_iter().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_and_keys_are_paired_in_order() {
        let mut files = TlsFiles::default();
        assert_eq!((files.scheme(), files.check()), ("http", Ok(())));
        files.set_certificates(vec!["a.pem".into(), "b.pem".into()]).unwrap();
        assert!(files.check().unwrap_err().starts_with("2 certificate(s) and 0 key(s)"));
        files.set_keys(vec!["a.key".into(), "b.key".into()]).unwrap();
        assert_eq!((files.scheme(), files.check()), ("https", Ok(())));
        let pairs: Vec<_> = files.pairs().collect();
        assert_eq!(pairs, [("a.pem".as_ref(), "a.key".as_ref()), ("b.pem".as_ref(), "b.key".as_ref())]);
        assert!(files.set_keys(vec![String::new()]).is_err());
    }
}
