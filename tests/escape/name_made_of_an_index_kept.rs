// A connection's name as it was told, kept in a list.

use fleeting::{App, ConnId, Response};
use std::cell::RefCell;

fn main() {
    let seen = RefCell::new(Vec::<ConnId>::new());
    let _app = App::new().get("/", move |req| {
        seen.borrow_mut().push(req.conn_id());
        Ok(Response::empty(204))
    });
}
