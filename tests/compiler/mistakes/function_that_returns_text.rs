use fleeting::{App, Request};

fn hello(req: &Request<'_>) -> String {
    format!("hello, {}", req.path())
}

fn main() {
    App::new().get("/", hello);
}
