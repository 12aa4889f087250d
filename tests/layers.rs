//! A layer sees every response to the requests of its application, wherever it comes from.

use fleeting::http1::Fields;
use fleeting::ws::CloseCode;
use fleeting::{App, Error, Flow, Handler, Message, Request, Response, Socket, Upload, WebSocket, testing};
use fleeting_testkit::client::{Answer, Client, TEXT, handshake};
use fleeting_testkit::server::{self, TestServer};
use std::cell::RefCell;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// Reports what happens to it.
#[derive(Clone)]
struct Reporting(Sender<&'static str>);

impl WebSocket for Reporting {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        self.0.send("opened").unwrap();
        socket.text(req.extension_text::<User>().unwrap_or("nobody"));
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.send(message);
    }

    fn close(&self, _session: (), _code: Option<CloseCode>, _reason: &str) {
        self.0.send("closed").unwrap();
    }
}

impl Upload for Reporting {
    type Session = ();

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        self.0.send("begun").unwrap();
        Ok(())
    }

    fn piece(&self, _session: &mut (), _piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("finished"))
    }

    fn abort(&self, _session: ()) {
        self.0.send("aborted").unwrap();
    }
}

struct User;

/// Everything that an application can have.
fn everything(report: &Sender<&'static str>) -> App {
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
        .get("/panic", |_req| panic!("planted"))
        .get("/later", |_req| {
            let (response, responder) = Response::defer();
            responder.send(Response::text("later")).unwrap();
            Ok(response)
        })
        .get("/events", |_req| Ok(Response::events(1024).0))
        .get("/users/{id}", |req| Ok(Response::text(req.param("id"))))
        .upload("PUT", "/upload", Reporting(report.clone()))
        .ws("/ws", Reporting(report.clone()))
}

const WITHOUT_CONTENT: &str = "Content-Length: 0\r\n";

/// A request of each kind, with the status that it has without layers.
fn requests() -> Vec<(String, u16)> {
    let request = |line: &str, fields: &str, content: &str| {
        format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{content}")
    };
    vec![
        (request("GET /", "", ""), 200),
        (request("POST /echo", "Content-Length: 2\r\n", "hi"), 200),
        (request("GET /panic", "", ""), 500),
        (request("GET /later", "", ""), 200),
        (request("GET /users/7", "", ""), 200),
        (request("GET /users/%ff", "", ""), 400),
        (request("PUT /upload", "Content-Length: 2\r\n", "hi"), 200),
        (request("OPTIONS /", WITHOUT_CONTENT, ""), 204),
        (request("OPTIONS *", WITHOUT_CONTENT, ""), 204),
        (request("DELETE /", WITHOUT_CONTENT, ""), 405),
        (request("BREW /", WITHOUT_CONTENT, ""), 501),
        (request("GET /unknown", "", ""), 404),
        (request("POST /unknown", "Content-Length: 2\r\n", "hi"), 404),
        (request("GET /ws", "", ""), 426),
    ]
}

fn ask(server: &TestServer, request: &str) -> Answer {
    let mut client = Client::connect(server.addr);
    client.send(request);
    client.answer()
}

/// Findings A1 and A2.
#[test]
fn a_layer_sees_every_response() {
    let (report, _reports) = mpsc::channel();
    let server = server::run(move |_| {
        everything(&report).layer(|req, next| {
            let response = next.call(req).unwrap_or_else(Response::from);
            let status = response.status().to_string();
            response.header("x-layer", status)
        })
    });
    for (request, status) in requests() {
        let answer = ask(&server, &request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.field("x-layer"), Some(&*status.to_string()), "{request}");
    }
    let mut events = Client::connect(server.addr);
    events.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(events.answer_to_head().field("x-layer"), Some("200"));
    let mut socket = Client::connect(server.addr);
    socket.send(handshake("/ws", ""));
    let head = socket.answer_to_head();
    assert_eq!((head.status, head.field("x-layer")), (101, Some("101")));
    assert_eq!(socket.next_frame().text(), "nobody");
    socket.frame(TEXT, "hi");
    assert_eq!(socket.next_frame().text(), "hi");
}

