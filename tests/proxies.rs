//! What proxies say about their clients is believed where the server's operator says so, and nowhere else.

use crate::http2_peer::websocket_head;
use fleeting::testing::{self, TestServer as InMemory};
use fleeting::{
    App, Error, ForwardedFields, Keep, Limits, Message, Proxies, Request, Response, Server, SitePolicy,
    Socket, Timeouts, WebSocket, WorkerContext,
};
use fleeting_testkit::client::{Client, TEXT, frame, handshake};
use fleeting_testkit::http2;
use fleeting_testkit::http2::session::Session;
use fleeting_testkit::server::Echo;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Returns a header of version 2 for the same client, with these records.
fn binary(tlvs: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + tlvs.len()).expect("short records").to_be_bytes();
    let addresses = [192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 0x01, 0xbb];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length, &addresses, tlvs].concat()
}

fn app(_worker: &WorkerContext) -> App {
    App::new()
        .get("/", |req| {
            let peer = req.peer_addr().map_or("-".into(), |peer| peer.to_string());
            let client = req.client_ip().map_or("-".into(), |ip| ip.to_string());
            let header = req.proxy_header();
            let to = header.and_then(|header| header.destination()).map_or("-".into(), |to| to.to_string());
            let sni = header.and_then(|header| header.tlv(0x02)).unwrap_or(b"-").escape_ascii();
            Ok(Response::text(format!("{peer} {client} {} {to} {sni}", req.scheme())))
        })
        .post("/", |req| Ok(Response::text(format!("{}", req.body().len()))))
        .post("/client", |req| {
            Ok(Response::text(format!("{} {}", req.client_ip().expect("a client"), req.body().len())))
        })
        .ws("/client/ws", Greeter)
        .ws("/echo", Echo)
}

/// Greets its client by its address, and echoes.
struct Greeter;

impl WebSocket for Greeter {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        socket.text(&req.client_ip().expect("a client").to_string());
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }
}

fn serve(proxies: Proxies) -> (Server, SocketAddr) {
    serve_within(proxies, Timeouts::default())
}

fn serve_within(proxies: Proxies, timeouts: Timeouts) -> (Server, SocketAddr) {
    let builder = Server::builder().bind("127.0.0.1:0").proxies(proxies).timeouts(timeouts);
    let server = builder.serve(app).expect("the server starts");
    let addr = server.local_addrs()[0];
    (server, addr)
}

fn announced() -> Proxies {
    Proxies::new().proxy_protocol("127.0.0.0/8".parse().unwrap())
}

fn trusted() -> Proxies {
    Proxies::new().trust("127.0.0.0/8, 10.0.0.0/8".parse().unwrap(), ForwardedFields::XForwarded)
}

#[test]
fn a_connection_begins_with_a_header_that_names_the_client() {
    let (_server, addr) = serve(announced());
    let named = "192.0.2.1:4660 192.0.2.1 http 198.51.100.7:443 -";
    let v6 = "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
    let with_sni = binary(b"\x02\0\x09a.example\x05\0\x01x");
    let with_tls = binary(b"\x20\0\x05\x01\0\0\0\0");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (header, expected) in [
        (LINE.as_bytes(), named),
        (&binary(&[]), named),
        (v6.as_bytes(), "[2001:db8::1]:1 2001:db8::1 http [2001:db8::2]:2 -"),
        (&with_sni, "192.0.2.1:4660 192.0.2.1 http 198.51.100.7:443 a.example"),
        (&with_tls, "192.0.2.1:4660 192.0.2.1 https 198.51.100.7:443 -"),
        // The proxy's own connections.
        (b"PROXY UNKNOWN\r\n", "PEER 127.0.0.1 http - -"),
        (local, "PEER 127.0.0.1 http - -"),
    ] {
        let mut client = Client::connect(addr);
        let old = client.stream().local_addr().unwrap().to_string();
        let expected = expected.replace("PEER", &old);
        // Together, and two requests at once.
        client.send([header, GET.as_bytes(), GET.as_bytes()].concat());
        for _ in 0..2 {
            assert_eq!(client.answer().text(), expected, "{}", header.escape_ascii());
        }
        // What stands in a request is not believed for that.
        client.send(GET.replace("Host", "X-Forwarded-For: 203.0.113.9\r\nHost"));
        assert_eq!(client.answer().text(), expected);
        let mut client = Client::connect(addr);
        header.chunks(1).for_each(|byte| client.send(byte));
        let expected = expected.replace(&old, &client.stream().local_addr().unwrap().to_string());
        assert_eq!(client.get("/").text(), expected);
    }
}

