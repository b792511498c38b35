//! Waits for a condition, never for a fixed time.

use std::time::{Duration, Instant};

/// Longer than anything takes that happens at all on a busy machine with two cores. Waits end as soon as it has
/// happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Polls until `probe` returns a value. Panics with `what` after `timeout`.
pub(crate) fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
