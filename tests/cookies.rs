//! Cookies go out with their attributes and come back with their values.

use fleeting::{App, Cookie, Response, SameSite};
use fleeting_testkit::client::Client;
use fleeting_testkit::server;
use std::time::Duration;

const SESSION: Cookie<'static> = Cookie::new("__Host-session", "")
    .path("/")
    .secure()
    .http_only()
    .same_site(SameSite::Strict)
    .max_age(Duration::from_secs(3600));

fn app() -> App {
    App::new()
        .post("/login", |req| {
            let token = req.arena().format(format_args!("token-{}", req.body().len()));
            Response::new(204).cookie(&SESSION.value(token))?.cookie(&Cookie::new("lang", "en"))
        })
        .post("/logout", |_req| Response::new(204).cookie(&SESSION.removal()))
        .get("/wrong", |_req| Response::text("unreached").cookie(&Cookie::new("lang", "en; Secure")))
        .get("/me", |req| Ok(Response::text(req.cookie("__Host-session").unwrap_or("nobody"))))
}

/// Returns the values of Set-Cookie in a response to `request`.
fn set(client: &mut Client, request: &str) -> Vec<String> {
    client.send(format!("{request} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status, 204);
    answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).map(String::from).collect()
}

#[test]
fn a_cookie_that_was_set_comes_back_until_it_is_removed() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    let cookies = set(&mut client, "POST /login");
    let session = "__Host-session=token-0; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Strict";
    assert_eq!(cookies, [session, "lang=en"]);
    let sent: Vec<_> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
    // A proxy may have split the field.
    for fields in
        [format!("Cookie: {}", sent.join("; ")), format!("Cookie: {}\r\nCookie: {}", sent[1], sent[0])]
    {
        client.send(format!("GET /me HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n"));
        assert_eq!(client.answer().text(), "token-0", "{fields}");
    }
    let [removal] = &set(&mut client, "POST /logout")[..] else { panic!("one cookie is removed") };
    assert!(removal.starts_with("__Host-session=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970"), "{removal}");
    assert_eq!(client.get("/me").text(), "nobody");
}

#[test]
fn a_cookie_with_broken_syntax_is_500() {
    let server = server::run(|_| app());
    let answer = Client::connect(server.addr).get("/wrong");
    assert_eq!(answer.status, 500);
    let expected = "The cookie \"lang\" cannot be set: its value contains a character that is not allowed.";
    assert_eq!((answer.text(), answer.field("set-cookie")), (expected, None));
}