#[test]
fn what_follows_a_header_is_served_as_ever() {
    let (server, addr) = serve(announced());
    let mut client = Client::connect(addr);
    let content = vec![b'~'; 500_000];
    client.send(
        [&binary(&[]), &b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"[..], &content]
            .concat(),
    );
    assert_eq!(client.answer().text(), "500000");
    let mut client = Client::connect(addr);
    client.send([LINE, &handshake("/echo", "")].concat());
    assert_eq!(client.answer().status, 101);
    client.frame(TEXT, "hello");
    assert_eq!(client.next_frame().text(), "hello");
    server.handle().shutdown();
    assert_eq!(client.next_frame().close_code(), 1001);
}

/// The header stands in front of the preface, once, and names the client of all streams.
#[test]
fn a_header_in_front_of_http2_names_the_client_of_all_streams() {
    let (_server, addr) = serve(announced());
    for (header, expected) in [
        (LINE.as_bytes(), "192.0.2.1:4660 192.0.2.1 http 198.51.100.7:443 -"),
        (
            &binary(b"\x02\0\x09a.example\x20\0\x05\x01\0\0\0\0"),
            "192.0.2.1:4660 192.0.2.1 https 198.51.100.7:443 a.example",
        ),
        (b"PROXY UNKNOWN\r\n", "PEER 127.0.0.1 http - -"),
    ] {
        // Where the header ends for the first read, or one byte behind, or one byte at a time.
        for cut in [0, header.len(), header.len() + 1, 1] {
            let mut client = http2::client::Client::silent(addr, Session::client(&[]));
            let preface = std::mem::take(&mut client.session.output);
            let expected = expected.replace("PEER", &client.stream().local_addr().unwrap().to_string());
            let begin = [header, &preface].concat();
            match cut {
                1 => begin.chunks(1).for_each(|byte| client.send(byte)),
                cut => [&begin[..cut], &begin[cut..]].into_iter().for_each(|part| client.send(part)),
            }
            // What stands in a request is not believed for that.
            let mut head = http2::client::head("GET", "/");
            let plain = client.start(&head, true);
            head.push(("x-forwarded-for", "203.0.113.9"));
            let claims = client.start(&head, true);
            // A stream with a record of its own.
            head[0].1 = "POST";
            head[3].1 = "/client";
            let posted = client.start(&head, false);
            let socket = client.start(&websocket_head("/client/ws"), false);
            assert_eq!(client.response(plain).text(), expected);
            assert_eq!(client.response(claims).text(), expected);
            client.data(posted, b"content", true);
            let ip = expected.split(' ').nth(1).unwrap();
            assert_eq!(client.response(posted).text(), format!("{ip} 7"));
            let greeting = client.content(socket, 2 + ip.len());
            assert_eq!(greeting[2..], *ip.as_bytes());
            client.data(socket, &frame(true, TEXT, b"hello"), false);
            assert_eq!(client.content(socket, 7)[2..], *b"hello");
        }
    }
    // Without it, the connection is closed without an answer.
    let mut client = http2::client::Client::connect(addr);
    assert_eq!(client.ended(), None);
}

/// A proxy's fields are believed for each request: those of one stream say nothing about another.
#[test]
fn fields_name_the_client_of_their_own_stream() {
    let (_server, addr) = serve(trusted());
    let mut client = http2::client::Client::connect(addr);
    let streams: Vec<(u32, String)> = (1..20)
        .map(|number| {
            let ip = format!("192.0.2.{number}");
            let mut head = http2::client::head("POST", "/client");
            head.push(("x-forwarded-for", &ip));
            (client.start(&head, false), ip)
        })
        .collect();
    let direct = client.start(&http2::client::head("POST", "/client"), false);
    for (stream, ip) in streams.iter().rev() {
        client.data(*stream, b"x", true);
        assert_eq!(client.response(*stream).text(), format!("{ip} 1"));
    }
    client.data(direct, b"", true);
    assert_eq!(client.response(direct).text(), "127.0.0.1 0");
}

#[test]
fn a_connection_without_its_header_is_closed_without_an_answer() {
    let (server, addr) = serve(announced());
    let mut corrupt = binary(b"\x03\0\x04\0\0\0\0");
    corrupt.extend_from_slice(GET.as_bytes());
    let bad: [&[u8]; 9] = [
        GET.as_bytes(),
        b"\x16\x03\x01\x02\0\x01",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4660\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 evil 198.51.100.7 4660 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c123456789012",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c123456789012",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b12345678901",
        &corrupt,
    ];
    for bytes in bad {
        let mut client = Client::connect(addr);
        client.send(bytes);
        assert_eq!(client.until_cut_off(), b"", "{}", bytes.escape_ascii());
    }
    // The end before the header, and within it.
    for bytes in [&b""[..], b"PROXY TCP4"] {
        let mut client = Client::connect(addr);
        client.send(bytes);
        client.end();
        client.ended();
    }
    // The others are served.
    let mut client = Client::connect(addr);
    client.send([LINE, GET].concat());
    assert_eq!(client.answer().status, 200);
    server.handle().shutdown();
    let report = server.run().expect("it ends");
    assert_eq!(report.stragglers.len(), 0);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let mut timeouts = Timeouts::default();
    timeouts.first_byte = Duration::from_millis(100);
    let (_server, addr) = serve_within(announced(), timeouts);
    for begun in ["", "PROXY TCP4 192.0.2.1"] {
        let mut client = Client::connect(addr);
        client.send(begun);
        client.cut_off();
    }
}

#[test]
fn a_header_from_elsewhere_is_no_request() {
    for proxies in [Proxies::new(), Proxies::new().proxy_protocol("10.0.0.0/8, unix".parse().unwrap())] {
        let (_server, addr) = serve(proxies);
        for header in [LINE.as_bytes(), &binary(&[])] {
            let mut client = Client::connect(addr);
            client.send([header, GET.as_bytes()].concat());
            assert_eq!(client.answer().status, 400);
        }
        let mut client = Client::connect(addr);
        client.send(GET);
        let expected = format!("{} 127.0.0.1 http - -", client.stream().local_addr().unwrap());
        assert_eq!(client.answer().text(), expected);
    }
}

#[test]
fn fields_are_believed_if_the_announced_client_is_a_proxy() {
    let fields = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nHost";
    for (trust, expected) in [
        ("192.0.2.1", "192.0.2.1:4660 203.0.113.9 https 198.51.100.7:443 -"),
        // The proxy before the server is trusted, but it does not speak for the client's fields.
        ("127.0.0.1", "192.0.2.1:4660 192.0.2.1 http 198.51.100.7:443 -"),
    ] {
        let proxies = announced().trust(trust.parse().unwrap(), ForwardedFields::XForwarded);
        let (_server, addr) = serve(proxies);
        let mut client = Client::connect(addr);
        client.send([LINE, &GET.replace("Host", fields)].concat());
        assert_eq!(client.answer().text(), expected);
    }
}

/// HAProxy says so for health checks, but also for the clients of its Unix sockets.
#[test]
fn a_header_that_names_no_address_makes_no_fields_trusted() {
    let proxies = announced().trust("127.0.0.1, unix".parse().unwrap(), ForwardedFields::XForwarded);
    let (_server, addr) = serve(proxies);
    let unspecified = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[b'/'; 216]].concat();
    for (header, has_peer) in
        [(&b"PROXY UNKNOWN\r\n"[..], true), (unspecified, true), (local, true), (&unix, false)]
    {
        let mut client = Client::connect(addr);
        let peer = client.stream().local_addr().unwrap().to_string();
        let fields = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nHost";
        client.send([header, GET.replace("Host", fields).as_bytes()].concat());
        let expected = if has_peer { format!("{peer} 127.0.0.1 http - -") } else { "- - http - -".into() };
        assert_eq!(client.answer().text(), expected, "{}", header.escape_ascii());
    }
}

