use fleeting::{App, Response};

fn main() {
    App::new().upload("PUT", "/file", |_req| Ok(Response::text("received")));
}
