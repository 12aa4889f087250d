// A copy of a request's content is sent to a thread that processes it later.

use fleeting::{App, Keep, Response};
use std::sync::mpsc;

fn main() {
    let (jobs, work) = mpsc::channel::<Box<[u8]>>();
    std::thread::spawn(move || work.iter().map(|bytes| bytes.len()).sum::<usize>());
    let _app = App::new().post("/jobs", move |req| {
        let _ = jobs.send(req.body().keep());
        Ok(Response::new(202))
    });
}
