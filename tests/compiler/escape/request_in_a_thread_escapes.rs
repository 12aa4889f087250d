// A new thread uses the request's path.

use fleeting::{App, Response};
use std::thread;

fn main() {
    let _app = App::new().post("/jobs", |req| {
        let path = req.path();
        thread::spawn(move || println!("{path}"));
        Ok(Response::new(202))
    });
}
