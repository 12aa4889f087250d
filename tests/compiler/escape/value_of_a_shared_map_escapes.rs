// A string from the request becomes a value in a shared map. The lock does not help.

use fleeting::{App, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

fn main() {
    let names = Arc::new(Mutex::new(HashMap::<u64, &str>::new()));
    let _app = App::new().post("/names", move |req| {
        let name = req.header("x-id").unwrap_or("nobody");
        names.lock().unwrap().insert(7, name);
        Ok(Response::new(204))
    });
}
