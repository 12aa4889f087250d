// A copy of a string in the arena is read after a reset.

use fleeting::{Arena, Keep};

fn main() {
    let mut arena = Arena::new(4096);
    let text = arena.alloc_str("X-Id").keep();
    arena.reset();
    assert_eq!(&*text, "X-Id");
}
