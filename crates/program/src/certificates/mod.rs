//! The certificates that the server shows: read from files, and read again when those change.
//!
//! It knows no connection. Its invariant: a certificate and its key are replaced together, and only by a pair that fits.

mod development;
mod directory;

use crate::failure::Failure;
use crate::settings::{CertificatePlace, TlsSettings};
pub(crate) use development::make;
use fleeting::{Tls, TlsError, TlsOptions};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The certificates in use, and what they were read from.
pub(crate) struct Certificates {
    pub(crate) tls: Tls,
    source: Mutex<Source>,
}

struct Source {
    settings: TlsSettings,
    /// The files as they were when they were last read.
    read: State,
    /// The files as they were at the last look.
    seen: State,
}

/// The files with certificates and keys, or why they are not known.
type State = Result<Vec<Version>, String>;

/// A file, and what tells a replaced or rewritten one from it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    /// Inode, bytes, and time of the last change in seconds and nanoseconds. `None` if there is no such file.
    is: Option<(u64, u64, i64, i64)>,
}

impl Source {
    /// `state` is that of the files before they were read.
    fn new(settings: &TlsSettings, state: State) -> Source {
        Source { settings: settings.clone(), read: state.clone(), seen: state }
    }
}

impl Certificates {
    /// Reads the certificates and keys. Returns `None` if there are none.
    pub(crate) fn open(settings: &TlsSettings) -> Result<Option<Certificates>, Failure> {
        if !settings.are_set() {
            return Ok(None);
        }
        let state = state(settings);
        let tls = options(settings).and_then(TlsOptions::build);
        let tls = tls.map_err(|error| Failure::Runtime(error.to_string()))?;
        Ok(Some(Certificates { tls, source: Mutex::new(Source::new(settings, state)) }))
    }

    /// Reads the certificates and keys that `settings` name.
    ///
    /// # Errors
    /// They cannot be used; those before stay in use.
    pub(crate) fn reload(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        let source = &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state(settings);
        self.tls.replace(options(settings)?)?;
        *source = Source::new(settings, state);
        Ok(())
    }

    /// Reads the files again if they have changed since they were read, and not since the last look: then whoever replaces
    /// them is done. Returns a report if it has read them.
    pub(crate) fn look(&self) -> Option<String> {
        let source = &mut *self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state(&source.settings);
        let has_settled = now == source.seen;
        source.seen = now;
        if source.seen == source.read || !has_settled {
            return None;
        }
        source.read = source.seen.clone();
        Some(match options(&source.settings).and_then(|options| self.tls.replace(options)) {
            Ok(()) => "replaced the certificates: their files have changed".into(),
            Err(error) => format!("the certificates were not replaced: {error}"),
        })
    }
}

fn options(settings: &TlsSettings) -> Result<TlsOptions, TlsError> {
    let add = |options: TlsOptions, (chain, key): (PathBuf, PathBuf)| options.certificate(chain, key);
    pairs(settings)?.into_iter().try_fold(Tls::options(), add)
}

/// Returns each certificate with its key.
fn pairs(settings: &TlsSettings) -> Result<Vec<(PathBuf, PathBuf)>, TlsError> {
    let mut pairs = Vec::new();
    for place in settings.places() {
        match place {
            CertificatePlace::Files { chain, key } => pairs.push((chain.into(), key.into())),
            CertificatePlace::Directory(path) => {
                let found = directory::pairs(path).map_err(|why| TlsError::Pem(path.into(), why))?;
                pairs.extend(found);
            }
        }
    }
    Ok(pairs)
}

fn state(settings: &TlsSettings) -> State {
    let pairs = pairs(settings).map_err(|error| error.to_string())?;
    Ok(pairs.into_iter().flat_map(|(chain, key)| [chain, key]).map(|path| version(&path)).collect())
}

fn version(path: &Path) -> Version {
    let of = |file: fs::Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
    Version { path: path.into(), is: fs::metadata(path).ok().map(of) }
}
