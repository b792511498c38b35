//! The memory allocator's settings: freed memory goes back to the system soon.
//!
//! A drain frees records, bodies and batches on other threads than those that allocated them. mimalloc keeps freed pages
//! for a second, which is most of the memory that a daemon at full speed has.

#[cfg(test)]
use libmimalloc_sys::mi_option_get;
use libmimalloc_sys::mi_option_set_default;
use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` in `mimalloc.h`. The crate has no name for it.
const PURGE_DELAY: c_int = 15;
/// The milliseconds for which the allocator keeps freed pages. Less saves little more memory and costs page faults.
const KEPT_MS: c_long = 100;

/// The tests have the daemon's allocator, so that tests of speed measure the daemon's speed.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lets the allocator return freed memory to the system soon. The environment variable `MIMALLOC_PURGE_DELAY` has
/// precedence.
#[expect(unsafe_code, reason = "the crate has no safe function for options")]
pub fn return_freed_memory_soon() {
    // SAFETY: the function writes a number into a static table. No other thread runs yet.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_MS) };
}

#[cfg(test)]
mod tests {
    use super::{KEPT_MS, PURGE_DELAY, mi_option_get, return_freed_memory_soon};

    #[test]
    #[expect(unsafe_code, reason = "the crate has no safe function for options")]
    fn the_option_is_the_one_that_is_meant_and_is_set() {
        // SAFETY: the function reads a number from a static table.
        let kept_ms = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(kept_ms(), 1000, "mimalloc's default; has the option another number now?");
        return_freed_memory_soon();
        assert_eq!(kept_ms(), KEPT_MS);
    }
}
