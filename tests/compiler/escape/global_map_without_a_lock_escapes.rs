// A global map is accessed without a lock.

use fleeting::{App, Keep, Response};
use std::cell::RefCell;
use std::collections::BTreeMap;

static XPTO: RefCell<BTreeMap<Box<str>, Box<str>>> = RefCell::new(BTreeMap::new());

fn main() {
    let _app = App::new().post("/clients", |req| {
        let id = req.header("x-id").unwrap_or("nobody");
        XPTO.borrow_mut().insert(id.keep(), id.keep());
        Ok(Response::new(204))
    });
}
