use fleeting::{App, Request, Response};

fn double<'r>(req: &Request<'r>) -> Result<Response<'r>, Box<dyn std::error::Error>> {
    let number: u32 = req.param("number").parse()?;
    Ok(Response::text(format!("{}", 2 * number)))
}

fn main() {
    App::new().get("/double/{number}", double);
}