/// The clients of a Unix socket have no address, so they are named by themselves.
#[test]
fn the_clients_of_a_unix_socket_may_be_proxies() {
    let path = std::env::temp_dir().join(format!("fl-proxies-{}.sock", std::process::id()));
    let fields = "X-Forwarded-For: 203.0.113.9\r\nHost";
    let unix = || "unix".parse().unwrap();
    for (proxies, sent, expected) in [
        (Proxies::new(), GET.to_string(), "- - http - -"),
        (Proxies::new(), GET.replace("Host", fields), "- - http - -"),
        (trusted(), GET.replace("Host", fields), "- - http - -"),
        (
            Proxies::new().trust(unix(), ForwardedFields::XForwarded),
            GET.replace("Host", fields),
            "- 203.0.113.9 http - -",
        ),
        (Proxies::new().trust(unix(), ForwardedFields::XForwarded), GET.to_string(), "- - http - -"),
        (
            Proxies::new().proxy_protocol(unix()),
            [LINE, GET].concat(),
            "192.0.2.1:4660 192.0.2.1 http 198.51.100.7:443 -",
        ),
        (Proxies::new().proxy_protocol(unix()), ["PROXY UNKNOWN\r\n", GET].concat(), "- - http - -"),
    ] {
        let server =
            Server::builder().bind(format!("unix:{}", path.display())).proxies(proxies.clone()).serve(app);
        let server = server.expect("the server starts");
        let mut client = Client::connect_unix(&path);
        client.send(&sent);
        assert_eq!(client.answer().text(), expected, "{proxies:?} {sent:?}");
        server.handle().shutdown();
        server.run().expect("it ends");
    }
}