/// Finding A1: the token is checked once, in the way that comes to mind first.
#[test]
fn a_layer_that_refuses_lets_nothing_through() {
    let (report, reports) = mpsc::channel();
    let server = server::run(move |_| {
        everything(&report).layer(|req, next| match req.header("authorization") {
            Some("Bearer secret") => next.call(req),
            _ => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
        })
    });
    let mut refused = requests();
    refused.push((handshake("/ws", ""), 101));
    refused.push(("GET /events HTTP/1.1\r\nHost: test\r\n\r\n".into(), 200));
    for (request, status) in &refused {
        let answer = ask(&server, request);
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer")), "{request}");
        let allowed = request.replacen("Host: test\r\n", "Host: test\r\nAuthorization: Bearer secret\r\n", 1);
        let mut client = Client::connect(server.addr);
        client.send(&allowed);
        assert_eq!(client.answer_to_head().status, *status, "{allowed}");
    }
    drop(server);
    // Only the allowed requests got through.
    let seen: Vec<_> = reports.iter().collect();
    assert_eq!(seen.iter().filter(|report| **report == "opened").count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|report| **report == "begun").count(), 1, "{seen:?}");
}

#[test]
fn a_layer_may_answer_instead_of_what_has_begun() {
    let (report, reports) = mpsc::channel();
    let server = server::run(move |_| {
        everything(&report).layer(|req, next| {
            next.call(req)?;
            Err(Error::forbidden("No."))
        })
    });
    for (request, reported) in
        [(handshake("/ws", ""), ["opened", "closed"]), (requests()[6].0.clone(), ["begun", "aborted"])]
    {
        let answer = ask(&server, &request);
        assert_eq!((answer.status, answer.text()), (403, "No."), "{request}");
        assert_eq!([reports.recv().unwrap(), reports.recv().unwrap()], reported);
    }
    server.wait(|counters| counters.websockets == 0);
}

#[test]
fn a_layer_may_panic_or_call_on_twice() {
    let (report, reports) = mpsc::channel();
    let server = server::run(move |_| {
        everything(&report)
            .layer(|req, next| {
                assert_ne!(req.query(), Some("panic"), "planted");
                if req.query() == Some("twice") {
                    let _ = next.call(req);
                }
                next.call(req)
            })
            .layer(|req, next| next.call(req).unwrap_or_else(Response::from).header("x-outer", "yes"))
    });
    for path in ["/?panic", "/unknown?panic"] {
        let answer = ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!((answer.status, answer.field("x-outer")), (500, Some("yes")), "{path}");
    }
    let answer = ask(&server, &handshake("/ws?panic", ""));
    assert_eq!((answer.status, answer.field("x-outer")), (500, Some("yes")));
    assert_eq!(server.wait(|counters| counters.panics == 3).panics, 3);

    assert_eq!(ask(&server, "GET /?twice HTTP/1.1\r\nHost: test\r\n\r\n").text(), "hello");
    let upload = "PUT /upload?twice HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(&server, upload).text(), "finished");
    assert_eq!(ask(&server, &handshake("/ws?twice", "")).status, 500);
    let seen: Vec<_> = (0..5).map(|_| reports.recv().unwrap()).collect();
    assert_eq!(seen, ["begun", "begun", "aborted", "opened", "closed"]);
}

/// An upload that takes four bytes.
struct Short;

impl Upload for Short {
    type Session = ();

    fn limit(&self) -> u64 {
        4
    }

    fn open(&self, _req: &Request<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn piece(&self, _session: &mut (), piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        if piece == b"!" { Err(Error::new(409, "No.")) } else { Ok(()) }
    }

    fn finish(&self, _session: (), _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text("finished"))
    }
}

