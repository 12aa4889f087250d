// A layer passes on a value with Drop. It would live in the arena, which drops nothing, so its heap memory would leak.

use fleeting::App;

fn main() {
    let _app = App::new().layer(|req, next| {
        req.insert(String::from("alice"));
        next.call(req)
    });
}
