//! The example with a thread pool answers, in order, and turns away what it cannot take.

use crate::client::Client;
use crate::rig;

#[path = "../examples/thread_pool.rs"]
#[expect(dead_code, reason = "its `main` is for cargo run")]
mod example;

#[test]
fn primes_are_counted_beside_the_worker() {
    let (pool, threads) = example::Pool::new(2, 8);
    let rig = rig::run(move |_| example::app(pool));
    let mut client = Client::connect(rig.addr);
    client.send(
        "GET /primes/100000 HTTP/1.1\r\nHost: test\r\n\r\nGET /primes/100 HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    assert_eq!((client.answer().text(), client.answer().text()), ("9592\n", "25\n"));
    assert_eq!(client.get("/primes/many").status, 400);
    drop(client);
    rig.finish();
    threads.into_iter().for_each(|thread| thread.join().expect("no job panics"));
}

#[test]
fn who_finds_the_queue_full_is_turned_away() {
    let (pool, _none) = example::Pool::new(0, 1);
    // Without a thread the one place in the queue stays taken.
    let (kept, rig) = (pool.clone(), rig::run(move |_| example::app(pool)));
    let mut waits = Client::connect(rig.addr);
    waits.send("GET /primes/10 HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.wait(|counters| counters.requests == 1);
    assert_eq!(Client::connect(rig.addr).get("/primes/10").status, 503);
    drop((waits, kept));
}
