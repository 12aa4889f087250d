// A copy of a value from a store is kept in a list that outlives the request. The store copies its arguments.

use fleeting::{App, Keep, Response};
use fleeting_store::Store;
use std::cell::RefCell;
use std::sync::Arc;

fn app(store: Arc<dyn Store>) -> App {
    let seen = RefCell::new(Vec::<Box<[u8]>>::new());
    App::new().get("/", move |req| {
        if let Ok(Some(value)) = store.get("key", req.arena()) {
            seen.borrow_mut().push(value.keep());
        }
        let _ = store.set("key", req.path().as_bytes(), None);
        Ok(Response::new(204))
    })
}

fn main() {
    let _ = app;
}
