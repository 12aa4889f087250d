//! The algorithms that a server offers.
//!
//! It knows no certificate and no connection. Its invariant: the same algorithms are offered on every processor, in the same order.

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns the algorithms that are the fastest on this processor.
pub(super) fn provider() -> CryptoProvider {
    provider_with(fastest())
}

/// Returns the algorithms with these cipher suites, the fastest first: AES with 128 bits, then 256, then ChaCha20, which only
/// processors without instructions for AES do faster.
fn provider_with(cipher_suites: &[SupportedCipherSuite]) -> CryptoProvider {
    let mut cipher_suites = cipher_suites.to_vec();
    cipher_suites.sort_by_key(|suite| {
        let keys = ["AES_128", "AES_256"];
        let name = format!("{:?}", suite.suite());
        keys.iter().position(|key| name.contains(key)).unwrap_or(keys.len())
    });
    CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }
}

/// Returns the cipher suites of aws-lc or of ring. Only ring uses wide instructions for AES (VAES) on processors without AVX-512,
/// such as AMD's Zen 3.
fn fastest() -> &'static [SupportedCipherSuite] {
    #[cfg(all(feature = "ring", target_arch = "x86_64"))]
    if is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("avx2")
        && !is_x86_feature_detected!("avx512f")
    {
        return rustls::crypto::ring::DEFAULT_CIPHER_SUITES;
    }
    aws_lc_rs::DEFAULT_CIPHER_SUITES
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{
        ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
        SideData,
    };
    use std::io::{Read, Write};
    use std::sync::Arc;

    /// The suites that a server may offer, whichever the processor is.
    fn choices() -> Vec<&'static [SupportedCipherSuite]> {
        vec![
            aws_lc_rs::DEFAULT_CIPHER_SUITES,
            #[cfg(feature = "ring")]
            rustls::crypto::ring::DEFAULT_CIPHER_SUITES,
        ]
    }

    #[test]
    fn the_same_cipher_suites_are_offered_on_every_processor() {
        let expected = [
            "TLS13_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ];
        for suites in choices() {
            let provider = provider_with(suites);
            let names: Vec<_> =
                provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
            assert_eq!(names, expected);
        }
    }

    /// Moves the records that one side has to send to the other.
    fn carry<A, B: SideData>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) {
        let mut records = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut records).unwrap();
        }
        let mut records = &records[..];
        while !records.is_empty() {
            to.read_tls(&mut records).unwrap();
            to.process_new_packets().unwrap();
        }
    }

    /// Clients have aws-lc alone.
    #[test]
    fn every_cipher_suite_is_understood_by_clients() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
        let mut tried = 0;
        // The certificate has no RSA key.
        let has_key = |suite: &SupportedCipherSuite| !format!("{:?}", suite.suite()).contains("_RSA_");
        for suite in choices().concat().into_iter().filter(has_key) {
            let server = ServerConfig::builder_with_provider(Arc::new(provider_with(&[suite])));
            let server = server.with_protocol_versions(&[suite.version()]).unwrap().with_no_client_auth();
            let server = server.with_single_cert(chain.clone(), key.clone_key()).unwrap();
            let mut server = ServerConnection::new(Arc::new(server)).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = ClientConnection::new(client.clone(), name).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                carry(&mut client, &mut server);
                carry(&mut server, &mut client);
            }
            let sent: [u8; 10_000] = std::array::from_fn(|at| at as u8);
            for count in [1, 16, 1000].into_iter().chain([sent.len(); 10]) {
                server.writer().write_all(&sent[..count]).unwrap();
                carry(&mut server, &mut client);
                let mut received = vec![0; count];
                client.reader().read_exact(&mut received).unwrap();
                assert!(received == sent[..count], "{suite:?}");
            }
            tried += 1;
        }
        assert_eq!(tried, 6 * choices().len());
    }
}
