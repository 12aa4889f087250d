use fleeting::{App, Error, Handler, Request, Response};

async fn log<'r>(req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
    next.call(req)
}

fn main() {
    App::new().layer(log);
}
