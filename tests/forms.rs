//! The pairs of a query or a form arrive decoded: all of them, in order.

use fleeting::{App, Error, Pairs, Request, Response};
use fleeting_testkit::client::Client;
use fleeting_testkit::server;
use std::fmt::Write as _;

/// Answers with a line for each pair.
fn list<'r>(req: &Request<'r>, pairs: Pairs<'r>) -> Result<Response<'r>, Error> {
    let mut lines = req.arena().writer();
    for (name, value) in pairs {
        writeln!(lines, "{name}: {value}").expect("writing to memory cannot fail");
    }
    Ok(Response::text("").body(lines.finish()))
}

fn app() -> App {
    App::new().get("/query", |req| list(req, req.query_pairs()))
}

/// Finding E14.
#[test]
fn every_value_of_a_repeated_name_can_be_read() {
    let server = server::run(|_| app());
    let mut client = Client::connect(server.addr);
    assert_eq!(client.get("/query?tag=red&tag=dark+blue&tag=").text(), "tag: red\ntag: dark blue\ntag: \n");
}
