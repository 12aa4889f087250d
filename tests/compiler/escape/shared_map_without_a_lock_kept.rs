// All workers share a map with a lock.

use fleeting::{App, Keep, Response, Server};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

fn main() {
    let clients = Arc::new(Mutex::new(BTreeMap::<Box<str>, u32>::new()));
    let _server = Server::builder().bind("127.0.0.1:0").workers(2).serve(move |_worker| {
        let clients = clients.clone();
        App::new().post("/clients/{id}", move |req| {
            *clients.lock().unwrap().entry(req.param("id").keep()).or_default() += 1;
            Ok(Response::new(204))
        })
    });
}
