//! Measures a run: the bytes that it allocates, and the branches that it takes.
//!
//! This is the only unsafe code of the tests. An allocator counts and passes each call to the system's allocator. A
//! function receives LLVM's branch counters, which code compiled with them passes before `main` (see
//! `ops/local/counted-rustc.sh`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The system's allocator with counters.
pub(crate) struct Counting;

thread_local! {
    /// The bytes that this thread holds in addition to those at the start of counting, and the maximum.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn held(more: usize, less: usize) {
    let held = HELD.get() + more.cast_signed() - less.cast_signed();
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

#[expect(
    unsafe_code,
    reason = "an allocator can't be written otherwise; each call goes on to the system's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        held(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        held(layout.size(), 0);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        held(size, layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Returns the result of `run`, and the largest number of bytes that it held at once.
pub(crate) fn allocated<T>(run: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    PEAK.set(0);
    let result = run();
    (result, PEAK.get().unsigned_abs())
}

static COUNTERS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static COUNTERS_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Each module that was compiled with counters calls this before `main`. All of them pass the same section.
#[expect(unsafe_code, reason = "LLVM's name for it")]
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    COUNTERS.store(start, Ordering::Relaxed);
    COUNTERS_LENGTH.store(end.addr() - start.addr(), Ordering::Relaxed);
}

/// Returns the number of counted branches, 0 in an ordinary build.
pub(crate) fn branches() -> usize {
    COUNTERS_LENGTH.load(Ordering::Relaxed)
}

/// Passes the counters that are not 0 to `take`, and resets them.
pub(crate) fn take_branches(mut take: impl FnMut(usize, u8)) {
    let (start, length) = (COUNTERS.load(Ordering::Relaxed), branches());
    let mut at = 0;
    while at < length {
        // Most counters are 0, so eight are checked at a time.
        #[expect(unsafe_code, reason = "as below; eight bytes from here on are within the section")]
        if at + 8 <= length && unsafe { start.add(at).cast::<u64>().read_unaligned() } == 0 {
            at += 8;
            continue;
        }
        // Only this thread runs a target now. A count that another thread adds meanwhile may be lost.
        #[expect(
            unsafe_code,
            reason = "the section lives as long as the process, and is written to by the counted code only"
        )]
        let count = unsafe {
            let counter = start.add(at);
            let count = counter.read_volatile();
            if count != 0 {
                counter.write_volatile(0);
            }
            count
        };
        if count != 0 {
            take(at, count);
        }
        at += 1;
    }
}
