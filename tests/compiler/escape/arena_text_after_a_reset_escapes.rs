// A string in the arena is read after a reset.

use fleeting::Arena;

fn main() {
    let mut arena = Arena::new(4096);
    let text = arena.alloc_str("X-Id");
    arena.reset();
    assert_eq!(text, "X-Id");
}
