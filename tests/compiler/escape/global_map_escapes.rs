// Fiber's mistake, `Xpto[id] = id`: a string from the request becomes key and value of a global map.

use fleeting::{App, Response};
use std::collections::BTreeMap;
use std::sync::Mutex;

static XPTO: Mutex<BTreeMap<&str, &str>> = Mutex::new(BTreeMap::new());

fn main() {
    let _app = App::new().post("/clients", |req| {
        let id = req.header("x-id").unwrap_or("nobody");
        XPTO.lock().unwrap().insert(id, id);
        Ok(Response::new(204))
    });
}
