//! What runs in parallel to the engine of an instance: restores and transactions.

use super::{Node, Restore, Transaction};
use crate::engine::tests::world::World;
use crate::log::Continuation;

impl World {
    /// Adds a restore. Returns its id.
    pub(in crate::engine::tests) fn add_restore(&self, node: usize, restore: Restore) -> u64 {
        let id = self.next_restore.replace(self.next_restore.get() + 1);
        let mut process = self.nodes[node].process.borrow_mut();
        let process = process.as_mut().expect("it is alive");
        process.restores.push((id, self.passed_ms.get(), restore));
        id
    }

    pub(in crate::engine::tests) fn remove_restore(&self, node: usize, id: u64) {
        if let Some(process) = self.nodes[node].process.borrow_mut().as_mut() {
            process.restores.retain(|(other, ..)| *other != id);
        }
    }

    /// Adds a transaction, which begins after some steps of the engine.
    pub(in crate::engine::tests) fn add_transaction(&self, node: usize, transaction: Transaction) {
        // Some begin late, so that much is decided meanwhile.
        let most_ms = if self.dice.borrow_mut().one_in(4) { 300 } else { 8 };
        let wait_ms = self.dice.borrow_mut().between(0, most_ms);
        let mut process = self.nodes[node].process.borrow_mut();
        let process = process.as_mut().expect("it is alive");
        process.transactions.push_back((self.passed_ms.get() + wait_ms, transaction));
    }

    /// Takes the transaction that begins next.
    pub(in crate::engine::tests) fn next_transaction(&self, node: usize) -> Option<Transaction> {
        let mut process = self.nodes[node].process.borrow_mut();
        Some(process.as_mut()?.transactions.pop_front()?.1)
    }
}

impl Node {
    pub(super) fn restore(&self, world: &World, node: usize, index: usize) {
        let taken = {
            let mut process = self.process.borrow_mut();
            process.as_mut().map(|process| process.restores.swap_remove(index))
        };
        let Some((id, _, mut step)) = taken else { return };
        let incarnation = self.incarnation.get();
        let next = world.restoring(node, || world.of_node(node, &mut step));
        let at = match next {
            None | Some(Continuation::Done) => return,
            Some(Continuation::Again) => world.passed_ms(),
            Some(Continuation::Wait(time)) => {
                world.passed_ms() + u64::try_from(time.as_millis()).unwrap()
            }
        };
        if let Some(process) = self.process.borrow_mut().as_mut()
            && self.incarnation.get() == incarnation
        {
            process.restores.push((id, at, step));
        }
    }

    /// Returns the weight of the batch that its engine has decided, but not begun to commit.
    fn open_weight(&self) -> usize {
        let process = self.process.borrow();
        let shell = process.as_ref().and_then(|process| process.shell.as_ref());
        shell.map_or(0, |shell| shell.committer.open_weight())
    }

    pub(super) fn transact(&self, world: &World, node: usize) {
        let Some(transaction) = world.next_transaction(node) else { return };
        let incarnation = self.incarnation.get();
        let stands = |is_in_transaction| {
            if let Some(process) = self.process.borrow_mut().as_mut()
                && self.incarnation.get() == incarnation
            {
                process.is_in_transaction = is_in_transaction;
            }
        };
        stands(true);
        let next = self.open_weight();
        if world.of_node(node, transaction).is_none() && next > 0 {
            world.count("killed in a transaction, the next batch decided");
        }
        stands(false);
    }
}