/// The answers that follow when the layers have returned, those that the server makes itself included.
#[test]
fn the_fields_of_a_layer_are_sent_with_every_later_answer() {
    let waiting = RefCell::new(Vec::new());
    let app = App::new()
        .get("/late", move |_req| {
            let (response, responder) = Response::defer();
            waiting.borrow_mut().push(responder);
            Ok(response)
        })
        .get("/forgotten", |_req| Ok(Response::defer().0))
        .upload("PUT", "/upload", Short)
        .layer(|req, next| next.call(req).unwrap_or_else(Response::from).header("x-layer", "yes"));
    let server = testing::serve(app);
    let check = |request: &str, status: u16| {
        let connection = server.raw(request);
        server.advance(Duration::from_secs(90)); // longer than any timeout
        let answer = connection.answer();
        assert_eq!((answer.status(), answer.header("x-layer")), (status, Some("yes")), "{request}");
    };
    let chunked = "PUT /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}2\r\nhi\r\n0\r\n\r\n"), 200);
    check(&format!("{chunked}1\r\n!\r\n"), 409);
    check(&format!("{chunked}5\r\nhello\r\n"), 413);
    check(&format!("{chunked}2\r\nh"), 408);
    check(&format!("{chunked}x"), 400);
    check("GET /late HTTP/1.1\r\nHost: test\r\n\r\n", 504);
    check("GET /forgotten HTTP/1.1\r\nHost: test\r\n\r\n", 500);
}

#[test]
fn layers_pass_values_to_handlers_and_websockets() {
    let (report, _reports) = mpsc::channel();
    let server = server::run(move |_| {
        everything(&report)
            .get("/me", |req| Ok(Response::text(req.extension_text::<User>().unwrap_or("nobody"))))
            .layer(|req, next| {
                if let Some(name) = req.header("x-user") {
                    req.insert_text::<User>(name);
                }
                next.call(req)
            })
    });
    assert_eq!(ask(&server, "GET /me HTTP/1.1\r\nHost: test\r\nX-User: ada\r\n\r\n").text(), "ada");
    assert_eq!(ask(&server, "GET /me HTTP/1.1\r\nHost: test\r\n\r\n").text(), "nobody");
    let mut socket = Client::connect(server.addr);
    socket.send(handshake("/ws", "X-User: ada\r\n"));
    assert_eq!(socket.answer_to_head().status, 101);
    assert_eq!(socket.next_frame().text(), "ada");
}

/// Adds its name to the field `x-path`, in front.
fn named(app: App, name: &'static str) -> App {
    app.layer(move |req, next: &dyn Handler| {
        let response = next.call(req).unwrap_or_else(Response::from);
        let inner = response.field("x-path").unwrap_or_default().to_string();
        response.header("x-path", format!("{name}{inner}"))
    })
}

