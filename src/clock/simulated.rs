//! A thread's own time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time of a simulated world.
pub(crate) trait Time {
    /// The time of the day, as whoever asks right now has it.
    fn now_ms(&self) -> i64;
    /// How much time has passed.
    fn passed(&self) -> Duration;
    /// Lets time pass for whoever asks, and everything happen that happens meanwhile.
    fn sleep(&self, time: Duration);
}

thread_local! {
    static TIME: RefCell<Option<Rc<dyn Time>>> = const { RefCell::new(None) };
}

/// Whatever this thread asks from now on is answered by `time`; `None`: by the real one.
pub(crate) fn follow(time: Option<Rc<dyn Time>>) {
    TIME.with(|slot| *slot.borrow_mut() = time);
}

fn time() -> Option<Rc<dyn Time>> {
    TIME.with(|slot| slot.borrow().clone())
}

pub(super) fn is_followed() -> bool {
    time().is_some()
}

pub(super) fn now_ms() -> Option<i64> {
    time().map(|time| time.now_ms())
}

/// When all simulated worlds begin.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) fn instant() -> Option<Instant> {
    time().map(|time| start() + time.passed())
}

/// Whether the time was a simulated one.
pub(super) fn sleep(duration: Duration) -> bool {
    let time = time();
    if let Some(time) = &time {
        time.sleep(duration);
    }
    time.is_some()
}
