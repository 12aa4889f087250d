// A value in the arena that would have to be dropped, and never is: its heap memory would leak.

use fleeting::Arena;

fn main() {
    let arena = Arena::new(4096);
    arena.alloc(String::from("X-Id"));
}
