// A type with Drop is stored in the arena. The arena drops nothing, so its heap memory would leak.

use fleeting::Arena;

fn main() {
    let arena = Arena::new(4096);
    arena.alloc(String::from("X-Id"));
}
