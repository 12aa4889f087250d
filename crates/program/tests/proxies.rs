//! The program works behind nginx, HAProxy and Caddy with the configurations of docs/proxies.md.

use crate::program::{Folder, Running, outcome, program};
use crate::proxy::{CLIENT, Proxy};
use fleeting_testkit::client::{Answer, Client, TEXT, handshake};
use std::net::SocketAddr;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/proxies.md");

/// Returns the configuration `number` for `proxy` on the page, with other texts in place of those that it has.
fn configuration(proxy: &str, number: usize, changes: &[(&str, &str)]) -> String {
    let begin = format!("```{proxy}\n");
    let rest = PAGE.split(&*begin).nth(1 + number).expect("the page has a configuration");
    let (text, _) = rest.split_once("```").expect("the configuration has an end");
    changes.iter().fold(text.to_string(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    })
}

/// A certificate for the site, and its key, as files.
struct Certificate {
    _folder: Folder,
    chain: String,
    key: String,
    /// Both in one.
    both: String,
}

impl Certificate {
    fn new(name: &str) -> Certificate {
        let folder = Folder::new(name);
        let mut command = program(&["cert", "chat.example"]);
        command.current_dir(folder.path());
        assert_eq!(outcome(command).0, Some(0));
        let file = |name: &str| format!("{}/{name}", folder.path());
        let (chain, key, both) = (file("chat.example.pem"), file("chat.example-key.pem"), file("both.pem"));
        let text = [&chain, &key].map(|file| std::fs::read_to_string(file).expect("it was made")).concat();
        std::fs::write(&both, text).expect("the folder can be written");
        Certificate { _folder: folder, chain, key, both }
    }
}

/// The site, as a client reaches it.
struct Site {
    /// Where clients connect, without TLS.
    at: SocketAddr,
    scheme: &'static str,
    host: String,
}

impl Site {
    fn new(at: SocketAddr, scheme: &'static str) -> Site {
        Site { at, scheme, host: format!("chat.example:{}", at.port()) }
    }

    /// Connects from [`CLIENT`], as a tunnel does by itself.
    fn connect(&self) -> Client {
        if self.scheme == "https" {
            return Client::connect(self.at);
        }
        Client::connect_from(CLIENT.parse().expect("an address"), self.at)
    }

    fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }
}

fn server(args: &[&str]) -> Running {
    Running::serve_on(&[&["serve", "--listen", "127.0.0.1:0"], args].concat())
}

