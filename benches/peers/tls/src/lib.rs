//! TLS for the peers on tokio: `PEER PORT --tls-cert FILE --tls-key FILE`.

use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{version, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Returns what accepts TLS if the command line names a certificate and a key.
pub fn acceptor() -> Option<TlsAcceptor> {
    acceptor_for(&[])
}

/// The same, with protocols to choose from by ALPN (RFC 7301).
pub fn acceptor_for(protocols: &[&str]) -> Option<TlsAcceptor> {
    let value_of = |flag: &str| std::env::args().skip_while(|a| a != flag).nth(1);
    let (cert, key) = (value_of("--tls-cert")?, value_of("--tls-key")?);
    let chain = CertificateDer::pem_file_iter(cert).expect("--tls-cert is a file of PEM");
    let chain = chain.collect::<Result<_, _>>().expect("--tls-cert has certificates");
    let key = PrivateKeyDer::from_pem_file(key).expect("--tls-key has a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Some(TlsAcceptor::from(Arc::new(config)))
}
