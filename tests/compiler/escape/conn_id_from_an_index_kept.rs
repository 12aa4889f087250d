// A ConnId that the server has assigned is stored in a list.

use fleeting::{App, ConnId, Response};
use std::cell::RefCell;

fn main() {
    let seen = RefCell::new(Vec::<ConnId>::new());
    let _app = App::new().get("/", move |req| {
        seen.borrow_mut().push(req.conn_id());
        Ok(Response::new(204))
    });
}
