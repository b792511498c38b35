//! The binary. All code is in the library.

/// Measured: mimalloc takes fewer cycles per webhook than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    ringback::cli::main().end()
}
