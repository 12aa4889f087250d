//! A certificate for development.
//!
//! Its invariant: a file is never overwritten, and a key that is made is readable by its owner only.

use crate::failure::Failure;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long it is valid.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes a certificate for `names`, and its key, in the current directory. Returns what to do with them.
pub(crate) fn make(mut names: Vec<String>) -> Result<String, Failure> {
    if names.is_empty() {
        names = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    }
    let wrong = |error: rcgen::Error| {
        Failure::Usage(format!("no certificate can be made for {}: {error}", names.join(", ")))
    };
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(Failure::Usage(format!("`{name}` is neither a host name nor an address")));
    }
    let mut params = CertificateParams::new(names.clone()).map_err(wrong)?;
    let now = SystemTime::now();
    (params.not_before, params.not_after) = (now.into(), (now + VALIDITY).into());
    params.distinguished_name.push(DnType::CommonName, names[0].clone());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    let base: String = names[0]
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' })
        .collect();
    let (certificate_file, key_file) = (format!("{base}.pem"), format!("{base}-key.pem"));
    // The key first: a certificate without its key is of no use.
    write(&key_file, &key.serialize_pem(), 0o600)?;
    write(&certificate_file, &certificate.pem(), 0o644)?;
    let host = if names[0].contains(':') { format!("[{}]", names[0]) } else { names[0].clone() };
    Ok(format!(
        "{certificate_file} is a certificate for {}, valid for a year, and {key_file} its key.\n  \
         fleeting --tls-cert {certificate_file} --tls-key {key_file}\n  \
         curl --cacert {certificate_file} https://{host}:8080/healthz\n",
        names.join(", ")
    ))
}

/// Whether a certificate can be for it: an address, or a host name, whose first label may be `*`.
fn is_name(name: &str) -> bool {
    let labels = name.strip_prefix("*.").unwrap_or(name).split('.');
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.parse::<IpAddr>().is_ok() || labels.into_iter().all(is_label)
}

fn write(file: &str, text: &str, mode: u32) -> Result<(), Failure> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(Path::new(file));
    created
        .and_then(|mut created| created.write_all(text.as_bytes()))
        .map_err(|error| Failure::Runtime(format!("cannot make {file}: {error}")))
}
