// The same line, `Xpto[id] = id`, with copies of the string.

use fleeting::{App, Keep, Response};
use std::collections::BTreeMap;
use std::sync::Mutex;

static XPTO: Mutex<BTreeMap<Box<str>, Box<str>>> = Mutex::new(BTreeMap::new());

fn main() {
    let _app = App::new().post("/clients", |req| {
        let id = req.header("x-id").unwrap_or("nobody");
        XPTO.lock().unwrap().insert(id.keep(), id.keep());
        Ok(Response::new(204))
    });
}
