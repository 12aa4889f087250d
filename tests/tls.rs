//! Connections with TLS behave as those without, and nothing that a peer does to its records harms others.

use fleeting::engine::WorkerFigures;
use fleeting::{
    App, Builder, Error, Message, Proxies, Request, Response, Server, SlowConsumer, Socket, Timeouts, Tls,
    TlsOptions, WebSocket, WorkerContext,
};
use fleeting_testkit::client::{frame, handshake};
use fleeting_testkit::server::Echo;
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SignatureVerificationAlgorithm};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a client waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

static MEDIUM: [u8; 64 << 10] = [b'~'; 64 << 10];

/// A certificate that signs itself, and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    pub fn new(name: &str) -> Pair {
        let made = rcgen::generate_simple_self_signed([name.to_string()]).expect("a certificate");
        Pair { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub fn options(&self) -> TlsOptions {
        self.add_to(Tls::options())
    }

    fn add_to(&self, options: TlsOptions) -> TlsOptions {
        options.certificate_pem(self.chain.as_bytes(), self.key.as_bytes()).expect("it is PEM")
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("it is PEM")
    }
}

/// Begins the configuration of a client that trusts `trusted` only.
pub fn configure(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    trusted: &[&Pair],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.certificate()).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(provider.into());
    config.with_protocol_versions(versions).expect("versions").with_root_certificates(roots)
}

/// A client's side that asks for `name`.
pub fn start(config: ClientConfig, name: &str) -> ClientConnection {
    let name = ServerName::try_from(name.to_string()).expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// A client's side, which trusts `trusted` only. `own` is what it shows.
pub fn connection(name: &str, trusted: &[&Pair], own: Option<&Pair>) -> ClientConnection {
    let config = configure(default_provider(), rustls::DEFAULT_VERSIONS, trusted);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("it is PEM");
            config.with_client_auth_cert(vec![own.certificate()], key).expect("they belong together")
        }
    };
    start(config, name)
}

struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
    rest: Vec<u8>,
}

impl Client {
    /// Connects to `name`, and trusts `pair` only. `own` is what it shows.
    fn try_connect(addr: SocketAddr, name: &str, pair: &Pair, own: Option<&Pair>) -> Result<Client, String> {
        Client::over(connection(name, &[pair], own), addr)
    }

    fn over(connection: ClientConnection, addr: SocketAddr) -> Result<Client, String> {
        Client::on(connection, TcpStream::connect(addr).expect("the server listens"))
    }

    fn on(mut connection: ClientConnection, mut socket: TcpStream) -> Result<Client, String> {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| error.to_string())?;
        }
        Ok(Client { tls: StreamOwned::new(connection, socket), rest: Vec::new() })
    }

    fn connect(addr: SocketAddr, pair: &Pair) -> Client {
        Client::try_connect(addr, "localhost", pair, None).expect("the handshake succeeds")
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.write_all(bytes.as_ref()).expect("the server reads");
        self.tls.flush().expect("the server reads");
    }

    /// Returns what arrives up to the end of `mark`.
    fn until(&mut self, mark: &str) -> String {
        let mut part = [0; 16 << 10];
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark.as_bytes()) {
                let taken: Vec<u8> = self.rest.drain(..at + mark.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let bytes = self.tls.read(&mut part).expect("more arrives");
            assert_ne!(bytes, 0, "it ends before {mark:?}: {}", String::from_utf8_lossy(&self.rest));
            self.rest.extend_from_slice(&part[..bytes]);
        }
    }

    /// Returns what arrives up to the end, which must be announced by close_notify.
    fn until_end(&mut self) -> String {
        let mut all = std::mem::take(&mut self.rest);
        self.tls.read_to_end(&mut all).expect("it ends with close_notify");
        String::from_utf8_lossy(&all).into_owned()
    }

    fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.until("\n.")
    }
}

/// Subscribes each client to the topic in its query.
struct Subscriber;

impl WebSocket for Subscriber {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        let filter = req.query().unwrap_or("t");
        socket
            .subscribe_with(filter, SlowConsumer::DropNewest)
            .map_err(|error| Error::bad_request(error.to_string()))?;
        Ok(())
    }

    fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
}

