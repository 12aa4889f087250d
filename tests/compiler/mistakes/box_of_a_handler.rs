use fleeting::{App, Error, Handler, Request, Response};

struct Fixed;

impl Handler for Fixed {
    fn call<'r>(&self, _req: &Request<'r>) -> Result<Response<'r>, Error> {
        Ok(Response::text("fixed"))
    }
}

fn main() {
    App::new().route_handler("GET", "/", Box::new(Fixed));
}
