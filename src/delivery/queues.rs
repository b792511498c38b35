//! The queues of lanes with a job that may leave, one for each pool of the instance's slots.
//!
//! A free slot goes to the lane that holds the fewest. A lane without unanswered requests comes before all others,
//! whatever happened before. Of lanes with equal numbers, the one that has waited longest is next. A slot becomes free
//! only when its attempt ends. So some slots are kept for lanes that hold none. A lane whose endpoint has not answered yet
//! takes a second slot only while few of these slots are used: the endpoint may hang.

use crate::domain::WebhookName;
use std::collections::BTreeMap;

/// A pool of the instance's slots. Each job takes a slot of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    First,
    Retry,
    /// Jobs of any class whose endpoint takes long to answer.
    Slow,
    /// Jobs of any class whose endpoint has not answered yet.
    Trial,
    /// Jobs of any class whose endpoint hangs.
    Hanging,
}

pub(super) const POOLS: usize = 5;

/// The orders of the pools, which take turns. Of lanes with equal numbers, the lane of the first pool is next.
const TURNS: [[Pool; POOLS]; 5] = {
    use Pool::{First, Hanging, Retry, Slow, Trial};
    let firsts = [First, Retry, Slow, Trial, Hanging];
    [
        [Retry, First, Slow, Trial, Hanging],
        [Trial, Hanging, First, Retry, Slow],
        [Slow, First, Retry, Trial, Hanging],
        firsts,
        firsts,
    ]
};

/// A lane's entry in a queue: its number of unanswered requests, and the number of its arrival.
pub(super) type QueueEntry = (usize, u64);

/// A lane's entry in each queue.
pub(super) type QueueEntries = [Option<QueueEntry>; POOLS];

pub(super) struct Queues {
    /// The number of slots that each pool may use.
    slots: [usize; POOLS],
    used: [usize; POOLS],
    all: usize,
    waiting: [BTreeMap<QueueEntry, WebhookName>; POOLS],
    entered: u64,
    turn: usize,
}

impl Queues {
    pub(super) fn new(in_flight_max: usize) -> Self {
        let part = |of: usize| in_flight_max / of;
        let [most, half] = [in_flight_max - part(8), part(2)];
        let slots = [most, half, most, in_flight_max - part(4), part(8)];
        Self {
            slots: slots.map(|some| some.max(1)),
            used: [0; POOLS],
            all: in_flight_max,
            waiting: Default::default(),
            entered: 0,
            turn: 0,
        }
    }

    /// Adds a lane with `in_flight` unanswered requests to the queue of each of `pools`. A lane that waits already
    /// moves to its present place.
    pub(super) fn enter(
        &mut self,
        webhook: &WebhookName,
        in_flight: usize,
        entries: &mut QueueEntries,
        pools: impl Iterator<Item = Pool>,
    ) {
        for pool in pools {
            let index = pool as usize;
            let (Some(entry), Some(queue)) = (entries.get_mut(index), self.waiting.get_mut(index))
            else {
                continue;
            };
            let since = match *entry {
                Some((held, _)) if held == in_flight => continue,
                Some(former) => {
                    queue.remove(&former);
                    former.1
                }
                None => {
                    self.entered += 1;
                    self.entered
                }
            };
            *entry = Some((in_flight, since));
            queue.insert((in_flight, since), webhook.clone());
        }
    }

    /// Removes the next lane from its queue, if there is a slot for it.
    pub(super) fn next(&mut self) -> Option<(Pool, QueueEntry, WebhookName)> {
        let order = TURNS.get(self.turn)?;
        let heads = order.iter().filter_map(|pool| {
            let (head, _) = self.waiting.get(*pool as usize)?.first_key_value()?;
            self.has_room(*pool, head.0).then_some((head.0, *pool))
        });
        // Of equal numbers, the first pool in the order.
        let (_, pool) = heads.min_by_key(|(held, _)| *held)?;
        let (entry, webhook) = self.waiting.get_mut(pool as usize)?.pop_first()?;
        Some((pool, entry, webhook))
    }

    /// Returns whether a lane with `held` slots may take another slot of `pool`.
    fn has_room(&self, pool: Pool, held: usize) -> bool {
        // The last eighth of each limit is for lanes without slots.
        let fits = |used: usize, most: usize| used < if held == 0 { most } else { most - most / 8 };
        let of =
            |numbers: &[usize; POOLS], pool: Pool| numbers.get(pool as usize).copied().unwrap_or(0);
        let used = |pools: &[Pool]| pools.iter().map(|pool| of(&self.used, *pool)).sum::<usize>();
        let doubtful = || fits(used(&[Pool::Trial, Pool::Hanging]), of(&self.slots, Pool::Trial));
        let slow = || {
            let slow = [Pool::Slow, Pool::Trial, Pool::Hanging];
            fits(used(&slow), of(&self.slots, Pool::Slow))
        };
        // The other slots are for the first attempt of each lane.
        let is_first = held == 0;
        let few = || used(&[Pool::Trial, Pool::Hanging]) < of(&self.slots, Pool::Trial) / 8;
        let of_all = match pool {
            Pool::First | Pool::Retry => true,
            Pool::Slow => slow(),
            Pool::Trial | Pool::Hanging => doubtful() && slow() && (is_first || few()),
        };
        of_all && fits(of(&self.used, pool), of(&self.slots, pool)) && fits(self.used(), self.all)
    }

