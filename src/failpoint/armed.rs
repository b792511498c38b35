//! The failpoint that the environment names. `committed:3` aborts the process, `committed:3:panic` panics, and
//! `committed:3:stop` stops the process until it gets SIGCONT.

use crate::failpoint::Failpoint;
use signal_hook::consts::SIGSTOP;
use signal_hook::low_level::raise;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Armed {
    name: String,
    left: AtomicU64,
    end: End,
}

/// What the failpoint does to the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Abort,
    Panic,
    Stop,
}

static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
    let text = std::env::var("RINGBACK_FAILPOINT").ok()?;
    let (name, nth) = text.split_once(':')?;
    let (nth, end) = match nth.split_once(':') {
        Some((nth, "panic")) => (nth, End::Panic),
        Some((nth, "stop")) => (nth, End::Stop),
        Some(_) | None => (nth, End::Abort),
    };
    Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth.parse().ok()?), end })
});

/// Counts a pass of `point`. Returns whether this is the pass that the environment names.
pub(crate) fn strikes(point: Failpoint) -> bool {
    ARMED.as_ref().is_some_and(|armed| {
        armed.name == point.as_str() && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    })
}

/// Stops the process until it gets SIGCONT if the environment says `stop`, and ends it otherwise.
pub(crate) fn stop_or_die(point: Failpoint) {
    if ARMED.as_ref().is_some_and(|armed| armed.end == End::Stop) {
        // The signal goes to this thread. If another thread took it, this one would run on until that one is scheduled.
        let _ = raise(SIGSTOP);
    } else {
        die(point);
    }
}

/// Panics if the environment says `panic`. Otherwise aborts like `kill -9`: nothing is flushed or closed.
#[expect(clippy::panic, reason = "a test wants to see how the process ends by it")]
pub(crate) fn die(point: Failpoint) -> ! {
    if ARMED.as_ref().is_some_and(|armed| armed.end == End::Panic) {
        std::panic::panic_any("a test wants this panic");
    }
    let _ = writeln!(std::io::stderr(), "failpoint {}", point.as_str());
    std::process::abort()
}