/// Serves in memory; clients have the address 127.0.0.1 unless they say otherwise.
fn in_memory(app: App, proxies: Proxies) -> InMemory {
    testing::builder().proxies(proxies).serve(app)
}

#[test]
fn a_kept_request_and_the_completion_hook_know_the_client() {
    let (kept, keeps) = mpsc::channel();
    let (over, overs) = mpsc::channel();
    let app = App::new()
        .get("/", move |req| {
            kept.send(req.keep()).expect("the test waits");
            Ok(Response::new(204))
        })
        .on_complete(move |done| over.send(done.client_ip()).expect("the test waits"));
    let app = in_memory(app, trusted());
    for (peer, field, expected) in [
        ("127.0.0.1:1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1:1", "192.0.2.1, 10.0.0.9", "192.0.2.1"),
        ("127.0.0.1:1", "nonsense", "127.0.0.1"),
        ("198.51.100.7:1", "192.0.2.1", "198.51.100.7"),
    ] {
        let client = app.connect_from(peer.parse().unwrap());
        client.raw(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {field}\r\n\r\n"));
        assert_eq!(client.answer().status(), 204);
        let expected = expected.parse().ok();
        let kept = keeps.recv().unwrap();
        assert_eq!(kept.client_ip(), expected, "{peer} {field}");
        let arena = fleeting::Arena::new(4096);
        assert_eq!(kept.request(&arena).client_ip(), expected, "{peer} {field}");
        assert_eq!(overs.recv().unwrap(), expected, "{peer} {field}");
    }
    // A head that cannot be read says nothing.
    app.connect().raw("GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    assert_eq!(overs.recv().unwrap(), "127.0.0.1".parse().ok());
}

/// Returns the statuses of POST and of a handshake with these fields.
fn statuses(app: &InMemory, peer: &str, fields: &str) -> [u16; 2] {
    let ask = |request: String| {
        let client = app.connect_from(peer.parse().unwrap());
        client.raw(request);
        client.answer().status()
    };
    [
        ask(format!("POST / HTTP/1.1\r\nContent-Length: 0\r\n{fields}\r\n")),
        ask(handshake("/ws", fields).replace("Host: test\r\n", "")),
    ]
}

#[test]
fn pages_are_judged_by_the_scheme_and_the_host_that_their_browser_has_used() {
    let make = || {
        let policy = SitePolicy::new();
        let app = App::new().post("/", |_req| Ok(Response::new(202))).ws("/ws", Echo);
        in_memory(app.layer(policy.layer()), trusted())
    };
    let app = make();
    // The proxy has replaced Host with its own name for the server.
    let page = "Host: internal:8080\r\nOrigin: https://chat.example\r\n";
    let forwarded = "X-Forwarded-Host: chat.example\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(statuses(&app, "127.0.0.1:1", &format!("{page}{forwarded}")), [202, 101]);
    assert_eq!(statuses(&app, "127.0.0.1:1", page), [403; 2]);
    // Only a proxy may say so.
    assert_eq!(statuses(&app, "192.0.2.1:1", &format!("{page}{forwarded}")), [403; 2]);
    // A page of the plain site, which any host on the way may have altered.
    let plain = "Host: chat.example\r\nOrigin: http://chat.example\r\n";
    assert_eq!(statuses(&app, "127.0.0.1:1", plain), [202, 101]);
    assert_eq!(statuses(&app, "127.0.0.1:1", &format!("{plain}X-Forwarded-Proto: https\r\n")), [403; 2]);
    let other = "Host: chat.example\r\nX-Forwarded-Host: chat.example\r\nOrigin: https://evil.example\r\n";
    assert_eq!(statuses(&app, "127.0.0.1:1", other), [403; 2]);
}

/// A page whose name has been rebound to this machine may send any field but Host and Origin.
#[test]
fn a_page_that_has_rebound_its_name_cannot_pass_for_a_proxy() {
    let make = |policy: SitePolicy| {
        let app = App::new().post("/", |_req| Ok(Response::new(202))).ws("/ws", Echo);
        in_memory(app.layer(policy.layer()), trusted())
    };
    let app = make(SitePolicy::new().loopback().host("chat.example"));
    let page = "Host: evil.example:8080\r\nOrigin: http://evil.example:8080\r\n";
    for fields in [
        "",
        "X-Forwarded-Host: localhost\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-Host: chat.example\r\n",
    ] {
        assert_eq!(statuses(&app, "127.0.0.1:1", &format!("{page}{fields}")), [421; 2], "{fields}");
    }
    // Nor is a host served that a client of the proxy has asked for, and that is not named.
    let asked = "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: ";
    assert_eq!(statuses(&app, "127.0.0.1:1", &format!("{asked}other.example\r\n")), [421; 2]);
    assert_eq!(statuses(&app, "127.0.0.1:1", &format!("{asked}chat.example\r\n")), [202, 101]);
}

#[test]
fn a_long_list_is_read_within_the_limits_of_a_head() {
    let limits = Limits::default();
    let app = in_memory(
        App::new().get("/", |req| Ok(Response::text(format!("{}", req.client_ip().unwrap())))),
        trusted(),
    );
    let list = "10.0.0.2, ".repeat(limits.head_bytes / 20);
    for (before, expected) in [("192.0.2.1", "192.0.2.1"), ("\"", "10.0.0.2"), (",", "10.0.0.2")] {
        let client = app.connect();
        client.raw(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {before}, {list}10.0.0.2\r\n\r\n"));
        assert_eq!(client.answer().text(), expected);
    }
}
