//! What time it is, and waiting: the one place where the daemon's shell asks.
//!
//! In tests a thread may have a time of its own, which passes only when whoever made it lets it.

#[cfg(test)]
pub(crate) mod simulated;

use crate::domain::Timestamp;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of the day.
#[must_use]
pub fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(ms) = simulated::now_ms() {
        return Timestamp::from_ms(ms);
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time that never goes backwards.
#[must_use]
pub fn instant() -> Instant {
    #[cfg(test)]
    if let Some(instant) = simulated::instant() {
        return instant;
    }
    Instant::now()
}

/// How much time has passed since then.
#[must_use]
pub fn since(then: Instant) -> Duration {
    instant().saturating_duration_since(then)
}

/// Waits. Blocks the thread.
pub fn sleep(time: Duration) {
    #[cfg(test)]
    if simulated::sleep(time) {
        return;
    }
    std::thread::sleep(time);
}

/// Waits for the condition variable, but no longer than so. Blocks the thread.
pub fn wait<'a, T>(
    variable: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    #[cfg(test)]
    if simulated::is_followed() {
        // Whoever would signal runs while this one sleeps.
        drop(guard);
        simulated::sleep(time);
        return mutex.lock().unwrap_or_else(PoisonError::into_inner);
    }
    let _ = mutex;
    variable.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
}