fn get(host: &str) -> String {
    format!("GET /census HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn publish(host: &str, fields: &str) -> String {
    format!(
        "POST /topics/a HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"
    )
}

/// What a client may send to pass for another, or for another site's.
const FORGED: &str = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
                      Forwarded: for=203.0.113.9;host=evil.example\r\n";

/// Checks what the page promises, for the program behind a proxy. `reload` reloads the proxy.
fn check(server: &mut Running, site: &Site, reload: impl Fn()) {
    let Site { host, scheme, .. } = site;
    assert_eq!(site.ask(get(host)).status, 200);
    // The hosts of the proxy itself are no other site's.
    let other = site.ask(get("other.example"));
    assert_eq!(other.status, 421);
    assert!(other.text().contains("`other.example`"), "{}", other.text());
    // The origin must be what the client has used.
    assert_eq!(site.ask(publish(host, &format!("Origin: {scheme}://{host}\r\n"))).status, 202);
    let evil = site.ask(publish(host, "Origin: http://evil.example\r\n"));
    assert_eq!(evil.status, 403);
    assert!(evil.text().contains(&format!("`{host}`")), "the host arrives as it was sent: {}", evil.text());
    let plain = site.ask(publish(host, &format!("Origin: http://{host}\r\n")));
    assert_eq!(plain.status, if *scheme == "https" { 403 } else { 202 });
    // Over HTTPS, the browser says it.
    let same = "Origin: https://chat.example\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(site.ask(publish(host, same)).status, 202);
    assert_eq!(site.ask(publish(host, "Sec-Fetch-Site: cross-site\r\n")).status, 403);

    // The client is known, and cannot pass for another.
    for fields in ["", FORGED] {
        let stored = site.ask(format!(
            "POST /clients HTTP/1.1\r\nHost: {host}\r\n{fields}X-Id: a\r\nContent-Length: 0\r\n\r\n"
        ));
        let text = stored.text();
        let from = text.split_once("\"from\":\"").and_then(|(_, rest)| rest.split(['"', ':']).next());
        assert_eq!(from, Some(CLIENT), "{text}");
    }

    // Content of almost the size that the configurations allow.
    let content = "u".repeat(900_000);
    let sent = site.ask(format!(
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    ));
    assert!(sent.status == 200 && sent.text() == content);

    let upgrade = |origin: &str| {
        handshake("/hub", &format!("Origin: {origin}\r\n"))
            .replace("Host: test\r\n", &format!("Host: {host}\r\n"))
    };
    let mut refused = site.connect();
    refused.send(upgrade("http://evil.example"));
    assert_eq!(refused.answer_to_head().status, 403);
    let mut socket = site.connect();
    socket.send(upgrade(&format!("{scheme}://{host}")));
    assert_eq!(socket.answer_to_head().status, 101);
    socket.frame(TEXT, r#"{"subscribe": "prices.*"}"#);
    assert_eq!(socket.next_frame().text(), r#"{"subscribed":"prices.*"}"#);

    let mut stream = site.connect();
    stream.send(format!("GET /topics/prices.* HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    // The head comes before there is an event.
    assert_eq!(stream.answer_to_head().status, 200);
    // It is subscribed once it is counted.
    let counted = || {
        let mut client = site.connect();
        client.send(get(host).replace("/census", "/topics"));
        client.answer_in_chunks().text().contains(r#""prices.*","subscribers":2"#)
    };
    while !counted() {}
    for reloaded in ["", "", "the proxy", "the server"] {
        match reloaded {
            "the proxy" => reload(),
            "the server" => {
                server.signal("HUP");
                let line = server.stderr_line();
                assert!(line.starts_with("reloaded "), "{line}");
            }
            _ => {}
        }
        let answer = site.ask(format!(
            "POST /topics/prices.eur HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: 7\r\n\r\n{{\"n\":1}}"
        ));
        assert_eq!(answer.status, 202);
        // Each event leaves before the next one is published, also to clients from before a reload.
        let delivered = r#"{"topic":"prices.eur","data":{"n":1}}"#;
        assert_eq!(socket.next_frame().text(), delivered);
        let mut events = String::new();
        while !events.contains(&format!("data: {delivered}\n\n")) {
            events.push_str(&stream.text_in_chunks(1));
        }
    }
}

/// Requests that two readers may understand differently, each with a second one hidden in it, which would store the record `id`.
fn ambiguous(host: &str, id: &str) -> Vec<String> {
    let hidden = format!("POST /clients HTTP/1.1\r\nHost: {host}\r\nX-Id: {id}\r\nContent-Length: 0\r\n\r\n");
    let bytes = hidden.len();
    let chunked = format!("0\r\n\r\n{hidden}");
    let framings = [
        // Both lengths.
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: 0\r\nContent-Length: {bytes}\r\n\r\n{hidden}"),
        format!("Content-Length: {bytes}\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("Content-Length: {bytes}, 0\r\n\r\n{hidden}"),
        // Lengths that are none.
        format!("Content-Length: +{bytes}\r\n\r\n{hidden}"),
        format!("Content-Length: 0x{bytes:x}\r\n\r\n{hidden}"),
        format!("Content-Length: {bytes}\x0b\r\n\r\n{hidden}"),
        format!("Content-Length : {bytes}\r\n\r\n{hidden}"),
        format!("Content-Length\r\n: {bytes}\r\n\r\n{hidden}"),
        format!("X: a\rContent-Length: {bytes}\r\n\r\n{hidden}"),
        format!("X: a\nContent-Length: {bytes}\n\n{hidden}"),
        // Codings that are almost `chunked`.
        format!("Content-Length: {}\r\nTransfer-Encoding: xchunked\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding:\x0bchunked\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding : chunked\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: {}\r\nTransfer_Encoding: chunked\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: identity\r\n\r\n{chunked}", chunked.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked, identity\r\n\r\n{chunked}", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}"),
        format!("Transfer-Encoding: gzip, chunked\r\n\r\n{chunked}"),
        format!("Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}"),
        // Chunks whose end or size is in doubt.
        format!("Transfer-Encoding: chunked\r\n\r\n1\nZ\n0\n\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{bytes:x}\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{bytes:x};a\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n0{bytes:x} \r\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n-{bytes:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n0x{bytes:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000{bytes:x}\r\n{hidden}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}0\r\n\r\n", bytes - 2),
        format!("Transfer-Encoding: chunked\r\n\r\n0\r\nX: {hidden}"),
    ];
    framings.into_iter().map(|framing| format!("POST /echo HTTP/1.1\r\nHost: {host}\r\n{framing}")).collect()
}

/// Checks that no request is smuggled past a proxy: one that reaches the program is one that the proxy has seen, too, so it
/// passes the answer on.
fn smuggle(site: &Site) {
    let is_stored = |id: &str| {
        let path = format!("/clients/{id}");
        site.ask(get(&site.host).replace("/census", &path)).status == 200
    };
    let port = site.at.port();
    for at in 0..ambiguous("", "").len() {
        let id = format!("s-{port}-{at}");
        let request = &ambiguous(&site.host, &id)[at];
        let mut client = site.connect();
        client.send(request);
        client.end();
        let answers = client.until_cut_off();
        let answers = String::from_utf8_lossy(&answers);
        if is_stored(&id) {
            // It may be two requests to everybody. Then a client that stays has both answers.
            let id = format!("t-{port}-{at}");
            let mut client = site.connect();
            client.send(&ambiguous(&site.host, &id)[at]);
            let (first, second) = (client.answer(), client.answer());
            assert_eq!((first.status, second.status), (200, 201), "{request:?}: {answers}");
            assert!(second.text().contains(&id), "{request:?}: {}", second.text());
        }
    }
    // Another request behind the first is found by the same means.
    let id = format!("seen-{port}");
    let mut client = site.connect();
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n\
         POST /clients HTTP/1.1\r\nHost: {host}\r\nX-Id: {id}\r\nContent-Length: 0\r\n\r\n",
        host = site.host
    ));
    assert_eq!((client.answer().status, client.answer().status), (200, 201));
    assert!(is_stored(&id));
}

/// Starts the program, with a Unix socket, for the configurations of the page.
fn behind(name: &str) -> (Running, String) {
    let socket = std::env::temp_dir().join(format!("fl-{name}-{}.sock", std::process::id()));
    let listen = format!("unix:{}", socket.display());
    let args = ["--listen", &listen, "--host", "chat.example", "--trust", "127.0.0.1", "--trust", "unix"];
    (server(&args), socket.display().to_string())
}

/// Ends the program, and looks whether its socket is gone.
fn end(server: Running, socket: &str) {
    server.signal("TERM");
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(!std::path::Path::new(socket).exists());
}

#[test]
fn the_program_works_behind_nginx() {
    let (mut server, socket) = behind("nginx");
    let certificate = Certificate::new("nginx-certificate");
    for upstream in [server.addrs[0].to_string(), format!("unix:{socket}")] {
        let proxy = Proxy::nginx("nginx", |addr| {
            let text =
                configuration("nginx", 0, &[("127.0.0.1:8080", &upstream), ("443 ssl", &addr.to_string())]);
            let is_plain = |line: &&str| !line.contains("ssl_certificate");
            text.lines().filter(is_plain).map(|line| format!("{line}\n")).collect()
        });
        check(&mut server, &Site::new(proxy.addr, "http"), || proxy.reload());
        smuggle(&Site::new(proxy.addr, "http"));
        let proxy = Proxy::nginx("nginx-tls", |addr| {
            let changes = [
                ("127.0.0.1:8080", &*upstream),
                ("443 ssl", &format!("{addr} ssl")),
                ("/etc/ssl/chat.example.pem", &certificate.chain),
                ("/etc/ssl/chat.example.key", &certificate.key),
            ];
            configuration("nginx", 0, &changes)
        });
        let tunnel = Proxy::tunnel("nginx-tunnel", proxy.addr);
        check(&mut server, &Site::new(tunnel.addr, "https"), || proxy.reload());
    }
    end(server, &socket);
}

#[test]
fn the_program_works_behind_haproxy() {
    let (mut server, socket) = behind("haproxy");
    let certificate = Certificate::new("haproxy-certificate");
    let secured = format!("ssl crt {}", certificate.both);
    for upstream in [server.addrs[0].to_string(), format!("unix@{socket}")] {
        for (scheme, ssl) in [("http", ""), ("https", &*secured)] {
            let proxy = Proxy::haproxy(&format!("haproxy-{scheme}"), |addr| {
                let bind = format!("bind {addr} {ssl}");
                let old = "bind :443 ssl crt /etc/ssl/chat.example.pem";
                configuration("haproxy", 0, &[("127.0.0.1:8080", &upstream), (old, &bind)])
            });
            if scheme == "http" {
                check(&mut server, &Site::new(proxy.addr, scheme), || proxy.reload());
                smuggle(&Site::new(proxy.addr, scheme));
            } else {
                let tunnel = Proxy::tunnel("haproxy-tunnel", proxy.addr);
                check(&mut server, &Site::new(tunnel.addr, scheme), || proxy.reload());
            }
        }
    }
    end(server, &socket);
}

fn caddy_is_before_2_7() -> bool {
    let version = Command::new("caddy").arg("version").output().expect("caddy is installed").stdout;
    let version = String::from_utf8(version).expect("a version is text");
    ["2.6", "v2.6"].iter().any(|old| version.starts_with(old))
}

#[test]
fn the_program_works_behind_caddy() {
    let (mut server, socket) = behind("caddy");
    let buffers = if caddy_is_before_2_7() { "buffer_requests" } else { "request_buffers 1MiB" };
    for upstream in [server.addrs[0].to_string(), format!("unix/{socket}")] {
        let proxy = Proxy::caddy("caddy", |addr| {
            let site = format!("http://:{} {{\n    bind {}\n", addr.port(), addr.ip());
            let changes = [
                ("chat.example {\n", &*site),
                ("127.0.0.1:8080", &*upstream),
                ("request_buffers 1MiB", buffers),
            ];
            configuration("caddyfile", 0, &changes)
        });
        check(&mut server, &Site::new(proxy.addr, "http"), || {});
    }
    end(server, &socket);
}

/// The certificate is Fleeting's, and the proxy does not read HTTP.
#[test]
fn the_program_has_tls_behind_haproxy() {
    let certificate = Certificate::new("passed-certificate");
    let pair = ["--tls-cert", &certificate.chain, "--tls-key", &certificate.key];
    let named = ["--host", "chat.example", "--proxy-from", "127.0.0.1"];
    let mut server = server(&[&pair[..], &named].concat());
    let upstream = server.addrs[0].to_string();
    let proxy = Proxy::haproxy("passed", |addr| {
        configuration("haproxy", 1, &[("127.0.0.1:8443", &upstream), ("bind :443", &format!("bind {addr}"))])
    });
    let tunnel = Proxy::tunnel("passed-tunnel", proxy.addr);
    check(&mut server, &Site::new(tunnel.addr, "https"), || proxy.reload());
    // The proxy is needed: its addresses have a header.
    let mut client = Client::connect(server.addrs[0]);
    client.send(get("chat.example"));
    assert_eq!(client.until_cut_off(), b"");
    // Other addresses have none.
    let mut client = Client::connect_from(CLIENT.parse().expect("an address"), server.addrs[0]);
    client.send(get("chat.example"));
    assert_eq!(client.answer().status, 400);
}

/// Finding D3: nginx as it comes sets Host to the upstream's address.
#[test]
fn a_proxy_that_rewrites_the_host_needs_an_origin_or_a_browsers_word() {
    let ask = |proxy: &Proxy, request: String| Site::new(proxy.addr, "http").ask(request);
    let plain = |server: &Running| {
        let upstream = server.addrs[0];
        Proxy::nginx(&format!("nginx-plain-{}", upstream.port()), move |addr| {
            format!("server {{ listen {addr}; location / {{ proxy_pass http://{upstream}; }} }}")
        })
    };
    let own = "Origin: http://chat.example\r\n";
    let strict = server(&[]);
    let proxy = plain(&strict);
    assert_eq!(ask(&proxy, get("chat.example")).status, 200);
    let refused = ask(&proxy, publish("chat.example", own));
    assert_eq!(refused.status, 403);
    for expected in ["`http://chat.example`", &format!("`{}`", strict.addrs[0]), "--origin"] {
        assert!(refused.text().contains(expected), "{}", refused.text());
    }
    assert_eq!(
        ask(&proxy, publish("chat.example", &format!("{own}Sec-Fetch-Site: same-origin\r\n"))).status,
        202
    );
    let told = server(&["--origin", "http://chat.example"]);
    let proxy = plain(&told);
    assert_eq!(ask(&proxy, publish("chat.example", own)).status, 202);
    assert_eq!(ask(&proxy, publish("chat.example", "Origin: http://evil.example\r\n")).status, 403);
}
