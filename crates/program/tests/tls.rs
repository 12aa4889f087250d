//! `fleeting cert` and `--tls-cert`: two commands make a server that speaks TLS, and its certificates can be replaced.

use crate::program::{Folder, Running, outcome, program, refused};
use fleeting_testkit::redis::node::wait_until;
use fleeting_testkit::redis::server::RedisServer;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes a certificate for `localhost` in a folder, and its key.
fn certificate(folder: &Folder) {
    let mut command = program(&["cert"]);
    command.current_dir(folder.path());
    let (status, stdout, stderr) = outcome(command);
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("fleeting --tls-cert localhost.pem --tls-key localhost-key.pem\n"), "{stdout}");
}

/// Replaces a file of `served` by that of `other`.
fn replace(served: &Folder, other: &Folder, name: &str) {
    fs::copy(format!("{}/{name}", other.path()), format!("{}/{name}", served.path())).unwrap();
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
    replace(&served, &other, "localhost.pem");
    running.signal("HUP");
    let line = running.stderr_line();
    assert!(line.starts_with("not reloaded: the certificate cannot be used: "), "{line}");
    // The certificate before is still shown, which is trusted no longer.
    assert!(!curl(&other, &running, "/healthz", &[]).0);
    replace(&served, &other, "localhost-key.pem");
    running.signal("HUP");
    assert_eq!(running.stderr_line(), "reloaded the hosts, origins and certificates\n");
    assert_eq!(curl(&other, &running, "/healthz", &[]), (true, "ok".into()));
}

/// What docs/hub.md says under "TLS to Redis".
#[test]
fn two_nodes_share_a_redis_over_tls() {
    let folder = Folder::new("tls-redis");
    certificate(&folder);
    let file = |name: &str| format!("{}/{name}", folder.path());
    let (chain, key) = (file("localhost.pem"), file("localhost-key.pem"));
    let files = ["--tls-cert-file", &chain, "--tls-key-file", &key, "--tls-ca-cert-file", &chain];
    let (mut redis, port) =
        RedisServer::start_with_tls(&[&files[..], &["--tls-auth-clients", "no"]].concat());
    let store = format!("rediss://localhost:{port}?ca={chain}");
    let [mut a, b] = ["a", "b"].map(|node| Running::serve(&["--store", &store, "--node", node]));
    let post = "POST /clients HTTP/1.1\r\nHost: localhost\r\nX-Id: alice\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
                Connection: close\r\n\r\nhi";
    // On a busy machine, a first handshake may take longer than an operation may.
    wait_until(|| matches!(a.status(post), 200 | 201));
    wait_until(|| b.get("/clients/alice").contains(r#""sent":"hi""#));
    redis.kill();
    let line = a.stderr_line();
    let expected = format!("rediss://localhost:{port} is unavailable: it ");
    assert!(line.starts_with(&expected) && !line.contains("rustls"), "{line}");
}

#[test]
fn files_that_cannot_be_used_are_one_line() {
    let folder = Folder::new("tls-wrong");
    certificate(&folder);
    let file = |name: &str| format!("{}/{name}", folder.path());
    let (chain, key) = (file("localhost.pem"), file("localhost-key.pem"));
    let start = |args: &[&str]| program(&[&["--listen", "127.0.0.1:0"], args].concat());
    refused(start(&["--tls-cert", &chain]), 2, &["--tls-cert", "1 certificate(s) and 0 key(s)"]);
    refused(start(&["--hsts", "1h"]), 2, &["--hsts: there is no TLS"]);
    refused(start(&["--redirect-http", ":0"]), 2, &["--redirect-http: there is no TLS"]);
    refused(start(&["--tls-cert", "/nowhere", "--tls-key", &key]), 1, &["/nowhere", "No such file"]);
    refused(start(&["--tls-cert", &key, "--tls-key", &key]), 1, &[&key, "no certificate"]);
    refused(start(&["--tls-cert", &chain, "--tls-key", &chain]), 1, &[&chain]);
    // In a folder of its own, so that nothing stays if it is not refused.
    let mut nameless = program(&["cert", "not a name"]);
    nameless.current_dir(folder.path());
    refused(nameless, 2, &["not a name"]);
}

#[test]
fn certificates_are_replaced_when_their_files_change() {
    let (served, other) = (Folder::new("tls-watched"), Folder::new("tls-renewed"));
    certificate(&served);
    certificate(&other);
    let mut running = Running::serve(&["--tls-cert", served.path()]);
    assert_eq!(curl(&served, &running, "/healthz", &[]), (true, "ok".into()));
    let trusted_before = fs::read(format!("{}/localhost.pem", served.path())).unwrap();
    replace(&served, &other, "localhost.pem");
    let line = running.stderr_line();
    assert!(
        line.starts_with("the certificates were not replaced: the certificate cannot be used: "),
        "{line}"
    );
    // The certificate before is still shown.
    assert!(!curl(&other, &running, "/healthz", &[]).0);
    replace(&served, &other, "localhost-key.pem");
    assert_eq!(running.stderr_line(), "replaced the certificates: their files have changed\n");
    assert_eq!(curl(&other, &running, "/healthz", &[]), (true, "ok".into()));
    // A certificate more, for clients that ask for its name, and not the first.
    fs::write(format!("{}/z.pem", served.path()), trusted_before).unwrap();
    let line = running.stderr_line();
    assert!(line.contains("z.pem has no key: expected z-key.pem or z.key beside it"), "{line}");
}

#[test]
fn clients_of_plain_http_are_sent_to_https_and_told_to_stay_there() {
    let folder = Folder::new("tls-redirect");
    certificate(&folder);
    let mut running =
        Running::serve(&["--tls-cert", folder.path(), "--redirect-http", "127.0.0.1:0", "--hsts", "1h"]);
    let line = running.stdout_line("Clients of http://");
    let plain = line.trim().strip_suffix(" are sent to https.").expect("the end of the line");
    let port = running.addrs[0].port();
    let redirected = |path: &str, args: &[&str]| {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"])
            .args(args)
            .arg(format!("http://{plain}{path}"))
            .output();
        String::from_utf8(output.expect("curl is installed").stdout).unwrap()
    };
    assert_eq!(redirected("/a?b=c%20d", &[]), format!("308 https://127.0.0.1:{port}/a?b=c%20d"));
    let named = ["-H", "Host: chat.example:80", "-d", "content"];
    assert_eq!(redirected("/topics/t", &named), format!("308 https://chat.example:{port}/topics/t"));
    assert_eq!(redirected("/", &["-H", "Host: [::1]"]), format!("308 https://[::1]:{port}/"));
    assert_eq!(redirected("/", &["-0", "-H", "Host:"]), "400 ");
    // Answers of every kind have the field.
    for (path, status) in [("/healthz", "200"), ("/nowhere", "404")] {
        let (_, text) = curl(&folder, &running, path, &["-i"]);
        assert!(text.starts_with(&format!("HTTP/2 {status} ")), "{text}");
        assert!(text.to_lowercase().contains("\r\nstrict-transport-security: max-age=3600\r\n"), "{text}");
    }
}
