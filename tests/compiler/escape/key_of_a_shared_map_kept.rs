// A copy of a string from the request becomes the key of a shared map.

use fleeting::{App, Keep, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn main() {
    let clients = Arc::new(Mutex::new(HashMap::<Box<str>, u32>::new()));
    let _app = App::new().post("/clients/{id}", move |req| {
        *clients.lock().unwrap().entry(req.param("id").keep()).or_default() += 1;
        Ok(Response::new(204))
    });
}
