//! The clock: all of the shell's time and waiting goes through this module.
//!
//! Decisions, due times and ages use [`now`], which does not jump. Times that are shown, or compared with another
//! machine's clock, use [`wall`]. In tests, a thread may follow a simulated time, which passes only when the simulation
//! advances it.

#[cfg(test)]
pub(crate) mod simulated;
mod steady;

use crate::domain::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steady::{Jump, Lift};
pub(crate) use steady::{Reading, Steady};

/// This process's time. It begins with the first reading.
static STEADY: Mutex<Option<Steady>> = Mutex::new(None);
static FORWARD: AtomicU64 = AtomicU64::new(0);
static BACKWARD: AtomicU64 = AtomicU64::new(0);

/// The numbers of the wall clock's jumps since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jumps {
    /// The number of jumps forward.
    pub forward: u64,
    /// The number of jumps backward. It includes jumps before the start that restored states show.
    pub backward: u64,
}

/// Returns the time for all decisions. When the wall clock jumps, this time does not.
#[must_use]
pub fn now() -> Timestamp {
    let (now, jump) = by_steady(|steady, read| {
        let mut reading = read();
        if steady.jump(reading).is_some() {
            // The process may have been stopped between the readings of the two clocks, so both are read again.
            reading = read();
        }
        let jump = steady.jump(reading);
        (steady.read(reading), jump)
    });
    if let Some(jump) = jump {
        report(jump);
    }
    now
}

/// Like [`now`], but marks the time as used for commits. Later corrections by [`not_before`] are then limited more
/// strictly.
#[must_use]
pub fn now_to_commit() -> Timestamp {
    by_steady(|steady, _| steady.use_it());
    now()
}

/// Moves the time forward to `known`, a time found in the state, unless `known` is too far ahead to be plausible. The
/// wall clock may have been set back since the state was committed.
pub fn not_before(known: Timestamp) {
    let now = now();
    if known <= now {
        return;
    }
    match by_steady(|steady, _| steady.not_before(known)) {
        Lift::No => {}
        Lift::By(by) => {
            BACKWARD.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                ahead_s = by.as_secs(),
                "the state was committed later than the clock says it is: due times and ages continue from the state's time. \
                 If this machine's clock was set back, nothing needs to be done. Otherwise, set the clock of the machine that is \
                 wrong; see ops/guide/clock.md"
            );
        }
        Lift::Refused(by) => tracing::warn!(
            ahead_s = by.as_secs(),
            "the state was committed so much later than the clock says it is that the state's time is not used: deliveries \
             that are due by it wait until the clock reaches it. Set the clock of the machine that is wrong, and restart; see \
             ops/guide/clock.md"
        ),
    }
}

/// Returns the system's wall-clock time.
#[must_use]
pub fn wall() -> Timestamp {
    of_epoch(wall_since_epoch())
}

/// Returns the system's wall-clock time as the time since the Unix epoch, in nanoseconds.
#[must_use]
pub fn wall_since_epoch() -> Duration {
    #[cfg(test)]
    if let Some(wall) = simulated::wall() {
        return wall;
    }
    since_epoch()
}

/// Returns how often the wall clock has jumped. A jump is counted at the next reading of [`now`].
#[must_use]
pub fn jumps() -> Jumps {
    Jumps { forward: FORWARD.load(Ordering::Relaxed), backward: BACKWARD.load(Ordering::Relaxed) }
}

fn report(jump: Jump) {
    let (direction, size, count) = match jump {
        Jump::Forward(size) => ("forward", size, &FORWARD),
        Jump::Backward(size) => ("backward", size, &BACKWARD),
    };
    count.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(
        direction,
        seconds = size.as_secs(),
        "the system's clock has jumped: due times, ages and time-outs ignore the jump, and approach the clock by at most a \
         hundredth of the time that passes, until the next start. The webhook-timestamp of requests follows the clock at \
         once; see ops/guide/clock.md"
    );
}

/// Calls `act` with this process's time, or with a simulated one, and a function that reads its clocks.
fn by_steady<T>(mut act: impl FnMut(&mut Steady, &dyn Fn() -> Reading) -> T) -> T {
    #[cfg(test)]
    if simulated::is_followed() {
        return simulated::by_steady(act);
    }
    let read = || Reading::of(boot_time(), since_epoch());
    let mut steady = STEADY.lock().unwrap_or_else(PoisonError::into_inner);
    act(steady.get_or_insert_with(|| Steady::starting(read())), &read)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn of_epoch(since: Duration) -> Timestamp {
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns the time since the machine's boot. Like the wall clock, it continues while the machine is suspended.
#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the time since the first call. It may stop while the machine is suspended; then the wall clock appears to
/// jump.
#[cfg(not(target_os = "linux"))]
fn boot_time() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

/// Returns the monotonic time.
#[must_use]
pub fn instant() -> Instant {
    #[cfg(test)]
    if let Some(instant) = simulated::instant() {
        return instant;
    }
    Instant::now()
}

/// Returns the time since `then`, or zero if `then` is in the future.
#[must_use]
pub fn since(then: Instant) -> Duration {
    instant().saturating_duration_since(then)
}

/// Blocks the thread for `time`.
pub fn sleep(time: Duration) {
    #[cfg(test)]
    if simulated::sleep(time) {
        return;
    }
    std::thread::sleep(time);
}

/// Waits for the condition variable for at most `time`. Blocks the thread.
pub fn wait<'a, T>(
    variable: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    #[cfg(test)]
    if simulated::is_followed() {
        // The simulation runs the other participants, and so the signal, while this thread sleeps.
        drop(guard);
        simulated::sleep(time);
        return mutex.lock().unwrap_or_else(PoisonError::into_inner);
    }
    let _ = mutex;
    variable.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
}
