// A value from a store, which lies in the request's arena, is kept in a list that outlives the request.

use fleeting::{App, Response};
use fleeting_store::Store;
use std::cell::RefCell;
use std::sync::Arc;

fn app(store: Arc<dyn Store>) -> App {
    let seen = RefCell::new(Vec::<&[u8]>::new());
    App::new().get("/", move |req| {
        if let Ok(Some(value)) = store.get("key", req.arena()) {
            seen.borrow_mut().push(value);
        }
        Ok(Response::new(204))
    })
}

fn main() {
    let _ = app;
}
