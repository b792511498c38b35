//! A thread's own time.

use super::steady::{Reading, Steady};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time of a simulated world.
pub(crate) trait Time {
    /// The wall clock of whoever asks right now, since the epoch.
    fn wall(&self) -> Duration;
    /// Works with the time of whoever asks right now.
    fn by_steady(&self, act: &mut dyn FnMut(&mut Steady));
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

pub(super) fn wall() -> Option<Duration> {
    time().map(|time| time.wall())
}

/// The same for whoever follows no time as [`super::by_steady`].
pub(super) fn by_steady<T>(mut act: impl FnMut(&mut Steady, &dyn Fn() -> Reading) -> T) -> T {
    let time = time().expect("somebody's time is followed");
    let mut result = None;
    let read = || Reading::of(time.passed(), time.wall());
    time.by_steady(&mut |steady| result = Some(act(steady, &read)));
    result.expect("it has worked")
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
