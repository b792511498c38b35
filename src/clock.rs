//! What time it is, and waiting: the one place where the daemon's shell asks.
//!
//! Whatever is decided, due or old is so by [`now`], which does not jump. What is compared with another machine's clock, or
//! is shown to somebody, is [`wall`]. In tests a thread may have a time of its own, which passes only when whoever made it
//! lets it.

#[cfg(test)]
pub(crate) mod simulated;
mod steady;

use crate::domain::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use steady::{Jump, Lift};
pub(crate) use steady::{Reading, Steady};

/// This process's time; it begins when somebody asks for the first time.
static STEADY: Mutex<Option<Steady>> = Mutex::new(None);
static FORWARD: AtomicU64 = AtomicU64::new(0);
static BACKWARD: AtomicU64 = AtomicU64::new(0);

/// How often the wall clock has jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jumps {
    /// Forward.
    pub forward: u64,
    /// Backward, while the process ran or before it was started.
    pub backward: u64,
}

/// The time of the day by which everything is decided: where the wall clock jumps, it goes on.
#[must_use]
pub fn now() -> Timestamp {
    let (now, jump) = by_steady(|steady, read| {
        let mut reading = read();
        if steady.jump(reading).is_some() {
            // The process may have been stopped between the look at one clock and at the other.
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

/// The same for what is to be committed: what is known by then has been decided by this process's time.
#[must_use]
pub fn now_to_commit() -> Timestamp {
    by_steady(|steady, _| steady.use_it());
    now()
}

/// The state knows of this time: it has passed, though the wall clock may have been set back since.
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
                "the state was committed later than the clock says it is: due times and ages go on from the state's time. \
                 If this machine's clock was set back, nothing is to be done; else set the clock of the machine that is wrong; \
                 see ops/guide/clock.md"
            );
        }
        Lift::Refused(by) => tracing::warn!(
            ahead_s = by.as_secs(),
            "the state was committed so much later than the clock says it is that it is not believed: what is due by the \
             state's time waits until the clock is there. Set the clock of the machine that is wrong, and restart; see \
             ops/guide/clock.md"
        ),
    }
}

/// The time of the day as the system has it.
#[must_use]
pub fn wall() -> Timestamp {
    #[cfg(test)]
    if let Some(wall) = simulated::wall() {
        return of_epoch(wall);
    }
    of_epoch(since_epoch())
}

/// How often the wall clock has jumped since the process began, as far as somebody has asked for the time.
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
        "the system's clock has jumped: due times, ages and time-outs go on without the jump, and come closer to the clock \
         by at most a hundredth of the time that passes, until the next start. The webhook-timestamp of requests is the \
         clock's at once; see ops/guide/clock.md"
    );
}

/// Works with the time of this process, or of a simulated one, and whatever reads its clocks.
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

/// The time since the machine was booted. It goes on while the machine is suspended, as the wall clock does.
#[cfg(target_os = "linux")]
fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The time since somebody asked first. Where it stands still while the machine is suspended, the wall clock jumps.
#[cfg(not(target_os = "linux"))]
fn boot_time() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
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