fn app(worker: &WorkerContext) -> App {
    let handle = worker.handle.clone();
    App::new()
        .get("/", |_req| Ok(Response::text("hello\n.")))
        .get("/medium", |_req| Ok(Response::bytes(&MEDIUM)))
        .get("/large", |_req| Ok(Response::bytes(vec![b'~'; 5 << 20])))
        .get("/who", |req| {
            let shown = req.client_certificate().map_or(0, <[u8]>::len);
            Ok(Response::text(format!("{} {} {shown}\n.", req.scheme(), req.is_secure())))
        })
        .get("/from", |req| {
            let peer = req.peer_addr().expect("it has an address");
            Ok(Response::text(format!("{} {peer}\n.", req.scheme())))
        })
        .get("/events", move |_req| Ok(handle.events("t")?))
        .post("/", |req| Ok(Response::text(format!("{}\n.", req.body().len()))))
        .ws("/echo", Echo)
        .ws("/topic", Subscriber)
}

fn serve_with(builder: Builder, tls: &Tls) -> (Server, SocketAddr) {
    let server = builder.bind_tls("127.0.0.1:0", tls).serve(app).expect("it starts");
    let addr = server.local_addrs()[0];
    (server, addr)
}

fn serve(tls: &Tls) -> (Server, SocketAddr) {
    serve_with(Server::builder(), tls)
}

#[test]
fn requests_are_answered_in_order_whatever_their_size() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let mut client = Client::connect(addr, &pair);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'y'; 1_000_000]);
    client.send("GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answers = client.until_end();
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n") && answers.contains("\r\n\r\nhello\n."));
    assert!(answers.contains(&format!("\r\n\r\n{}HTTP/1.1 200 OK\r\n", "~".repeat(5 << 20))));
    assert!(answers.contains("\r\n\r\n1000000\n.HTTP/1.1"));
    assert!(answers.ends_with("\r\n\r\nhttps true 0\n."));
}

/// A close_notify ends the client's side only, and may come together with its request.
#[test]
fn a_client_that_sends_its_request_and_its_end_at_once_is_answered() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let mut client = Client::connect(addr, &pair);
    client.tls.conn.writer().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    client.tls.conn.send_close_notify();
    client.tls.conn.complete_io(&mut client.tls.sock).unwrap();
    assert!(client.until_end().ends_with("\r\n\r\nhello\n."));
}

