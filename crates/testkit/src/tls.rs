//! A client's side of TLS, on bytes: it encrypts what a test sends, and decrypts what a server has written.

use fleeting::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore};
use std::io::{ErrorKind, Read};
use std::sync::{Arc, OnceLock};

/// A certificate for `localhost` that was made for this process, as a server and a client need it.
pub struct Certificate {
    pub server: Tls,
    client: Arc<ClientConfig>,
}

impl Certificate {
    /// Returns the one of this process.
    pub fn get() -> &'static Certificate {
        static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
        CERTIFICATE.get_or_init(|| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
            let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            let options =
                Tls::options().certificate_pem(chain.as_bytes(), key.as_bytes()).expect("it is PEM");
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(made.cert.der().to_vec())).expect("a certificate");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let client = client.expect("versions").with_root_certificates(roots).with_no_client_auth();
            Certificate { server: options.build().expect("they belong together"), client: Arc::new(client) }
        })
    }
}

/// A client.
pub struct TlsClient {
    connection: ClientConnection,
}

impl TlsClient {
    /// Makes a client that trusts [`Certificate`].
    pub fn new() -> TlsClient {
        let name = ServerName::try_from("localhost").expect("a name");
        let config = Certificate::get().client.clone();
        TlsClient { connection: ClientConnection::new(config, name).expect("a client") }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns the records that it sends now.
    pub fn take_records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).expect("a vector takes everything");
        }
        records
    }

    /// Decrypts records. Returns what was in them.
    ///
    /// # Errors
    /// They are not those of a server that keeps to the protocol, or it has sent an alert.
    pub fn read(&mut self, mut records: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plaintext = Vec::new();
        while !records.is_empty() {
            self.connection.read_tls(&mut records).expect("a slice can be read");
            self.connection.process_new_packets()?;
            match self.connection.reader().read_to_end(&mut plaintext) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "nothing else is missing"),
            }
        }
        Ok(plaintext)
    }
}

impl Default for TlsClient {
    fn default() -> TlsClient {
        TlsClient::new()
    }
}
