//! The thin binary: everything is in the library.

/// Measured: it takes fewer cycles per webhook than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    ringback::cli::main().end()
}
