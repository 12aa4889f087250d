use fleeting::{App, Response};

fn app() -> App {
    let names = vec!["alice", "bob"];
    App::new().get("/names", |_req| Ok(Response::text(names.join(", "))))
}

fn main() {
    app();
}
