//! The thread pool example answers in order and serves other requests meanwhile.

use fleeting::{Offload, OffloadOptions};
use fleeting_testkit::client::{Client, PATIENCE};
use fleeting_testkit::server;
use std::sync::Arc;

#[path = "../examples/thread_pool.rs"]
#[expect(dead_code, reason = "its `main` is for cargo run")]
mod example;

#[test]
fn primes_are_counted_off_the_worker_thread() {
    let mut options = OffloadOptions::default();
    (options.threads, options.queue, options.time_limit) = (2, 8, PATIENCE);
    let offload = Arc::new(Offload::new(options).expect("there are threads"));
    let threads = offload.clone();
    let server = server::run(move |_| example::app(&threads));
    let mut client = Client::connect(server.addr);
    client.send(
        "GET /primes/100000 HTTP/1.1\r\nHost: test\r\n\r\nGET /primes/100 HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    assert_eq!((client.answer().text(), client.answer().text()), ("9592\n", "25\n"));
    assert_eq!(client.get("/primes/many").status, 400);
    assert_eq!(client.get("/").text(), "Try /primes/100000\n");
    assert_eq!(offload.counters().refused_full, 0);
}
