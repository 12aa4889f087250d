//! Which certificates the server shows, where their keys are, and what clients without TLS are told.
//!
//! It reads no file. Its invariant: the certificates and the keys are paired in the order in which they are named.

use super::parse::{bad_value, positive};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// TLS. Without a certificate, the server speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TlsSettings {
    /// Files, and directories with files of certificates and keys.
    certificates: Vec<PathBuf>,
    keys: Vec<PathBuf>,
    /// The address where clients of plain HTTP are sent to this server.
    pub(crate) redirect_http: Option<String>,
    /// How long browsers are to use no plain HTTP with this host (RFC 6797 §6.1.1).
    pub(crate) hsts: Option<Duration>,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificatePlace<'a> {
    Files {
        chain: &'a Path,
        key: &'a Path,
    },
    /// A directory with any number of them.
    Directory(&'a Path),
}

impl TlsSettings {
    /// Whether there are any.
    pub(crate) fn are_set(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Returns where the certificates are. It asks the system which are directories.
    pub(crate) fn places(&self) -> impl Iterator<Item = CertificatePlace<'_>> {
        let mut keys = self.keys.iter();
        self.certificates.iter().filter_map(move |chain| {
            if chain.is_dir() {
                Some(CertificatePlace::Directory(chain))
            } else {
                Some(CertificatePlace::Files { chain, key: keys.next()? })
            }
        })
    }

    /// Whether something differs that cannot change while the server runs.
    pub(super) fn needs_restart_for(&self, new: &TlsSettings) -> bool {
        self.are_set() != new.are_set() || self.hsts != new.hsts || self.redirect_http != new.redirect_http
    }

    /// Returns the scheme of the addresses that it listens on.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.are_set() { "https" } else { "http" }
    }

    /// Sets how long browsers are to use no plain HTTP.
    pub(super) fn set_hsts(&mut self, value: &str) -> Result<(), String> {
        let time = positive(value).filter(|time| time.as_secs() > 0);
        self.hsts = Some(
            time.ok_or_else(|| bad_value(value, "a time of at least a second, such as 8760h for a year"))?,
        );
        Ok(())
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

    /// Checks that every certificate has a key, and that what is for TLS is not set without a certificate. Its error begins
    /// with the flag.
    pub(super) fn check(&self) -> Result<(), String> {
        let certificates = self.certificates.iter().filter(|path| !path.is_dir()).count();
        let keys = self.keys.len();
        if certificates != keys {
            return Err(format!(
                "--tls-cert: {certificates} certificate(s) and {keys} key(s); expected a --tls-key for each --tls-cert that is a \
                 file, in the same order"
            ));
        }
        let useless = [("--redirect-http", self.redirect_http.is_some()), ("--hsts", self.hsts.is_some())];
        match useless.iter().find(|(_, is_set)| *is_set && !self.are_set()) {
            Some((flag, _)) => Err(format!("{flag}: there is no TLS; expected a --tls-cert, too")),
            None => Ok(()),
        }
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
        let mut files = TlsSettings::default();
        assert_eq!((files.scheme(), files.check()), ("http", Ok(())));
        files.set_certificates(vec!["a.pem".into(), "b.pem".into()]).unwrap();
        assert!(files.check().unwrap_err().starts_with("--tls-cert: 2 certificate(s) and 0 key(s)"));
        files.set_keys(vec!["a.key".into(), "b.key".into()]).unwrap();
        assert_eq!((files.scheme(), files.check()), ("https", Ok(())));
        let pair = |chain: &'static str, key: &'static str| CertificatePlace::Files {
            chain: chain.as_ref(),
            key: key.as_ref(),
        };
        assert_eq!(files.places().collect::<Vec<_>>(), [pair("a.pem", "a.key"), pair("b.pem", "b.key")]);
        assert!(files.set_keys(vec![String::new()]).is_err());
        // A directory needs no key.
        let folder = env!("CARGO_MANIFEST_DIR");
        files.set_certificates(vec!["a.pem".into(), folder.into(), "b.pem".into()]).unwrap();
        assert_eq!(files.check(), Ok(()));
        let expected =
            [pair("a.pem", "a.key"), CertificatePlace::Directory(folder.as_ref()), pair("b.pem", "b.key")];
        assert_eq!(files.places().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_for_tls_needs_a_certificate() {
        let mut tls = TlsSettings::default();
        tls.set_hsts("8760h").unwrap();
        assert_eq!(tls.check(), Err("--hsts: there is no TLS; expected a --tls-cert, too".into()));
        tls.set_certificates(vec!["a.pem".into()]).unwrap();
        tls.set_keys(vec!["a.key".into()]).unwrap();
        assert_eq!((tls.check(), tls.hsts), (Ok(()), Some(Duration::from_secs(31_536_000))));
        for bad in ["999ms", "0s", "a year"] {
            assert!(tls.set_hsts(bad).unwrap_err().contains("at least a second"), "{bad}");
        }
    }
}
