// Each thread has its own map, which needs no lock.

use fleeting::{App, Keep, Response};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static XPTO: RefCell<BTreeMap<Box<str>, Box<str>>> = const { RefCell::new(BTreeMap::new()) };
}

fn main() {
    let _app = App::new().post("/clients", |req| {
        let id = req.header("x-id").unwrap_or("nobody");
        XPTO.with_borrow_mut(|xpto| xpto.insert(id.keep(), id.keep()));
        Ok(Response::new(204))
    });
}
