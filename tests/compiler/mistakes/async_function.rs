use fleeting::{App, Error, Response};

fn main() {
    App::new().get("/", async |_req| Ok::<_, Error>(Response::text("hello")));
}
