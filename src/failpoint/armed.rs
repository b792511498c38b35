//! The failpoint that the environment names, and dying there: `committed:3`, or `committed:3:panic` to die of a panic.

use crate::failpoint::Failpoint;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Armed {
    name: String,
    left: AtomicU64,
    panics: bool,
}

static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
    let text = std::env::var("RINGBACK_FAILPOINT").ok()?;
    let (name, nth) = text.split_once(':')?;
    let (nth, panics) = nth.strip_suffix(":panic").map_or((nth, false), |nth| (nth, true));
    Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth.parse().ok()?), panics })
});

/// Whether this is the time that it is to die.
pub(crate) fn strikes(point: Failpoint) -> bool {
    ARMED.as_ref().is_some_and(|armed| {
        armed.name == point.as_str() && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    })
}

/// Dies, as of a `kill -9`: nothing is flushed, closed or told to anybody.
#[expect(clippy::panic, reason = "a test wants to see how the process ends by it")]
pub(crate) fn die(point: Failpoint) -> ! {
    if ARMED.as_ref().is_some_and(|armed| armed.panics) {
        std::panic::panic_any("a test wants this panic");
    }
    let _ = writeln!(std::io::stderr(), "failpoint {}", point.as_str());
    std::process::abort()
}
