// A request's content is sent to a thread that processes it later.

use fleeting::{App, Response};
use std::sync::mpsc;

fn main() {
    let (jobs, work) = mpsc::channel::<&[u8]>();
    std::thread::spawn(move || work.iter().map(<[u8]>::len).sum::<usize>());
    let _app = App::new().post("/jobs", move |req| {
        let _ = jobs.send(req.body());
        Ok(Response::new(202))
    });
}
