use fleeting::{App, Error, Handler, Request, Response};

struct Log;

impl Handler for Log {
    fn call<'r>(&self, _req: &Request<'r>) -> Result<Response<'r>, Error> {
        Ok(Response::new(204))
    }
}

fn main() {
    App::new().layer(Log);
}
