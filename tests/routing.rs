//! A request reaches its handler, by path first and by method second. A request without a handler gets an error that
//! says why.

use fleeting::{App, Error, Handler, Keep, KeptRequest, Request, Response, handler};
use fleeting_testkit::client::Client;
use fleeting_testkit::server::{self, Echo, TestServer};
use std::rc::Rc;
use std::sync::{Arc, mpsc};

fn found<'r>(_req: &Request<'r>) -> Result<Response<'r>, Error> {
    Ok(Response::text("found"))
}

fn serve() -> TestServer {
    server::run(|_| {
        App::new()
            .get("/", |_req| Ok(Response::text("root")))
            .get("/users/me", |_req| Ok(Response::text("fixed")))
            .get("/users/{user}", |req| Ok(Response::text(req.param("user"))))
            .put("/users/{user}", |_req| Ok(Response::new(204)))
            .get("/users/{user}/posts/{post}", |req| {
                let (user, post) = (req.param("user"), req.param("post"));
                Ok(Response::text(req.arena().format(format_args!("{user}|{post}"))))
            })
            .get("/files/{*rest}", |req| Ok(Response::text(req.param("rest"))))
            .get("/query", |req| Ok(Response::text(req.query().unwrap_or("none"))))
            .get("/error", |_req| Err(Error::new(418, "short and stout")))
            .route("PROPFIND", "/dav", found)
            .options("/own-options", |_req| Ok(Response::text("own")))
            .head("/own-head", |_req| Response::new(200).header("x-own", "yes"))
            .get("/own-head", |_req| Ok(Response::text("got")))
            .ws("/ws", Echo)
    })
}

#[test]
fn paths_select_handlers() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, status: u16, text: &str| {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
    };
    check("/", 200, "root");
    check("/users/me", 200, "fixed");
    check("/users/m%65", 200, "fixed");
    check("/users/you", 200, "you");
    check("/users/caf%C3%A9%20noir", 200, "café noir");
    check("/users/a%2Fb", 200, "a/b");
    check("/users/100%", 200, "100%");
    check("/users/a%2Fb/posts/%31", 200, "a/b|1");
    check("/files/a/b%20c/d", 200, "a/b c/d");
    check("/query", 200, "none");
    check("/query?", 200, "");
    check("/query?a=%20b&c", 200, "a=%20b&c");
    check("http://test/users/absolute", 200, "absolute");
    check("/error", 418, "short and stout");
    for nowhere in ["/nowhere", "/users", "/users/", "/users/you/", "/USERS/me", "//", "/files/"] {
        assert_eq!(client.get(nowhere).status, 404, "{nowhere}");
    }
    assert_eq!(client.get("/users/%E9").status, 400);
}

#[test]
fn methods_select_handlers() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    let mut check = |method: &str, path: &str, status: u16, allow: Option<&str>| {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc"));
        let answer = if method == "HEAD" { client.answer_to_head() } else { client.answer() };
        assert_eq!((answer.status, answer.field("allow")), (status, allow), "{method} {path}");
        answer
    };
    check("PUT", "/users/you", 204, None);
    check("POST", "/users/you", 405, Some("GET, PUT, HEAD, OPTIONS"));
    check("DELETE", "/", 405, Some("GET, HEAD, OPTIONS"));
    check("POST", "/ws", 405, Some("GET, OPTIONS"));
    check("HEAD", "/ws", 405, Some("GET, OPTIONS"));
    check("POST", "/nowhere", 404, None);
    check("OPTIONS", "/users/you", 204, Some("GET, PUT, HEAD, OPTIONS"));
    check("OPTIONS", "*", 204, Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    assert_eq!(check("OPTIONS", "/own-options", 200, None).text(), "own");
    assert_eq!(check("PROPFIND", "/dav", 200, None).text(), "found");
    check("PROPFIND", "/", 501, None);
    check("BREW", "/", 501, None);
    check("get", "/", 501, None);
    let head = check("HEAD", "/", 200, None);
    assert_eq!((head.field("content-length"), head.field("content-type").is_some()), (Some("4"), true));
    assert_eq!(check("HEAD", "/own-head", 200, None).field("x-own"), Some("yes"));
    assert_eq!(check("GET", "/own-head", 200, None).text(), "got");
}

#[test]
fn options_lists_the_methods_of_a_path_and_connect_is_501() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    client.send("OPTIONS /dav HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer().field("allow"), Some("PROPFIND, OPTIONS"));
    client.send("CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.field("connection")), (501, Some("close")));
    client.ended();
}

struct Counted<H>(H);

impl<H: Handler> Handler for Counted<H> {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        self.0.call(req)?.header("x-counted", "yes")
    }
}

