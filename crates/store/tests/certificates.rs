//! Certificates for a test, in files of a folder that is removed afterwards.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An authority, whose own certificate is `ca.pem`.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of a certificate and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Makes an authority of a name that no other one has.
    pub fn new() -> Authority {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fleeting-authority-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("ca.pem"), certificate.pem()).expect("there is room for a file");
        Authority { folder, issuer: Issuer::new(params, key) }
    }

    /// Returns the file with the authority's certificate.
    pub fn file(&self) -> String {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Issues a certificate for a host.
    pub fn issue(&self, host: &str) -> Pair {
        self.issue_with(host, |_| {})
    }

    /// Issues a certificate for a host, with changes.
    pub fn issue_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new([host.to_string()]).expect("a host");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair = Pair {
            certificate: self.path(&format!("{host}.pem")),
            key: self.path(&format!("{host}-key.pem")),
        };
        fs::write(&pair.certificate, certificate.pem()).expect("there is room for a file");
        fs::write(&pair.key, key.serialize_pem()).expect("there is room for a file");
        pair
    }

    /// Returns the arguments of a server that shows `pair`, and asks clients for a certificate of this authority if
    /// `clients` is `yes`.
    pub fn arguments<'a>(&self, pair: &'a Pair, clients: &'a str) -> Vec<String> {
        let words = [
            "--tls-cert-file",
            &pair.certificate,
            "--tls-key-file",
            &pair.key,
            "--tls-auth-clients",
            clients,
        ];
        let mut words: Vec<String> = words.map(String::from).into();
        words.extend(["--tls-ca-cert-file".into(), self.file()]);
        words
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
