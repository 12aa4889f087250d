//! `fleeting cert` and `--tls-cert`: two commands make a server that speaks TLS, and its certificates can be replaced.

use crate::program::{Folder, Running, outcome, program, refused};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes a certificate for `localhost` in a folder.
fn certificate(folder: &Folder) {
    let mut command = program(&["cert"]);
    command.current_dir(folder.path());
    let (status, stdout, stderr) = outcome(command);
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("fleeting --tls-cert localhost.pem --tls-key localhost-key.pem\n"), "{stdout}");
}

fn serve(folder: &Folder) -> Running {
    let file = |name: &str| format!("{}/{name}", folder.path());
    let (chain, key) = (file("localhost.pem"), file("localhost-key.pem"));
    Running::serve(&["--tls-cert", &chain, "--tls-key", &key])
}

/// Returns what curl prints, and whether it succeeds. It trusts the certificate in `folder` only.
fn curl(folder: &Folder, running: &Running, path: &str, args: &[&str]) -> (bool, String) {
    let url = format!("https://localhost:{}{path}", running.addrs[0].port());
    let trusted = format!("{}/localhost.pem", folder.path());
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert", &trusted, &url])
        .args(args)
        .output();
    let output = output.expect("curl is installed");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn two_commands_serve_https() {
    let folder = Folder::new("tls-two");
    certificate(&folder);
    let mode = fs::metadata(Path::new(folder.path()).join("localhost-key.pem")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    // Nothing is overwritten.
    let mut again = program(&["cert"]);
    again.current_dir(folder.path());
    refused(again, 1, &["localhost-key.pem", "exists"]);
    let running = serve(&folder);
    assert_eq!(curl(&folder, &running, "/healthz", &[]), (true, "ok".into()));
    for version in ["1.2", "1.3"] {
        assert_eq!(curl(&folder, &running, "/healthz", &["--tls-max", version]), (true, "ok".into()));
    }
    let old = curl(&folder, &running, "/healthz", &["--tls-max", "1.1"]);
    assert!(!old.0, "{}", old.1);
    assert_eq!(curl(&folder, &running, "/echo", &["-d", "over TLS"]), (true, "over TLS".into()));
    // Plain HTTP gets a sentence.
    assert!(running.get("/healthz").contains("This port speaks HTTPS"));
}

#[test]
fn certificates_are_replaced_by_sighup_and_a_wrong_pair_changes_nothing() {
    let (served, other) = (Folder::new("tls-served"), Folder::new("tls-other"));
    certificate(&served);
    certificate(&other);
    let mut running = serve(&served);
    let copy = |name: &str| {
        fs::copy(format!("{}/{name}", other.path()), format!("{}/{name}", served.path())).unwrap()
    };
    copy("localhost.pem");
    running.signal("HUP");
    let line = running.stderr_line();
    assert!(line.starts_with("not reloaded: the certificate cannot be used: "), "{line}");
    // The certificate before is still shown, which is trusted no longer.
    assert!(!curl(&other, &running, "/healthz", &[]).0);
    copy("localhost-key.pem");
    running.signal("HUP");
    assert_eq!(running.stderr_line(), "reloaded the hosts, origins and certificates\n");
    assert_eq!(curl(&other, &running, "/healthz", &[]), (true, "ok".into()));
}

#[test]
fn files_that_cannot_be_used_are_one_line() {
    let folder = Folder::new("tls-wrong");
    certificate(&folder);
    let file = |name: &str| format!("{}/{name}", folder.path());
    let (chain, key) = (file("localhost.pem"), file("localhost-key.pem"));
    let start = |args: &[&str]| program(&[&["--listen", "127.0.0.1:0"], args].concat());
    refused(start(&["--tls-cert", &chain]), 2, &["--tls-cert", "1 certificate(s) and 0 key(s)"]);
    refused(start(&["--tls-cert", "/nowhere", "--tls-key", &key]), 1, &["/nowhere", "No such file"]);
    refused(start(&["--tls-cert", &key, "--tls-key", &key]), 1, &[&key, "no certificate"]);
    refused(start(&["--tls-cert", &chain, "--tls-key", &chain]), 1, &[&chain]);
    // In a folder of its own, so that nothing stays if it is not refused.
    let mut nameless = program(&["cert", "not a name"]);
    nameless.current_dir(folder.path());
    refused(nameless, 2, &["not a name"]);
}
