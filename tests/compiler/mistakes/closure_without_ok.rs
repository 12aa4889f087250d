use fleeting::{App, Response};

fn main() {
    App::new().get("/", |_req| Response::text("hello"));
}