    /// Returns the number of used slots.
    pub(super) fn used(&self) -> usize {
        self.used.iter().sum()
    }

    /// Takes a slot of `pool`.
    pub(super) fn take(&mut self, pool: Pool) {
        self.turn = (self.turn + 1) % TURNS.len();
        if let Some(used) = self.used.get_mut(pool as usize) {
            *used += 1;
        }
    }

    /// Frees a slot of `pool`.
    pub(super) fn free(&mut self, pool: Pool) {
        if let Some(used) = self.used.get_mut(pool as usize) {
            *used = used.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pool, QueueEntries, Queues};
    use crate::domain::WebhookName;
    use std::collections::BTreeMap;

    /// Lanes that always wait for more slots.
    struct Scene {
        queues: Queues,
        lanes: BTreeMap<WebhookName, (Pool, usize, QueueEntries)>,
    }

    impl Scene {
        fn new(in_flight_max: usize) -> Self {
            Self { queues: Queues::new(in_flight_max), lanes: BTreeMap::new() }
        }

        fn enter(&mut self, name: &str, pool: Pool) {
            let name = WebhookName::new(name).unwrap();
            let lane = self.lanes.entry(name.clone()).or_insert((pool, 0, QueueEntries::default()));
            self.queues.enter(&name, lane.1, &mut lane.2, std::iter::once(pool));
        }

        /// Returns the lane that gets the next slot.
        fn next(&mut self) -> Option<String> {
            let (pool, entry, name) = self.queues.next()?;
            let lane = self.lanes.get_mut(&name).unwrap();
            assert_eq!(lane.2[pool as usize].take(), Some(entry));
            self.queues.take(pool);
            lane.1 += 1;
            let text = name.to_string();
            self.enter(&text, pool);
            Some(text)
        }

        fn end(&mut self, name: &str) {
            let lane = self.lanes.get_mut(&WebhookName::new(name).unwrap()).unwrap();
            lane.1 -= 1;
            let pool = lane.0;
            self.queues.free(pool);
            self.enter(name, pool);
        }

        fn held(&self) -> Vec<usize> {
            self.lanes.values().map(|lane| lane.1).collect()
        }
    }

    #[test]
    fn a_free_slot_goes_to_the_lane_that_holds_the_fewest() {
        let mut scene = Scene::new(80);
        scene.enter("a", Pool::First);
        for _ in 0..30 {
            assert_eq!(scene.next().as_deref(), Some("a"));
        }
        scene.enter("b", Pool::First);
        scene.enter("c", Pool::Retry);
        for _ in 0..30 {
            assert_ne!(scene.next().as_deref(), Some("a"), "{:?}", scene.held());
        }
        let held = scene.held();
        assert!(held[1].abs_diff(held[2]) <= 1, "{held:?}");
        for _ in 0..10 {
            scene.end("c");
        }
        assert_eq!(scene.next().as_deref(), Some("c"), "{:?}", scene.held());
    }

    #[test]
    fn lanes_with_equal_numbers_of_slots_take_turns() {
        let mut scene = Scene::new(1000);
        let names = ["a", "b", "c", "d"];
        for name in names {
            scene.enter(name, Pool::First);
        }
        for _ in 0..5 {
            let round: Vec<String> = (0..4).map(|_| scene.next().unwrap()).collect();
            assert_eq!(round, names);
            // Attempts end in any order.
            for name in ["c", "a", "d", "b"] {
                scene.end(name);
            }
        }
    }

    #[test]
    fn lanes_that_hold_slots_leave_some_to_lanes_that_hold_none() {
        for in_flight_max in [64, 1024] {
            for pool in [Pool::First, Pool::Slow] {
                let mut scene = Scene::new(in_flight_max);
                for n in 0..40 {
                    scene.enter(&format!("greedy-{n}"), pool);
                }
                while scene.next().is_some() {}
                for n in 0..in_flight_max / 16 {
                    let name = format!("modest-{n}");
                    scene.enter(&name, Pool::First);
                    assert_eq!(scene.next(), Some(name), "{pool:?} of {in_flight_max}");
                }
            }
        }
    }

    #[test]
    fn doubtful_lanes_leave_slots_to_healthy_lanes() {
        let mut scene = Scene::new(64);
        let mut fill = |kind: &str, pool| {
            for n in 0..100 {
                scene.enter(&format!("{kind}-{n}"), pool);
            }
            std::iter::from_fn(|| scene.next()).count()
        };
        assert_eq!(fill("hanging", Pool::Hanging), 8);
        assert_eq!(fill("new", Pool::Trial), 48 - 8);
        assert_eq!(fill("slow", Pool::Slow), 56 - 48);
        assert_eq!(fill("healthy", Pool::First), 64 - 56);
        assert_eq!(fill("again", Pool::Retry), 0);
    }

    #[test]
    fn every_pool_gets_a_slot_in_an_instance_with_few_slots() {
        for in_flight_max in 1..8 {
            for pool in [Pool::First, Pool::Retry, Pool::Slow, Pool::Trial, Pool::Hanging] {
                let mut scene = Scene::new(in_flight_max);
                scene.enter("a", pool);
                assert_eq!(scene.next().as_deref(), Some("a"), "{pool:?} of {in_flight_max}");
            }
        }
    }
}
