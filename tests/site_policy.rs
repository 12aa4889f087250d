//! Pages of other sites are kept away from the routes inside of a [`SitePolicy`]'s layer, WebSockets included.

use fleeting::testing::{self, TestServer};
use fleeting::{App, Response, SitePolicy};
use fleeting_testkit::server::Echo;

fn serve(policy: SitePolicy) -> TestServer {
    let guarded = App::new()
        .get("/", |_req| Ok(Response::text("shown")))
        .post("/", |_req| Ok(Response::new(202)))
        .ws("/ws", Echo)
        .layer(policy.layer());
    testing::serve(App::new().get("/open", |_req| Ok(Response::text("open"))).nest("/guarded", guarded))
}

/// Returns the statuses of GET, POST and a handshake inside of the layer with these fields.
fn statuses(app: &TestServer, fields: &[(&str, &str)]) -> [u16; 3] {
    let add = |request: testing::RequestBuilder| {
        fields.iter().fold(request, |request, (name, value)| request.header(name, value)).send().status()
    };
    let upgrade =
        fields.iter().fold(app.ws("/guarded/ws"), |ws, (name, value)| ws.header(name, value)).try_open();
    let upgrade = upgrade.map_or_else(|answer| answer.status(), |_| 101);
    [add(app.get("/guarded")), add(app.post("/guarded")), upgrade]
}

/// Finding D1.
#[test]
fn other_hosts_are_served_only_outside_of_the_layer() {
    let app = serve(SitePolicy::new().loopback().host("chat.example"));
    let at = |host: &str| statuses(&app, &[("host", host)]);
    for host in
        ["localhost", "app.localhost:8080", "127.0.0.1:8080", "[::1]", "chat.example", "CHAT.example:80"]
    {
        assert_eq!(at(host), [200, 202, 101], "{host}");
        let origin = format!("http://{host}");
        assert_eq!(statuses(&app, &[("host", host), ("origin", &origin)]), [200, 202, 101], "{host}");
    }
    for host in ["evil.example:8080", "10.0.0.7", "chat.example.evil"] {
        assert_eq!(at(host), [421; 3], "{host}");
    }
    // What a page sends whose name has been rebound to this machine.
    let rebound = [
        ("host", "evil.example:8080"),
        ("origin", "http://evil.example:8080"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(statuses(&app, &rebound), [421; 3]);
    let refused = app.get("/guarded").header("host", "evil.example:8080").send();
    assert_eq!(refused.text(), "The host `evil.example:8080` is not served here.");
    assert_eq!(app.get("/guarded/nothing").header("host", "evil.example").send().status(), 421);
    assert_eq!(app.get("/open").header("host", "evil.example").send().status(), 200);
}

/// Finding D1: the rule for the loopback does not reach other machines.
#[test]
fn requests_from_other_machines_are_served_for_named_hosts_or_for_all() {
    let from_afar = |policy: SitePolicy| {
        let app = App::new().get("/", |_req| Ok(Response::new(204))).layer(policy.layer());
        testing::builder().peer_addr(([10, 0, 0, 9], 4000).into()).serve(app)
    };
    let status = |app: &TestServer, host: &str| app.get("/").header("host", host).send().status();
    let app = from_afar(SitePolicy::new().loopback());
    assert_eq!((status(&app, "10.0.0.7"), status(&app, "any.example")), (204, 204));
    let app = from_afar(SitePolicy::new().loopback().host("chat.example"));
    assert_eq!(
        (status(&app, "chat.example"), status(&app, "any.example"), status(&app, "localhost")),
        (204, 421, 421)
    );
    let app = from_afar(SitePolicy::new().loopback().host("*"));
    assert_eq!(status(&app, "any.example"), 204);
}

/// Findings D2 and D3.
#[test]
fn pages_of_other_origins_change_nothing_and_open_no_websocket() {
    let app = serve(SitePolicy::new().origin("https://app.example"));
    let check = |fields: &[(&str, &str)], allowed: bool| {
        let expected = if allowed { [200, 202, 101] } else { [200, 403, 403] };
        assert_eq!(statuses(&app, &[&[("host", "chat.example")], fields].concat()), expected, "{fields:?}");
    };
    check(&[], true);
    check(&[("origin", "http://chat.example")], true);
    check(&[("origin", "https://app.example")], true);
    check(&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], true);
    // A proxy has rewritten the host.
    check(&[("origin", "https://outside.example"), ("sec-fetch-site", "same-origin")], true);
    check(&[("sec-fetch-site", "none")], true);
    check(&[("origin", "http://evil.example")], false);
    check(&[("origin", "null")], false);
    check(&[("sec-fetch-site", "same-site")], false);
    check(&[("sec-fetch-site", "cross-site")], false);
    check(&[("origin", "http://chat.example"), ("sec-fetch-site", "cross-site")], false);
    for method in ["PUT", "PATCH", "DELETE", "PURGE", "QUERY"] {
        let refused = app.request(method, "/guarded").header("origin", "http://evil.example").send();
        assert_eq!(refused.status(), 403, "{method}");
    }
    for method in ["HEAD", "OPTIONS"] {
        let answer = app.request(method, "/guarded").header("origin", "http://evil.example").send();
        assert!(answer.status() < 300, "{method}");
    }
}

/// Finding D3.
#[test]
fn a_refusal_names_the_origin_and_the_host() {
    let app = serve(SitePolicy::new());
    let post = || app.post("/guarded").header("host", "chat.example:81");
    let refused = post().header("origin", "http://evil.example").send();
    assert_eq!(
        refused.text(),
        "The page's origin `http://evil.example` is not that of the host `chat.example:81`, and is not allowed."
    );
    let refused = post().header("sec-fetch-site", "same-site").send();
    assert!(
        refused.text().contains("chat.example:81") && refused.text().contains("same-site"),
        "{}",
        refused.text()
    );
    // A WebSocket route without a layer says it too.
    let app = testing::serve(App::new().ws("/ws", Echo));
    let refused = app.ws("/ws").header("host", "a.example").header("origin", "http://b.example").try_open();
    let refused = refused.expect_err("another origin");
    assert!(
        refused.text().contains("`http://b.example`") && refused.text().contains("`a.example`"),
        "{}",
        refused.text()
    );
}

#[test]
fn every_refused_handshake_is_counted_once() {
    let app = serve(SitePolicy::new().loopback());
    let refuse = |fields: &[(&str, &str)]| {
        let ws = fields.iter().fold(app.ws("/guarded/ws"), |ws, (name, value)| ws.header(name, value));
        assert!(ws.try_open().is_err());
    };
    let counted = || {
        let counters = app.counters();
        counters.rejected().find_map(|(label, count)| (label == "origin").then_some(count)).expect("a label")
    };
    refuse(&[("origin", "http://evil.example")]);
    assert_eq!(counted(), 1);
    refuse(&[("sec-fetch-site", "cross-site")]);
    assert_eq!(counted(), 2);
    // The host is the reason here.
    refuse(&[("host", "evil.example"), ("origin", "http://evil.example")]);
    assert_eq!(counted(), 2);
    // An upgrade of a request that no WebSocket answers is no handshake.
    let post = app.post("/guarded").header("origin", "http://evil.example").send();
    assert_eq!((post.status(), counted()), (403, 2));
}
