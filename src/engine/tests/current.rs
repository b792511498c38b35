//! The world that a thread simulates. A restore's steps can't hold it, because in the daemon they move between threads.

use super::world::World;
use crate::clock::{self, simulated::Time};
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// Makes this thread simulate the world and follow its time; `None` ends that.
    pub(super) fn set_current(world: Option<Rc<Self>>) {
        clock::simulated::follow(world.clone().map(|world| world as Rc<dyn Time>));
        WORLD.with(|slot| *slot.borrow_mut() = world);
    }

    /// Returns the world that this thread simulates.
    pub(super) fn current() -> Rc<Self> {
        WORLD.with(|slot| slot.borrow().clone()).expect("a world is simulated")
    }
}
