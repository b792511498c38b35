//! The thin binary: everything is in the library.

use std::process::ExitCode;

/// Measured: it takes fewer cycles per webhook than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringback::cli::main()
}
