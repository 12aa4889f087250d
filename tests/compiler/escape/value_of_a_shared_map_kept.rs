// A copy of a string from the request becomes a value in a shared map.

use fleeting::{App, Keep, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn main() {
    let names = Arc::new(Mutex::new(HashMap::<u64, Box<str>>::new()));
    let _app = App::new().post("/names", move |req| {
        let name = req.header("x-id").unwrap_or("nobody");
        names.lock().unwrap().insert(7, name.keep());
        Ok(Response::new(204))
    });
}