#[test]
fn a_websocket_echoes_messages_of_any_size() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let mut client = Client::connect(addr, &pair);
    client.send(handshake("/echo", "Origin: https://test\r\n"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    for size in [0, 1, 125, 126, 16_383, 16_384, 65_536, 1 << 20] {
        let text = format!("{}|", "m".repeat(size));
        if size < 1 << 20 {
            client.send(frame(true, 1, text.as_bytes()));
        } else {
            // Its limit is 1 MiB.
            client.send(frame(false, 1, &text.as_bytes()[2..1000]));
            client.send(frame(true, 0, &text.as_bytes()[1000..]));
        }
        let echoed = client.until("|");
        assert_eq!(echoed.matches('m').count().min(size), if size < 1 << 20 { size } else { size - 2 });
    }
}

/// RFC 6454: a page of the plain site is not of the same origin.
#[test]
fn a_page_of_another_scheme_opens_no_websocket() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let mut client = Client::connect(addr, &pair);
    client.send(handshake("/echo", "Origin: http://test\r\n"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_client_that_speaks_http_is_told_so() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", content.len())), "{head}");
    assert!(content.contains("HTTPS"), "{content}");
}

/// A proxy that does not read the connection says who has opened it, before the first record.
#[test]
fn a_proxy_names_its_client_before_the_handshake() {
    let pair = Pair::new("localhost");
    let proxies = Proxies::new().proxy_protocol("127.0.0.0/8".parse().unwrap());
    let (_server, addr) = serve_with(Server::builder().proxies(proxies), &pair.options().build().unwrap());
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb";
    let without_tls = [&header[..15], b"\x14", &header[16..], b"\x20\0\x05\0\0\0\0\0"].concat();
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n";
    for (header, scheme) in [(&line[..], "https"), (header, "https"), (&without_tls, "https")] {
        for piece in [1, header.len()] {
            let mut socket = TcpStream::connect(addr).unwrap();
            socket.set_nodelay(true).unwrap();
            header.chunks(piece).for_each(|bytes| socket.write_all(bytes).unwrap());
            let client = Client::on(connection("localhost", &[&pair], None), socket);
            let answer = client.expect("the handshake succeeds").get("/from");
            assert!(answer.ends_with(&format!("\r\n{scheme} 192.0.2.1:4660\n.")), "{answer}");
        }
    }
    // Without a header, there is no handshake.
    let mut socket = TcpStream::connect(addr).unwrap();
    let mut hello = Vec::new();
    connection("localhost", &[&pair], None).write_tls(&mut hello).unwrap();
    socket.write_all(&hello).unwrap();
    match socket.read(&mut [0; 100]) {
        Ok(bytes) => assert_eq!(bytes, 0, "it is closed without an answer"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_certificate_is_the_one_for_the_name_that_the_client_asks_for() {
    let (first, second) = (Pair::new("a.example"), Pair::new("b.example"));
    let (_server, addr) = serve(&second.add_to(first.options()).build().unwrap());
    for (name, pair) in [("a.example", &first), ("b.example", &second)] {
        let mut client = Client::try_connect(addr, name, pair, None).expect(name);
        assert!(client.get("/").ends_with("hello\n."));
    }
    // The first is for any other name, which it does not fit.
    let error = Client::try_connect(addr, "c.example", &first, None).err().expect("a wrong name");
    assert!(error.contains("not valid for name"), "{error}");
}

/// RFC 8446 §6.2, RFC 7301 §3.2: the alert names what is wrong, also after the first records of the server.
#[test]
fn a_client_that_the_server_cannot_agree_with_is_told_why() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let check = |version, alpn: &[u8], can_verify: bool, expected: &str| {
        let mut provider = default_provider();
        if !can_verify {
            // The certificate has an ECDSA key.
            provider.cipher_suites.retain(|suite| !format!("{:?}", suite.suite()).contains("_ECDSA_"));
            let is_rsa = |scheme: &SignatureScheme| format!("{scheme:?}").contains("RSA");
            static RSA: OnceLock<Vec<(SignatureScheme, &[&dyn SignatureVerificationAlgorithm])>> =
                OnceLock::new();
            let all = provider.signature_verification_algorithms.mapping;
            let rsa = RSA.get_or_init(|| all.iter().copied().filter(|(scheme, _)| is_rsa(scheme)).collect());
            provider.signature_verification_algorithms.mapping = rsa;
        }
        let mut config = configure(provider, &[version], &[]).with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let error = Client::over(start(config, "localhost"), addr).err().expect("they cannot agree");
        assert!(error.contains(expected), "{version:?}: {error}");
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        check(version, b"http/1.1", false, "HandshakeFailure");
        check(version, b"h3", true, "NoApplicationProtocol");
    }
}

#[test]
fn the_server_chooses_the_fastest_cipher_suite_whatever_the_client_prefers() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    for (version, expected) in [
        (&rustls::version::TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&rustls::version::TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        let mut provider = default_provider();
        for _ in 0..provider.cipher_suites.len() {
            provider.cipher_suites.rotate_left(1);
            let config = configure(provider.clone(), &[version], &[&pair]).with_no_client_auth();
            let client = Client::over(start(config, "localhost"), addr).expect("the handshake succeeds");
            assert_eq!(client.tls.conn.negotiated_cipher_suite().map(|suite| suite.suite()), Some(expected));
        }
    }
}

#[test]
fn a_replaced_certificate_is_shown_to_new_connections_and_closes_none() {
    let (old, new) = (Pair::new("localhost"), Pair::new("localhost"));
    let tls = old.options().build().unwrap();
    let (_server, addr) = serve(&tls);
    let mut before = Client::connect(addr, &old);
    assert!(before.get("/").ends_with("hello\n."));
    // A key of another certificate: nothing changes.
    let mixed = Tls::options().certificate_pem(new.chain.as_bytes(), old.key.as_bytes()).unwrap();
    assert!(tls.replace(mixed).is_err());
    assert!(tls.replace(Tls::options()).is_err());
    assert!(Client::connect(addr, &old).get("/").ends_with("hello\n."));
    tls.replace(new.options()).unwrap();
    assert!(Client::connect(addr, &new).get("/").ends_with("hello\n."));
    assert!(Client::try_connect(addr, "localhost", &old, None).is_err());
    assert!(before.get("/").ends_with("hello\n."));
}

#[test]
fn a_client_without_the_certificate_that_is_asked_for_is_refused() {
    let (pair, known, stranger) = (Pair::new("localhost"), Pair::new("client"), Pair::new("client"));
    let file = std::env::temp_dir().join(format!("fleeting-clients-{}.pem", std::process::id()));
    std::fs::write(&file, &known.chain).expect("a file");
    for is_required in [true, false] {
        let tls = pair.options().clients(&file, is_required).unwrap().build().unwrap();
        let (_server, addr) = serve(&tls);
        let mut client = Client::try_connect(addr, "localhost", &pair, Some(&known)).unwrap();
        let length = known.certificate().len();
        assert!(client.get("/who").ends_with(&format!("https true {length}\n.")));
        let get = |own: Option<&Pair>| {
            // In TLS 1.3 the client learns of it after its own handshake.
            let mut client = Client::try_connect(addr, "localhost", &pair, own)?;
            let _ =
                client.tls.write_all(b"GET /who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let mut answer = String::new();
            client.tls.read_to_string(&mut answer).map_err(|error| error.to_string())?;
            Ok::<_, String>(answer)
        };
        assert!(get(Some(&stranger)).is_err());
        match get(None) {
            Err(error) => assert!(is_required, "{error}"),
            Ok(answer) => assert!(!is_required && answer.ends_with("https true 0\n."), "{answer}"),
        }
    }
    let _ = std::fs::remove_file(file);
}

#[test]
fn many_handshakes_at_once_all_succeed() {
    let pair = Pair::new("localhost");
    let (_server, addr) = serve(&pair.options().build().unwrap());
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let pair = pair.clone();
            std::thread::spawn(move || Client::connect(addr, &pair).get("/").ends_with("hello\n."))
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().expect("it is answered")));
}

/// Clients that stop anywhere in the handshake cost a bounded amount of memory, keep nobody waiting, and are gone at the end of
/// their time.
#[test]
fn a_handshake_that_does_not_end_is_cut_off() {
    const EACH: usize = 50;
    /// A connection that has begun its handshake: rustls' state, and the records of the server's answer.
    const BYTES_MAX: u64 = 24 << 10;
    let pair = Pair::new("localhost");
    let mut timeouts = Timeouts::default();
    timeouts.tls = Duration::from_secs(3);
    let (server, addr) = serve_with(Server::builder().timeouts(timeouts), &pair.options().build().unwrap());
    let before = figures(&server).memory_bytes as u64;
    let mut hello = Vec::new();
    connection("localhost", &[&pair], None).write_tls(&mut hello).expect("it begins");
    // Nothing at all, the head of a record, garbage that looks like one, a part of the hello, and all of it.
    let stages =
        [&b""[..], &[22, 3, 1, 2, 0], &[22, 3, 1, 0, 4, 1, 0, 0, 0], &hello[..hello.len() - 1], &hello];
    let mut stuck = Vec::new();
    for sent in stages.iter().cycle().take(EACH * stages.len()) {
        let mut client = TcpStream::connect(addr).expect("the server listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client.write_all(sent).expect("the server reads");
        stuck.push(client);
    }
    // Behind all of them.
    assert!(Client::connect(addr, &pair).get("/").ends_with("hello\n."));
    let held = figures(&server).memory_bytes as u64 - before;
    assert!(held <= BYTES_MAX * stuck.len() as u64, "{held}");
    for mut client in stuck {
        let mut rest = Vec::new();
        // An alert, or the server's part of the handshake, may come before the end, and the end may be a reset.
        if let Err(error) = client.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let mut left = figures(&server);
    while left.counters.connections > 0 {
        left = figures(&server);
    }
    let kept = left.pooled_inbox_bytes + left.spare_bytes;
    assert!((left.memory_bytes - kept) as u64 <= before, "{left:?}");
}

fn figures(server: &Server) -> WorkerFigures {
    let (sender, figures) = std::sync::mpsc::channel();
    server.handle().figures(move |workers| _ = sender.send(workers));
    figures.recv_timeout(PATIENCE).expect("the worker runs").remove(0)
}

/// Certificates are replaced while clients come, send requests and go. Nobody notices.
#[test]
fn certificates_that_are_replaced_under_load_fail_no_handshake_and_close_no_connection() {
    const TIMES: u64 = 50;
    let pairs = [Pair::new("localhost"), Pair::new("localhost")];
    let tls = pairs[0].options().build().unwrap();
    let (_server, addr) = serve(&tls);
    let replaced = AtomicU64::new(0);
    let connect = || Client::over(connection("localhost", &[&pairs[0], &pairs[1]], None), addr);
    std::thread::scope(|scope| {
        for stays in [true, true, false, false] {
            let (replaced, connect) = (&replaced, &connect);
            scope.spawn(move || {
                let mut client = connect().expect("a handshake");
                let mut seen = 0;
                while seen < TIMES {
                    seen = replaced.load(Ordering::Relaxed);
                    if !stays {
                        client = connect().expect("a handshake");
                    }
                    assert!(client.get("/").ends_with("hello\n."));
                }
            });
        }
        for time in 1..=TIMES {
            tls.replace(pairs[time as usize % 2].options()).expect("it fits");
            // Somebody meets this one.
            assert!(connect().expect("a handshake").get("/").ends_with("hello\n."));
            replaced.store(time, Ordering::Relaxed);
        }
    });
}

/// Publications reach clients with TLS in order, and one that does not read keeps nobody waiting.
#[test]
fn publications_reach_every_client_in_order() {
    let pair = Pair::new("localhost");
    let (server, addr) = serve(&pair.options().build().unwrap());
    let mut sockets: Vec<Client> = (0..8).map(|_| Client::connect(addr, &pair)).collect();
    for client in &mut sockets {
        client.send(handshake("/topic?t", ""));
        assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    }
    let mut events = Client::connect(addr, &pair);
    events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(events.until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    // This one reads nothing until the end.
    let mut silent = sockets.pop().expect("there are eight");
    let (handle, padding) = (server.handle(), "p".repeat(5000));
    for number in 0..2000 {
        handle.publish("t", Message::Text(&format!("<{number}{padding}>"))).expect("it is valid");
        if number % 20 == 19 {
            for client in sockets.iter_mut().chain([&mut events]) {
                for expected in number - 19..=number {
                    let text = client.until(">");
                    let text = &text[text.find('<').expect("a publication")..];
                    assert_eq!(text, format!("<{expected}{padding}>"));
                }
            }
        }
    }
    // What it gets is whole, and in order.
    let mut last = -1;
    while last < 100 {
        let text = silent.until(">");
        let number: i32 =
            text[text.find('<').unwrap() + 1..].trim_end_matches(['p', '>']).parse().expect("a number");
        assert!(number > last);
        last = number;
    }
}

#[test]
fn a_turn_begins_a_few_connections_and_the_next_turns_the_others() {
    let tls = Pair::new("localhost").options().build().unwrap();
    let worker = Server::builder().bind_tls("127.0.0.1:0", &tls).worker(app);
    let mut worker = worker.expect("the worker starts");
    let addr = worker.local_addrs()[0];
    let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut accepted = Vec::new();
    while accepted.last() != Some(&20) {
        worker.turn(Some(Duration::from_secs(1))).expect("polling works");
        accepted.push(worker.counters().accepted);
    }
    let begun = accepted.windows(2).map(|turns| turns[1] - turns[0]).chain([accepted[0]]).max();
    assert_eq!(begun, Some(4), "{accepted:?}");
    drop(clients);
}

// Builds for AddressSanitizer free buffers instead of reusing them.
#[cfg(not(fleeting_paranoid))]
/// Returns how often the worker's thread allocates for each time that a client `ask`s, after it has sent `first`.
fn allocations_of(first: String, ask: impl Fn(&mut Client) + Send + 'static) -> u64 {
    const TIMES: usize = 200;
    let pair = Pair::new("localhost");
    let tls = pair.options().build().unwrap();
    let worker = Server::builder().bind_tls("127.0.0.1:0", &tls).worker(app);
    let mut worker = worker.expect("the worker starts");
    let addr = worker.local_addrs()[0];
    let (warm, is_warm) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut client = Client::connect(addr, &pair);
        client.send(first);
        (0..TIMES).for_each(|_| ask(&mut client));
        warm.send(()).expect("the test waits");
        (0..TIMES).for_each(|_| ask(&mut client));
        // The connection stays open until all of them are counted.
        client
    });
    while is_warm.try_recv().is_err() {
        assert!(!client.is_finished(), "the client has failed");
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    let counted = allocation_counter::measure(|| {
        while !client.is_finished() {
            worker.turn(Some(Duration::from_millis(10))).expect("polling works");
        }
    });
    client.join().expect("the client has all its answers");
    counted.count_total.div_ceil(TIMES as u64)
}

/// They are those of rustls: one for the records that have arrived, and one for each record that is sent.
#[cfg(not(fleeting_paranoid))]
#[test]
fn each_record_is_an_allocation_and_nothing_else_is() {
    let get = allocations_of(String::new(), |client| assert!(client.get("/").ends_with("hello\n.")));
    let echo = allocations_of(handshake("/echo", ""), |client| {
        client.send(frame(true, 1, b"sixteen bytes..|"));
        client.until("bytes..|");
    });
    // The head and the content are four full records and one more.
    let medium = allocations_of(String::new(), |client| {
        client.send("GET /medium HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.until(&"~".repeat(64 << 10));
    });
    assert_eq!((get, echo, medium), (2, 2, 6));
}
