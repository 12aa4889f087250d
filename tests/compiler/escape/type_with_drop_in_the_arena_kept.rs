// A string is stored in the arena, and a copy on the heap, which is dropped as usual.

use fleeting::{Arena, Keep};

fn main() {
    let arena = Arena::new(4096);
    let kept = arena.alloc_str("X-Id").keep();
    arena.alloc(kept.len());
}
