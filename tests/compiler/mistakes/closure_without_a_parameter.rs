use fleeting::{App, Response};

fn main() {
    App::new().get("/", || Ok(Response::text("hello")));
}
