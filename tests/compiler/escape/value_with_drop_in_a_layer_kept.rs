// A layer passes on text that lives in the arena.

use fleeting::App;

struct User;

fn main() {
    let _app = App::new().layer(|req, next| {
        req.insert_text::<User>(req.arena().alloc_str(&String::from("alice")));
        next.call(req)
    });
}
