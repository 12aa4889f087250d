// All workers share a map without a lock.

use fleeting::{App, Keep, Response, Server};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

fn main() {
    let clients = Arc::new(RefCell::new(BTreeMap::<Box<str>, u32>::new()));
    let _server = Server::builder().bind("127.0.0.1:0").workers(2).serve(move |_worker| {
        let clients = clients.clone();
        App::new().post("/clients/{id}", move |req| {
            *clients.borrow_mut().entry(req.param("id").keep()).or_default() += 1;
            Ok(Response::new(204))
        })
    });
}
