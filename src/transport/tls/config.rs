//! Certificates and keys, and what a server demands of its clients.
//!
//! It knows no connection. Its invariants: a certificate and its key are replaced together, or not at all; a ticket of one
//! configuration is not accepted under another that checks clients differently (CVE-2025-23419).

use super::algorithms::provider;
use crate::config::HttpVersions;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, ParsedCertificate, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// What a server needs for TLS: certificates with their keys, and which clients it accepts.
///
/// Clones share one configuration, which [`replace`](Tls::replace) changes for all of them.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Current>>,
}

struct Current {
    configs: Configs,
    tickets: Arc<dyn ProducesTickets>,
    clients: Clients,
}

/// One configuration for each choice of versions that clients may be offered (RFC 7301).
struct Configs {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
    both: Arc<ServerConfig>,
}

impl Configs {
    fn new(config: &ServerConfig) -> Configs {
        let offering = |protocols: &[&str]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            Arc::new(config)
        };
        Configs {
            http1: offering(&["http/1.1"]),
            http2: offering(&["h2"]),
            both: offering(&["h2", "http/1.1"]),
        }
    }
}

/// Which clients are accepted, by their certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Clients {
    /// All; none is asked for a certificate.
    #[default]
    Any,
    /// Those whose certificate, if they have one, is signed by one of these authorities.
    Signed { authorities: Vec<CertificateDer<'static>>, is_required: bool },
}

/// The parts of a [`Tls`].
#[derive(Debug, Default)]
pub struct TlsOptions {
    certificates: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    clients: Clients,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not PEM (RFC 7468).
    Pem(PathBuf, String),
    /// A certificate cannot be used, or does not belong to its key.
    Certificate(String),
    /// There is no certificate.
    None,
    /// The certificates of the authorities cannot be used.
    Authorities(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Pem(path, error) => write!(f, "{}: {error}", path.display()),
            TlsError::Certificate(error) => write!(f, "the certificate cannot be used: {error}"),
            TlsError::None => f.write_str("there is no certificate"),
            TlsError::Authorities(error) => {
                write!(f, "the certificates of the authorities cannot be used: {error}")
            }
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsOptions {
    /// Adds the certificate chain and the private key in these PEM files (RFC 7468). The first one added is used for clients
    /// that name no server, or an unknown one (RFC 6066 §3).
    ///
    /// # Errors
    /// [`TlsError::Pem`] if a file cannot be read, or holds no certificate or no key.
    pub fn certificate(
        mut self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<TlsOptions, TlsError> {
        let key = read(key.as_ref(), key_in)?;
        self.certificates.push((read(chain.as_ref(), certificates_in)?, key));
        Ok(self)
    }

    /// Adds a certificate chain and its private key, as [`certificate`](TlsOptions::certificate) does, from PEM in memory.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if there is no certificate or no key.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Result<TlsOptions, TlsError> {
        let chain = certificates_in(chain).map_err(TlsError::Certificate)?;
        self.certificates.push((chain, key_in(key).map_err(TlsError::Certificate)?));
        Ok(self)
    }

    /// Asks clients for a certificate that is signed by one of the authorities in this PEM file. With `is_required` a client
    /// without one is refused.
    ///
    /// # Errors
    /// [`TlsError::Pem`] if the file cannot be read or holds no certificate.
    pub fn clients(
        mut self,
        authorities: impl AsRef<Path>,
        is_required: bool,
    ) -> Result<TlsOptions, TlsError> {
        let authorities = read(authorities.as_ref(), certificates_in)?;
        self.clients = Clients::Signed { authorities, is_required };
        Ok(self)
    }

    /// # Errors
    /// [`TlsError`] if a certificate cannot be used or does not belong to its key.
    pub fn build(self) -> Result<Tls, TlsError> {
        let tickets = tickets()?;
        let configs = self.configs(tickets.clone())?;
        let current = Current { configs, tickets, clients: self.clients };
        Ok(Tls { current: Arc::new(RwLock::new(current)) })
    }

    fn configs(&self, tickets: Arc<dyn ProducesTickets>) -> Result<Configs, TlsError> {
        let provider = Arc::new(provider());
        let resolver = Certificates::new(&self.certificates, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let builder = match &self.clients {
            Clients::Any => builder.with_no_client_auth(),
            Clients::Signed { authorities, is_required } => {
                let failed = |error: &dyn fmt::Display| TlsError::Authorities(error.to_string());
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone()).map_err(|error| failed(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = if *is_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(&error))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.ignore_client_order = true;
        config.ticketer = tickets;
        // Tickets need no memory here. One is enough: each connection that resumes gets another.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Configs::new(&config))
    }
}

impl Tls {
    /// Returns an empty configuration.
    pub fn options() -> TlsOptions {
        TlsOptions::default()
    }

    /// Uses `options` for connections from now on. Connections that are open are not affected. Clients may resume their
    /// sessions, unless other clients are accepted than before.
    ///
    /// # Errors
    /// [`TlsError`] if a certificate cannot be used or does not belong to its key; nothing changes then.
    pub fn replace(&self, options: TlsOptions) -> Result<(), TlsError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let tickets = if options.clients == current.clients { current.tickets.clone() } else { tickets()? };
        let configs = options.configs(tickets.clone())?;
        *current = Current { configs, tickets, clients: options.clients };
        Ok(())
    }

    /// Returns the configuration for clients that are offered these versions.
    pub(super) fn current(&self, http: HttpVersions) -> Arc<ServerConfig> {
        let configs = &self.current.read().unwrap_or_else(PoisonError::into_inner).configs;
        match http {
            HttpVersions::Http1 => configs.http1.clone(),
            HttpVersions::Http2 => configs.http2.clone(),
            HttpVersions::Both => configs.both.clone(),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Certificates and their keys, by the names in them.
#[derive(Debug)]
struct Certificates(Vec<Certificate>);

#[derive(Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    leaf: CertificateDer<'static>,
}

impl Certificates {
    fn new(
        pairs: &[(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)],
        provider: &CryptoProvider,
    ) -> Result<Certificates, TlsError> {
        if pairs.is_empty() {
            return Err(TlsError::None);
        }
        let certificate = |(chain, key): &(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)| {
            let key = CertifiedKey::from_der(chain.clone(), key.clone_key(), provider)
                .map_err(|error| TlsError::Certificate(error.to_string()))?;
            Ok(Certificate { key: Arc::new(key), leaf: chain[0].clone() })
        };
        Ok(Certificates(pairs.iter().map(certificate).collect::<Result<_, _>>()?))
    }
}

impl Certificate {
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        ParsedCertificate::try_from(&self.leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |certificate: &&Certificate| {
            certificate.key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named =
            name.and_then(|name| self.0.iter().filter(|certificate| certificate.is_for(&name)).find(usable));
        // If the client can use none, it gets the alert that says so (handshake_failure), not that its access is denied.
        let found = named.or_else(|| self.0.iter().find(usable)).or_else(|| self.0.first());
        found.map(|certificate| certificate.key.clone())
    }
}

fn tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    aws_lc_rs::Ticketer::new().map_err(|error| TlsError::Certificate(error.to_string()))
}

/// Reads a file of PEM.
fn read<T>(path: &Path, parse: fn(&[u8]) -> Result<T, String>) -> Result<T, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string());
    bytes.and_then(|bytes| parse(&bytes)).map_err(|why| TlsError::Pem(path.into(), why))
}

/// Returns the certificates in this PEM, of which there is at least one.
fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".into()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// Returns the first private key in this PEM.
fn key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())
}
