//! Stacks, wiped of what work with keys and passwords left on them. Every room may use it; it uses none.
//!
//! Invariant: what is wiped is dead: it lies beyond the frame of who wipes. The heap needs no such care: what is freed is wiped by
//! the allocator of the program (main.rs), and values that hold a secret wipe themselves when they are dropped (`zeroize`). But a
//! value that is moved leaves a copy where it was, and a cipher its rounds: these stay on a stack until something else comes to lie
//! there.

use zeroize::Zeroize;

/// Deeper than any work with keys goes, an eighth of the smallest stack that threads of the program have.
const LEN: usize = 128 << 10;

/// Does work with secrets, and wipes the stacks that it was done on: this thread's, and those of rayon's.
pub fn after<T>(work: impl FnOnce() -> T) -> T {
    let done = on_this_thread(work);
    rayon::broadcast(|_| stack());
    done
}

/// The same for work that this thread does alone: as the first call of a thread, so that it leaves nothing behind at its end.
pub fn on_this_thread<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    stack();
    done
}

/// In a frame of its own, which is dead when it returns.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn stack() {
    let mut room = [0u8; LEN];
    // So that the compiler does not see that nobody reads it.
    room.zeroize();
}
