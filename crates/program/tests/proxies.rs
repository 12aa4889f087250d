//! The program works behind nginx, HAProxy and Caddy with the configurations of docs/proxies.md.

use crate::program::Running;
use fleeting_testkit::client::{Answer, Client, TEXT, handshake};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PAGE: &str = include_str!("../../../docs/proxies.md");

/// Returns the configuration for `proxy` on the page, with other addresses.
fn configuration(proxy: &str, listen: (&str, &str), upstream: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("```{proxy}\n")).expect("the page has a configuration");
    let (text, _) = rest.split_once("```").expect("the configuration has an end");
    assert!(text.contains(listen.0) && text.contains("127.0.0.1:8080"), "{text}");
    text.replace(listen.0, listen.1).replace("127.0.0.1:8080", upstream)
}

/// Programs of the system may be missing in the path of its users.
fn system_program(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    Command::new(if path.exists() { path } else { name.into() })
}

/// A proxy in a folder of its own, stopped when it is dropped.
struct Proxy {
    child: Child,
    folder: PathBuf,
    addr: SocketAddr,
}

impl Proxy {
    fn nginx(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, |folder, addr| {
            let at = folder.display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
                .concat();
            let outer = format!(
                "daemon off;\nmaster_process off;\npid {at}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{}\n}}\n",
                make(addr)
            );
            fs::write(folder.join("conf"), outer).expect("the folder can be written");
            let mut command = system_program("nginx");
            command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("conf"));
            command
        })
    }

    fn haproxy(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, |folder, addr| {
            fs::write(folder.join("conf"), make(addr)).expect("the folder can be written");
            let mut command = system_program("haproxy");
            command.args(["-db", "-f"]).arg(folder.join("conf"));
            command
        })
    }

    fn caddy(name: &str, make: impl Fn(SocketAddr) -> String) -> Proxy {
        Proxy::start(name, |folder, addr| {
            let outer = format!("{{\nadmin off\nauto_https off\n}}\n{}", make(addr));
            fs::write(folder.join("conf"), outer).expect("the folder can be written");
            let mut command = system_program("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("conf"));
            command.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
            command
        })
    }

    /// Starts a proxy on a free port, and returns when it listens.
    fn start(name: &str, make: impl Fn(&Path, SocketAddr) -> Command) -> Proxy {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        // Another process may take the port first.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let addr = free.expect("a port is free");
            let mut command = make(&folder, addr);
            let log = File::create(folder.join("log")).expect("the folder can be written");
            let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
            let needed = "nginx, haproxy and caddy are needed: install the packages of these names";
            let mut proxy = Proxy { child: spawned.expect(needed), folder: folder.clone(), addr };
            loop {
                if TcpStream::connect(addr).is_ok() {
                    return proxy;
                }
                if proxy.child.try_wait().expect("it is a child").is_some() {
                    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                    assert!(log.contains("in use"), "{log}");
                    break;
                }
            }
            // The next attempt needs the folder.
            proxy.folder = PathBuf::new();
        }
        panic!("no port stays free");
    }

    fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = Client::connect(self.addr);
        client.send(request);
        client.answer()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
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

