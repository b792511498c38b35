//! The world that a thread simulates: a restore's steps move between threads in the daemon, and so can't hold it.

use super::world::World;
use crate::clock::{self, simulated::Time};
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// Simulates this world on this thread, and follows its time; `None`: no world any more.
    pub(super) fn set_current(world: Option<Rc<Self>>) {
        clock::simulated::follow(world.clone().map(|world| world as Rc<dyn Time>));
        WORLD.with(|slot| *slot.borrow_mut() = world);
    }

    /// The world that this thread simulates.
    pub(super) fn current() -> Rc<Self> {
        WORLD.with(|slot| slot.borrow().clone()).expect("a world is simulated")
    }
}