#[test]
fn layers_are_nested_as_their_applications_are() {
    let (report, _reports) = mpsc::channel();
    let route = fleeting::handler(|req| Response::new(200).header("x-route", req.route().unwrap_or("none")));
    let server = server::run(move |_| {
        let inner =
            named(App::new().get("/", route).get("/{id}/x", route).ws("/ws", Reporting(report.clone())), "c");
        let middle = named(App::new().get("/", route).nest("/inner/{user}", inner), "b")
            .fallback(|req| Ok(Response::text(req.path()).with_status(404)));
        let outer = App::new().ws("/ws", Reporting(report)).get("/", route);
        named(named(outer, "a").nest("/mid", middle), "A").get("/last", route)
    });
    let check = |path: &str, status: u16, layers: &str, route: Option<&str>| {
        let answer = ask(&server, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let found = (answer.status, answer.field("x-path").unwrap_or_default(), answer.field("x-route"));
        assert_eq!(found, (status, layers, route), "{path}");
        answer.text().to_string()
    };
    check("/", 200, "Aa", Some("/"));
    check("/last", 200, "Aa", Some("/last"));
    check("/unknown", 404, "Aa", None);
    check("/mid", 200, "Aab", Some("/mid"));
    assert_eq!(check("/mid/", 404, "Aab", None), "/mid/");
    assert_eq!(check("/mid/unknown/x", 404, "Aab", None), "/mid/unknown/x");
    check("/midway", 404, "Aa", None);
    check("/mid/inner/7", 200, "Aabc", Some("/mid/inner/{user}"));
    check("/mid/inner/7/8/x", 200, "Aabc", Some("/mid/inner/{user}/{id}/x"));
    assert_eq!(check("/mid/inner/7/unknown", 404, "Aabc", None), "/mid/inner/7/unknown");
    check("/mid/inner/%ff/unknown", 400, "Aabc", None);
    check("/mid/inner", 404, "Aab", None);
    for (path, layers) in [("/ws", "Aa"), ("/mid/inner/7/ws", "Aabc")] {
        let mut socket = Client::connect(server.addr);
        socket.send(handshake(path, ""));
        let head = socket.answer_to_head();
        assert_eq!((head.status, head.field("x-path")), (101, Some(layers)), "{path}");
    }
}

/// What is under a nested application's prefix is inside of its layers, unless a route of another application says more
/// about the path than the prefix does.
#[test]
fn a_nested_application_has_all_that_is_under_its_prefix() {
    let route = fleeting::handler(|req| Response::new(200).header("x-route", req.route().unwrap_or("none")));
    let admin = move || named(App::new().get("/users", route).get("/{section}/log", route), "b");
    let below = server::run(move |_| {
        let app = App::new()
            .get("/{*path}", route)
            .get("/admin/health", route)
            .get("/admin/open/{*path}", route)
            .nest("/admin", admin());
        named(app, "a")
    });
    let beside = server::run(move |_| {
        let tenant = named(App::new().get("/", route).get("/{page}", route), "c");
        let app = App::new()
            .get("/{kind}/{id}", route)
            .post("/{kind}/{id}/{part}", route)
            .get("/files/{*path}", route)
            .nest("/admin", admin())
            .nest("/{kind}/of/{tenant}", tenant);
        named(app, "a")
    });
    let check = |server: &TestServer, request: &str, status: u16, layers: &str, route: Option<&str>| {
        let answer = ask(server, &format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let found = (answer.status, answer.field("x-path").unwrap_or_default(), answer.field("x-route"));
        assert_eq!(found, (status, layers, route), "{request}");
    };
    for server in [&below, &beside] {
        check(server, "GET /admin/users", 200, "ab", Some("/admin/users"));
        check(server, "GET /admin/a/log", 200, "ab", Some("/admin/{section}/log"));
        for path in ["/admin", "/admin/", "/admin/x", "/admin/x/y", "/%61dmin/x", "/admin//users"] {
            check(server, &format!("GET {path}"), 404, "ab", None);
        }
        check(server, "POST /admin/a/b", 404, "ab", None);
        check(server, "PURGE /admin/a", 404, "ab", None);
        check(server, "GET /admin/%ff/log", 400, "ab", None);
    }
    check(&below, "GET /admin/health", 200, "a", Some("/admin/health"));
    check(&below, "GET /admin/open/x", 200, "a", Some("/admin/open/{*path}"));
    check(&below, "GET /administration", 200, "a", Some("/{*path}"));
    check(&below, "GET /a/admin", 200, "a", Some("/{*path}"));
    check(&beside, "GET /a/b", 200, "a", Some("/{kind}/{id}"));
    check(&beside, "GET /a/%ff", 400, "a", None);
    check(&beside, "POST /a/b/c", 200, "a", Some("/{kind}/{id}/{part}"));
    check(&beside, "GET /files/of/x/y/z", 200, "a", Some("/files/{*path}"));
    check(&beside, "GET /a/of/x", 200, "ac", Some("/{kind}/of/{tenant}"));
    check(&beside, "GET /a/of/x/y", 200, "ac", Some("/{kind}/of/{tenant}/{page}"));
    check(&beside, "GET /a/of/x/y/z", 404, "ac", None);
    check(&beside, "POST /a/of/x", 405, "ac", None);
}

/// A 101 is sent for a WebSocket that was opened, and for nothing else.
#[test]
fn a_layer_that_makes_a_handshake_something_else_refuses_it() {
    let (report, reports) = mpsc::channel();
    let (statuses, completed) = mpsc::channel();
    let server = server::run(move |_| {
        let statuses = statuses.clone();
        App::new()
            .ws("/ws", Reporting(report.clone()))
            .layer(|req, next: &dyn Handler| {
                let response = next.call(req)?;
                Ok(match req.query() {
                    Some("body") => response.body("other"),
                    Some("status") => response.with_status(403),
                    Some("both") => response.with_status(403).body("other"),
                    Some("restored") => response.with_status(403).with_status(200),
                    _ => response,
                })
            })
            .on_complete(move |done| statuses.send(done.status()).unwrap_or_default())
    });
    for (query, status, text) in
        [("body", 200, "other"), ("status", 403, ""), ("both", 403, "other"), ("restored", 200, "")]
    {
        let mut client = Client::connect(server.addr);
        client.send(handshake(&format!("/ws?{query}"), ""));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (status, text), "{query}");
        assert_eq!([(); 2].map(|()| reports.recv().unwrap()), ["opened", "closed"], "{query}");
        // The connection is one for requests.
        assert_eq!(client.get("/").status, 404, "{query}");
        assert_eq!([(); 2].map(|()| completed.recv().unwrap()), [Some(status), Some(404)], "{query}");
    }
}

/// RFC 9110 §9.3.6: a 2xx would open a tunnel.
#[test]
fn no_layer_lets_a_tunnel_open() {
    let server = server::run(|_| {
        App::new().fallback(|_req| Ok(Response::text("fallback"))).layer(|req, next: &dyn Handler| match req
            .header("x-do")
        {
            Some("answer") => Ok(Response::text("anything")),
            Some("defer") => {
                let (response, responder) = Response::defer();
                responder.send(Response::text("later")).unwrap();
                Ok(response)
            }
            Some("refuse") => Err(Error::forbidden("no")),
            _ => next.call(req),
        })
    });
    for (field, status) in
        [("", 501), ("x-do: answer\r\n", 501), ("x-do: defer\r\n", 501), ("x-do: refuse\r\n", 403)]
    {
        let answer = ask(&server, &format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{field}\r\n"));
        assert_eq!((answer.status, answer.field("connection")), (status, Some("close")), "{field}");
    }
}

/// The path that a layer sees is the one that the router compares with its routes.
#[test]
fn no_encoding_of_a_path_passes_by_a_layer() {
    let server = server::run(|_| {
        App::new().get("/admin/{*rest}", |_req| Ok(Response::text("secret"))).layer(
            |req, next: &dyn Handler| match req.path() {
                path if path.starts_with("/admin") => Err(Error::forbidden(path.to_string())),
                _ => next.call(req),
            },
        )
    });
    let check = |method: &str, target: &str, status: u16, seen: &str| {
        let answer = ask(&server, &format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!((answer.status, answer.text()), (status, seen), "{method} {target}");
    };
    check("GET", "/admin/a", 403, "/admin/a");
    check("GET", "/%61dmin/a", 403, "/admin/a");
    check("GET", "/adm%69n/%2e%2E/a%2Fb%20?%61", 403, "/admin/../a%2Fb%20");
    check("GET", "http://test/%61dmin/a", 403, "/admin/a");
    check("PURGE", "/%61dmin/a", 403, "/admin/a");
    check("GET", "/%2561dmin/a", 404, "There is nothing at this path.");
    check("GET", "//admin/a", 404, "There is nothing at this path.");
    check("GET", "/%2Fadmin/a", 404, "There is nothing at this path.");
}

#[test]
fn a_mistake_in_a_nested_application_is_reported() {
    let check = |app: App, expected: &str| assert_eq!(app.check().unwrap_err().to_string(), expected);
    let one = || App::new().get("/a", |_req| Ok(Response::new(204)));
    let prefix = |prefix: &str| {
        format!("prefix {prefix:?}: it must begin with /, not end with it, and have no wildcard")
    };
    for bad in ["", "/", "api", "/api/", "/{*all}"] {
        check(App::new().nest(bad, one()), &prefix(bad));
    }
    check(one().nest("/b", one().get("/a", |_req| Ok(Response::new(204)))), "two routes answer GET on /a");
    check(
        App::new().get("/b/a", |_req| Ok(Response::new(204))).nest("/b", one()),
        "route \"/b/a\": a nested or merged application has this path too",
    );
}

#[test]
fn a_merged_application_keeps_its_paths_and_its_layers() {
    let (report, _reports) = mpsc::channel();
    let inner = App::new()
        .get("/", |_req| Ok(Response::text("root")))
        .get("/items/{id}", |req| Ok(Response::text(req.param("id"))))
        .ws("/ws", Reporting(report.clone()))
        .nest("/deep", App::new().get("/a", |_req| Ok(Response::text("deep"))))
        .layer(|req, next| next.call(req).unwrap_or_else(Response::from).add_header("x-inner", "1"));
    let outer = App::new()
        .ws("/first", Reporting(report))
        .get("/items", |_req| Ok(Response::text("all")))
        .merge(inner)
        .layer(|req, next| next.call(req).unwrap_or_else(Response::from).add_header("x-outer", "1"));
    let app = testing::serve(outer);
    let check = |method: &str, path: &str, status: u16, inner: bool| {
        let answer = app.request(method, path).send();
        let marks = (answer.header("x-inner").is_some(), answer.header("x-outer").is_some());
        assert_eq!((answer.status(), marks), (status, (inner, true)), "{method} {path}");
    };
    check("GET", "/", 200, true);
    check("GET", "/items/7", 200, true);
    check("DELETE", "/items/7", 405, true);
    check("GET", "/items/%ff", 400, true);
    check("GET", "/deep/a", 200, true);
    check("GET", "/deep/b", 404, true);
    check("GET", "/items", 200, false);
    check("GET", "/items/7/8", 404, false);
    check("GET", "/nothing", 404, false);
    assert_eq!(app.ws("/ws").open().answer().header("x-inner"), Some("1"));
    assert_eq!(app.ws("/first").open().answer().header("x-inner"), None);
}

#[test]
fn files_in_a_merged_application_stay_inside_of_its_layers() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let files = App::new().files("/", fleeting::Files::new(folder).expect("the repository is a folder"));
    let closed = files.layer(|_req, _next| Err(Error::forbidden("closed")));
    let app = testing::serve(App::new().nest("/a", App::new().merge(closed)));
    for path in ["/a", "/a/", "/a/README.md"] {
        assert_eq!(app.get(path).send().status(), 403, "{path}");
    }
}

#[test]
fn a_mistake_in_a_merged_application_is_reported() {
    let check = |app: App, expected: &str| assert_eq!(app.check().unwrap_err().to_string(), expected);
    let one = || App::new().get("/a", |_req| Ok(Response::new(204)));
    check(one().merge(one()), "route \"/a\": a nested or merged application has this path too");
    check(App::new().merge(one().get("/a", |_req| Ok(Response::new(204)))), "two routes answer GET on /a");
    check(
        App::new().merge(one().fallback(|_req| Ok(Response::new(204)))),
        "a merged application cannot have a fallback",
    );
}
