// A new thread uses a copy of the whole request.

use fleeting::{App, Keep, Response};
use std::thread;

fn main() {
    let _app = App::new().post("/jobs", |req| {
        let request = req.keep();
        thread::spawn(move || println!("{} {:?}", request.path(), request.header("x-id")));
        Ok(Response::new(202))
    });
}
