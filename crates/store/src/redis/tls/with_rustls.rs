//! TLS 1.2 and 1.3 with rustls: the authorities to trust, one connection's records, and what their errors mean to an operator.
//!
//! It knows no socket. Invariant: no server is accepted whose certificate was not verified.

use crate::redis::url::TlsFiles;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The authorities to trust, and the certificate of this client.
pub(in crate::redis) struct Tls {
    files: TlsFiles,
    /// Made of the files when it is first needed.
    config: Mutex<Option<Arc<ClientConfig>>>,
}

/// The client's side of one connection.
pub(in crate::redis) struct Session(ClientConnection);

const SECONDS_A_DAY: u64 = 86_400;

impl Tls {
    pub(in crate::redis) fn new(files: TlsFiles) -> Tls {
        Tls { files, config: Mutex::default() }
    }

    /// Reads the files, unless they have been read.
    ///
    /// # Errors
    /// If a file cannot be used, or the system trusts no authority. The text is a whole message.
    pub(in crate::redis) fn load(&self) -> io::Result<()> {
        self.config().map(drop)
    }

    /// Lets the files be read again for the next connection, because they may have been replaced.
    pub(in crate::redis) fn forget(&self) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Begins a connection to a server that must prove to be `host`, a name or an address.
    pub(in crate::redis) fn session(&self, host: &str) -> io::Result<Session> {
        let name = ServerName::try_from(host.to_string());
        let name = name.map_err(|_| invalid(format!("no certificate can be for its host `{host}`")))?;
        let connection = ClientConnection::new(self.config()?, name);
        Ok(Session(connection.map_err(|error| invalid(describe(&error)))?))
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*config {
            return Ok(config.clone());
        }
        let made = Arc::new(make_config(&self.files).map_err(invalid)?);
        *config = Some(made.clone());
        Ok(made)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn make_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let roots = match &files.authorities {
        Some(file) => authorities_in(file)?,
        None => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match &files.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates_in(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
                pem::Error::NoItemsFound => unreadable(key, &"it holds no private key"),
                error => unreadable(key, &error),
            })?;
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                format!("{} and {} cannot be used: {error}", certificate.display(), key.display())
            })?
        }
    };
    // OpenSSL refuses to resume a session whose client has shown a certificate, if the server does not keep sessions
    // (`tls-session-caching no`). A resumed session would also leave out the server's certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates_in(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(file, &error))?;
    if found.is_empty() { Err(unreadable(file, &"it holds no certificate")) } else { Ok(found) }
}

fn authorities_in(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(file)? {
        roots.add(certificate).map_err(|error| unreadable(file, &error))?;
    }
    Ok(roots)
}

/// Returns the authorities that the system trusts. The variables SSL_CERT_FILE and SSL_CERT_DIR override where they are.
fn system_authorities() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "the system has no certificates of authorities{why}: name a file of them with `ca`"
        ));
    }
    Ok(roots)
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}

impl Session {
    pub(in crate::redis) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Returns decrypted bytes that have arrived. `None` if more must arrive, 0 at the end of the stream.
    pub(in crate::redis) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.reader().read(into) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The end without a close_notify. Here that is no attack: each reply says how long it is.
            Err(error) => Err(error.kind().into()),
        }
    }

    /// Encrypts as many of the bytes as there is room for. Returns their number.
    pub(in crate::redis) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.writer().write(bytes)
    }

    /// Reads once, and processes the records that are complete. Returns how many bytes were read, 0 at the end.
    ///
    /// # Errors
    /// If the peer breaks the protocol or is not to be trusted. It should get the records that wait then.
    pub(in crate::redis) fn read_records(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        let mut from = from;
        let read = self.0.read_tls(&mut from)?;
        self.0.process_new_packets().map_err(|error| invalid(describe(&error)))?;
        Ok(read)
    }

    /// Takes the records that are to be sent.
    pub(in crate::redis) fn take_records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut records).expect("memory takes everything");
        }
        records
    }
}

/// Describes an error as a clause that can follow "the store is unavailable: ".
fn describe(error: &Error) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Other, UnknownIssuer, UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    match error {
        Error::InvalidCertificate(wrong) => match wrong {
            // The last two: an authority that is trusted has the same name, and another key.
            UnknownIssuer | BadSignature | UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                "its certificate was not issued by an authority that is trusted here; `ca` names a file of authorities"
                    .into()
            }
            NotValidForNameContext { expected, presented } if presented.is_empty() => {
                format!("its certificate is not for {}: it names no host", expected.to_str())
            }
            NotValidForNameContext { expected, presented } => {
                let presented: Vec<_> = presented.iter().map(|name| name_in(name)).collect();
                format!("its certificate is not for {}, but for {}", expected.to_str(), presented.join(", "))
            }
            NotValidForName => "its certificate is for another host".into(),
            ExpiredContext { time, not_after } => {
                let days = time.as_secs().saturating_sub(not_after.as_secs()) / SECONDS_A_DAY;
                format!("its certificate expired {days} days ago")
            }
            Expired => "its certificate has expired".into(),
            NotValidYet | NotValidYetContext { .. } => {
                "its certificate is not valid yet: are the clocks right?".into()
            }
            Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is one of an authority (CA:TRUE), which a server must not use itself".into()
            }
            other => format!("its certificate cannot be accepted: {other}"),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge) => {
            "it does not speak TLS on this port".into()
        }
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it demands a certificate from its clients: name the files with `cert` and `key`".into()
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA => {
                format!("it does not accept the certificate of this client (alert {alert:?})")
            }
            alert => format!("it has refused TLS (alert {alert:?})"),
        },
        error => format!("TLS failed: {error}"),
    }
}

/// Returns the host in a name as rustls prints it, such as `DnsName("a.example")`.
fn name_in(printed: &str) -> &str {
    let inner = printed.split_once('(').map_or(printed, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}
