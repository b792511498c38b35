//! What the process tells of a run: the bytes that it allocates, and the branches that it takes.
//!
//! The only unsafe code of the tests: an allocator that counts and leaves the rest to the system's, and the function by which
//! code that was compiled with LLVM's branch counters hands them over before `main` (see `ops/local/counted-rustc.sh`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The system's allocator, counted.
pub(crate) struct Counting;

thread_local! {
    /// What this thread holds more, or less, than when it began to count, and the most that it held.
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

/// What `run` returns, and the most bytes that it held at once.
pub(crate) fn allocated<T>(run: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    PEAK.set(0);
    let result = run();
    (result, PEAK.get().unsigned_abs())
}

static COUNTERS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static COUNTERS_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Called before `main` by each module that was compiled with counters; all of them name the same section.
#[expect(unsafe_code, reason = "LLVM's name for it")]
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    COUNTERS.store(start, Ordering::Relaxed);
    COUNTERS_LENGTH.store(end.addr() - start.addr(), Ordering::Relaxed);
}

/// How many branches are counted; none in an ordinary build.
pub(crate) fn branches() -> usize {
    COUNTERS_LENGTH.load(Ordering::Relaxed)
}

/// Hands the counters to `take` and sets them to 0.
pub(crate) fn take_branches(mut take: impl FnMut(usize, u8)) {
    let (start, length) = (COUNTERS.load(Ordering::Relaxed), branches());
    let mut at = 0;
    while at < length {
        // Nearly all are 0, and looked at eight at a time.
        #[expect(unsafe_code, reason = "as below; eight bytes from here on are within the section")]
        if at + 8 <= length && unsafe { start.add(at).cast::<u64>().read_unaligned() } == 0 {
            at += 8;
            continue;
        }
        // While nothing but this thread's own run is at work; a count that another thread adds meanwhile may be lost.
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
