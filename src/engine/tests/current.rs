//! The world that a thread simulates: a restore's steps move between threads in the daemon, and so can't hold it.

use super::world::World;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// Simulates this world on this thread; `None`: no world any more.
    pub(super) fn set_current(world: Option<Rc<Self>>) {
        WORLD.with(|slot| *slot.borrow_mut() = world);
    }

    /// The world that this thread simulates.
    pub(super) fn current() -> Rc<Self> {
        WORLD.with(|slot| slot.borrow().clone()).expect("a world is simulated")
    }
}
