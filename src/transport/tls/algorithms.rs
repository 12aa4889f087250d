//! The algorithms that a server offers.
//!
//! It knows no certificate and no connection. Its invariant: the same algorithms are offered on every processor, in the same order.

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns the algorithms, the fastest cipher suites first: AES with 128 bits, then 256, then ChaCha20, which only processors
/// without instructions for AES do faster.
pub(super) fn provider() -> CryptoProvider {
    let mut cipher_suites = fastest().to_vec();
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

    #[test]
    fn the_same_cipher_suites_are_offered_on_every_processor() {
        let names: Vec<_> =
            provider().cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect();
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
        assert_eq!(names, expected);
    }
}
