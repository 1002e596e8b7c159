//! The program: hands over to `russet::cli` and ends with its code.
//!
//! Invariant: memory is wiped when it is freed. Keys of phones pass through buffers of libraries that do not wipe them: property
//! lists, TLS, what is packed for the archive.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    russet::cli::main()
}
