//! A worker that is out of descriptors rejects connections, and accepts again once it has some.

use fleeting::{App, Response, Server};
use fleeting_testkit::client::Client;
use fleeting_testkit::limited::run_again;
use std::fs::File;

#[test]
fn a_worker_survives_running_out_of_descriptors() {
    const NAME: &str = "out_of_descriptors::a_worker_survives_running_out_of_descriptors";
    if run_again(NAME, "-n 128", "").is_some() {
        out_of_descriptors();
    }
}

fn out_of_descriptors() {
    let app = App::new().get("/", |_req| Ok(Response::text("hello")));
    let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_| app).expect("the server starts");
    let addr = worker.local_addrs()[0];
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    assert!(files.len() < 128, "the limit has no effect");
    // Leaves one descriptor for the client's end, and none for the server's.
    files.pop();
    let mut turned_away = Client::connect(addr);
    while worker.counters().accept_backoffs == 0 {
        worker.turn(None).expect("polling works");
    }
    turned_away.cut_off();
    drop(turned_away);

    let mut client = Client::connect(addr);
    files.clear();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    while worker.counters().requests == 0 {
        worker.turn(None).expect("polling works");
    }
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(worker.counters().accepted, 1);
}
