use fleeting::App;

struct Chat;

fn main() {
    App::new().ws("/chat", Chat);
}
