//! The program: hands over to `russet::cli` and ends with its code.
//!
//! Invariant: memory is wiped when it is freed. Keys of phones pass through buffers of libraries that do not wipe them: property
//! lists, TLS, what is packed for the archive.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Has glibc give large blocks pages of their own, and give these back at once. By itself it stops doing so after the first large
/// block was freed, and then a buffer that grows, which is copied and wiped each time, leaves holes of its size: a backup of a
/// million files took 100 MB more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn tune_allocator() {
    const LARGE_LEN: libc::c_int = 4 << 20;
    // SAFETY: the call takes two numbers and no memory of ours; no other thread runs yet.
    #[expect(
        unsafe_code,
        reason = "there is no safe way to it, and the environment is read before the program begins"
    )]
    let _was_taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_LEN) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn tune_allocator() {}

fn main() -> ExitCode {
    tune_allocator();
    russet::cli::main()
}