/// Checks what the page promises, for the program behind `proxy`.
fn check(server: &Running, proxy: &Proxy) {
    let site = format!("chat.example:{}", proxy.addr.port());
    assert_eq!(proxy.ask(get(&site)).status, 200);
    // The hosts of the proxy itself are no other site's.
    let other = proxy.ask(get("other.example"));
    assert_eq!(other.status, 421);
    assert!(other.text().contains("`other.example`"), "{}", other.text());
    // Over plain HTTP, the origin must be the host.
    assert_eq!(proxy.ask(publish(&site, &format!("Origin: http://{site}\r\n"))).status, 202);
    let evil = proxy.ask(publish(&site, "Origin: http://evil.example\r\n"));
    assert_eq!(evil.status, 403);
    assert!(evil.text().contains(&format!("`{site}`")), "the host arrives as it was sent: {}", evil.text());
    // Over HTTPS, the browser says it.
    let same = "Origin: https://chat.example\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(proxy.ask(publish(&site, same)).status, 202);
    assert_eq!(proxy.ask(publish(&site, "Sec-Fetch-Site: cross-site\r\n")).status, 403);

    let upgrade = |origin: &str| {
        handshake("/hub", &format!("Origin: {origin}\r\n"))
            .replace("Host: test\r\n", &format!("Host: {site}\r\n"))
    };
    let mut refused = Client::connect(proxy.addr);
    refused.send(upgrade("http://evil.example"));
    assert_eq!(refused.answer_to_head().status, 403);
    let mut socket = Client::connect(proxy.addr);
    socket.send(upgrade(&format!("http://{site}")));
    assert_eq!(socket.answer_to_head().status, 101);
    socket.frame(TEXT, r#"{"subscribe": "prices.*"}"#);
    assert_eq!(socket.next_frame().text(), r#"{"subscribed":"prices.*"}"#);

    let mut stream = Client::connect(proxy.addr);
    stream.send(format!("GET /topics/prices.* HTTP/1.1\r\nHost: {site}\r\n\r\n"));
    // The head comes before there is an event.
    assert_eq!(stream.answer_to_head().status, 200);
    // It is subscribed once it is counted.
    let counted = || {
        let mut client = Client::connect(server.addrs[0]);
        client.send(get("test").replace("/census", "/topics"));
        client.answer_in_chunks().text().contains(r#""prices.*","subscribers":2"#)
    };
    while !counted() {}
    for _ in 0..3 {
        let answer = proxy.ask(format!(
            "POST /topics/prices.eur HTTP/1.1\r\nHost: {site}\r\nContent-Type: application/json\r\n\
             Content-Length: 7\r\n\r\n{{\"n\":1}}"
        ));
        assert_eq!(answer.status, 202);
        // Each event leaves before the next one is published.
        let delivered = r#"{"topic":"prices.eur","data":{"n":1}}"#;
        assert_eq!(socket.next_frame().text(), delivered);
        let mut events = String::new();
        while !events.contains(&format!("data: {delivered}\n\n")) {
            events.push_str(&stream.text_in_chunks(1));
        }
    }
}

/// Checks the program behind a proxy that `start` starts, over TCP and over a Unix socket. `prefix` is how the proxy writes a path of
/// one.
fn over_tcp_and_a_unix_socket(name: &str, prefix: &str, start: impl Fn(&str, &str) -> Proxy) {
    let socket = std::env::temp_dir().join(format!("fl-{name}-{}.sock", std::process::id()));
    let listen = format!("unix:{}", socket.display());
    let server = server(&["--listen", &listen, "--host", "chat.example", "--host", "test"]);
    check(&server, &start(name, &server.addrs[0].to_string()));
    check(&server, &start(name, &format!("{prefix}{}", socket.display())));
    server.signal("TERM");
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn the_program_works_behind_nginx() {
    over_tcp_and_a_unix_socket("nginx", "unix:", |name, upstream| {
        Proxy::nginx(name, |addr| {
            configuration("nginx", ("listen 80;", &format!("listen {addr};")), upstream)
        })
    });
}

#[test]
fn the_program_works_behind_haproxy() {
    over_tcp_and_a_unix_socket("haproxy", "unix@", |name, upstream| {
        Proxy::haproxy(name, |addr| {
            configuration("haproxy", ("bind :80 ", &format!("bind {addr} ")), upstream)
        })
    });
}

#[test]
fn the_program_works_behind_caddy() {
    over_tcp_and_a_unix_socket("caddy", "unix/", |name, upstream| {
        Proxy::caddy(name, |addr| {
            let site = format!("http://:{} {{\n    bind {}\n", addr.port(), addr.ip());
            configuration("caddyfile", ("chat.example {\n", &site), upstream)
        })
    });
}

/// Finding D3: nginx as it comes sets Host to the upstream's address.
#[test]
fn a_proxy_that_rewrites_the_host_needs_an_origin_or_a_browsers_word() {
    let plain = |server: &Running| {
        let upstream = server.addrs[0];
        Proxy::nginx(&format!("nginx-plain-{}", upstream.port()), move |addr| {
            format!("server {{ listen {addr}; location / {{ proxy_pass http://{upstream}; }} }}")
        })
    };
    let own = "Origin: http://chat.example\r\n";
    let strict = server(&[]);
    let proxy = plain(&strict);
    assert_eq!(proxy.ask(get("chat.example")).status, 200);
    let refused = proxy.ask(publish("chat.example", own));
    assert_eq!(refused.status, 403);
    for expected in ["`http://chat.example`", &format!("`{}`", strict.addrs[0]), "--origin"] {
        assert!(refused.text().contains(expected), "{}", refused.text());
    }
    assert_eq!(
        proxy.ask(publish("chat.example", &format!("{own}Sec-Fetch-Site: same-origin\r\n"))).status,
        202
    );
    let told = server(&["--origin", "http://chat.example"]);
    let proxy = plain(&told);
    assert_eq!(proxy.ask(publish("chat.example", own)).status, 202);
    assert_eq!(proxy.ask(publish("chat.example", "Origin: http://evil.example\r\n")).status, 403);
}