#[test]
fn a_layer_applies_to_all_routes() {
    let server = server::run(|_| {
        App::new()
            .get("/", |_req| Ok(Response::text("inner")))
            .get("/error", |_req| Err(Error::not_found("gone")))
            .layer(|req, handler| {
                if req.header("x-token").is_none() {
                    return Err(Error::new(401, "no token"));
                }
                handler.call(req)?.header("x-wrapped", "once")
            })
            .layer(|req, handler| handler.call(req).unwrap_or_else(Response::from).header("x-outer", "yes"))
            .get("/free", |_req| Ok(Response::text("free")))
            .route_handler("GET", "/counted", Counted(found))
    });
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, token: &str, status: u16, fields: [Option<&str>; 3]| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{token}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(["x-wrapped", "x-outer", "x-counted"].map(|name| answer.field(name)), fields, "{path}");
    };
    check("/", "", 401, [None, Some("yes"), None]);
    check("/", "X-Token: 1\r\n", 200, [Some("once"), Some("yes"), None]);
    check("/error", "X-Token: 1\r\n", 404, [None, Some("yes"), None]);
    check("/free", "", 401, [None, Some("yes"), None]);
    check("/free", "X-Token: 1\r\n", 200, [Some("once"), Some("yes"), None]);
    check("/counted", "X-Token: 1\r\n", 200, [Some("once"), Some("yes"), Some("yes")]);
}

type BoxedClosure = Box<dyn for<'r> Fn(&Request<'r>) -> Result<Response<'r>, Error>>;

/// Finding A15.
#[test]
fn pointers_to_handlers_are_handlers() {
    fn named(name: &'static str) -> impl Handler {
        handler(move |req| Ok(Response::text(req.arena().format(format_args!("{name} {}", req.path())))))
    }
    let server = server::run(|_| {
        let shared: Rc<dyn Handler> = Rc::new(named("rc"));
        let sent: Arc<dyn Handler + Send + Sync> = Arc::new(handler(|req| Ok(Response::text(req.path()))));
        let boxes: Vec<Box<dyn Handler>> = vec![
            Box::new(named("box")),
            Box::new(Counted(found)),
            Box::new(shared.clone()),
            Box::new(Arc::new(Counted(sent.clone()))),
        ];
        let closure: BoxedClosure = Box::new(|_req| Ok(Response::text("a boxed closure")));
        let app = App::new()
            .route_handler("GET", "/rc", shared)
            .route_handler("GET", "/arc", sent)
            .route_handler("GET", "/rc/counted", Rc::new(Counted(found)))
            .route_handler("GET", "/send", Box::new(found) as Box<dyn Handler + Send>)
            .route_handler("GET", "/sync", Box::new(found) as Box<dyn Handler + Send + Sync>)
            .route("GET", "/closure", closure)
            .layer(|req, inner| Counted(inner).call(req));
        boxes
            .into_iter()
            .enumerate()
            .fold(app, |app, (number, boxed)| app.route_handler("GET", &format!("/boxes/{number}"), boxed))
    });
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, text: &str| {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.text()), (200, text), "{path}");
        assert!(answer.field("x-counted").is_some(), "{path}");
    };
    check("/rc", "rc /rc");
    check("/arc", "/arc");
    check("/rc/counted", "found");
    check("/send", "found");
    check("/sync", "found");
    check("/closure", "a boxed closure");
    check("/boxes/0", "box /boxes/0");
    check("/boxes/1", "found");
    check("/boxes/2", "rc /boxes/2");
    check("/boxes/3", "/boxes/3");
}

/// Finding A15.
#[test]
fn any_method_can_have_a_closure() {
    let server = server::run(|_| {
        let stored = handler(|req| Ok(Response::text(req.query().unwrap_or("nothing"))));
        let word = String::from("purged");
        App::new()
            .route("PURGE", "/cache/{*path}", move |req| {
                Ok(Response::text(req.arena().format(format_args!("{word} {}", req.param("path")))))
            })
            .route("REPORT", "/cache/{*path}", stored)
            .get("/query", stored)
    });
    let mut client = Client::connect(server.addr);
    let mut check = |line: &str, text: &str| {
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, text), "{line}");
    };
    check("PURGE /cache/a/b", "purged a/b");
    check("REPORT /cache/a?all", "all");
    check("GET /query", "nothing");
}

#[test]
fn a_kept_request_equals_the_original() {
    let (kept, keeps) = mpsc::channel::<KeptRequest>();
    let server = server::run(move |_| {
        App::new().post("/keep/{id}", move |req| {
            kept.send(req.keep()).expect("the test waits");
            Ok(Response::new(204))
        })
    });
    let mut client = Client::connect(server.addr);
    let request = |id: usize, query: &str, content: &str| {
        let length = content.len();
        format!(
            "POST /keep/{id}{query} HTTP/1.1\r\nHost: test\r\nX-Id: {id}\r\nX-Empty:\r\n\
             Content-Length: {length}\r\n\r\n{content}"
        )
    };
    for id in 0..100 {
        let query = if id % 2 == 0 { format!("?q={id}") } else { String::new() };
        client.send(request(id, &query, &"x".repeat(id)));
        assert_eq!(client.answer().status, 204);
    }
    // They are compared only now, after the memory they arrived in was reused a hundred times.
    for (id, request) in keeps.try_iter().enumerate() {
        assert_eq!((request.method(), request.path()), ("POST", format!("/keep/{id}").as_str()));
        let query = (id % 2 == 0).then(|| format!("q={id}"));
        assert_eq!(request.query(), query.as_deref());
        assert_eq!(request.header("x-id"), Some(id.to_string().as_str()));
        assert_eq!((request.header("x-EMPTY"), request.header("x-none")), (Some(""), None));
        assert_eq!(request.body(), "x".repeat(id).as_bytes());
    }
}
