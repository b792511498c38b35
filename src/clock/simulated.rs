//! A simulated time for one thread.

use super::steady::{Reading, Steady};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time of a simulated world. The world's current instance is the one whose code runs at the moment.
pub(crate) trait Time {
    /// Returns the wall clock of the current instance's machine, since the epoch.
    fn wall(&self) -> Duration;
    /// Calls `act` with the time of the current instance.
    fn by_steady(&self, act: &mut dyn FnMut(&mut Steady));
    /// Returns the time since the world's beginning.
    fn passed(&self) -> Duration;
    /// Lets `time` pass for the current instance, and runs all events of that time.
    fn sleep(&self, time: Duration);
}

thread_local! {
    static TIME: RefCell<Option<Rc<dyn Time>>> = const { RefCell::new(None) };
}

/// Makes this thread follow `time`, or the real time if it is `None`.
pub(crate) fn follow(time: Option<Rc<dyn Time>>) {
    TIME.with(|slot| *slot.borrow_mut() = time);
}

fn time() -> Option<Rc<dyn Time>> {
    TIME.with(|slot| slot.borrow().clone())
}

pub(super) fn is_followed() -> bool {
    time().is_some()
}

pub(super) fn wall() -> Option<Duration> {
    time().map(|time| time.wall())
}

/// Like [`super::by_steady`], for a thread that follows a simulated time.
pub(super) fn by_steady<T>(mut act: impl FnMut(&mut Steady, &dyn Fn() -> Reading) -> T) -> T {
    let time = time().expect("the thread follows a simulated time");
    let mut result = None;
    let read = || Reading::of(time.passed(), time.wall());
    time.by_steady(&mut |steady| result = Some(act(steady, &read)));
    result.expect("`act` was called")
}

/// Returns the instant at which all simulated worlds begin.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) fn instant() -> Option<Instant> {
    time().map(|time| start() + time.passed())
}

/// Sleeps in the simulated time. Returns `false` if the thread follows none.
pub(super) fn sleep(duration: Duration) -> bool {
    let time = time();
    if let Some(time) = &time {
        time.sleep(duration);
    }
    time.is_some()
}
