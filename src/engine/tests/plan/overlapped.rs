//! Histories in which batches are decided while a transaction runs that fails.

use super::{Action, Item};
use crate::engine::tests::dice::Dice;
use crate::engine::tests::fault::{Armed, Call, Fault};
use crate::engine::tests::gateway::produce;
use crate::engine::tests::setting::{ACCOUNTS, Setting};

/// Writes many records in a short time. Meanwhile transactions fail, and instances are killed, end and start.
pub(in crate::engine::tests) fn overlapped(setting: &Setting, dice: &mut Dice) -> Vec<Item> {
    let mut items = vec![(0, Action::Start(0)), (0, Action::Start(setting.nodes - 1))];
    for number in 0..24 {
        let (account, _) = dice.pick(&ACCOUNTS);
        produce(&format!("uuid-{number}"), account, dice.between(2000, 5000), setting, &mut items);
    }
    let faults = [
        Fault::Kill,
        Fault::KillAfter,
        Fault::Abortable,
        Fault::FatalBefore,
        Fault::FatalAfter,
        Fault::RetriableAfter,
        Fault::PauseAfter(300),
    ];
    for _ in 0..dice.between(2, 6) {
        let (node, at) = (dice.index(setting.nodes), dice.between(2000, 5000));
        let call = dice.pick(&[Call::Begin, Call::Send, Call::Offsets, Call::Commit, Call::Commit]);
        let skip = u32::try_from(dice.below(2)).unwrap();
        items.push((at, Action::Arm(node, Armed { call, skip, fault: dice.pick(&faults) })));
        if dice.one_in(2) {
            items.push((at + dice.between(0, 60), Action::Stop(node)));
        }
        items.push((at + dice.between(500, 3000), Action::Start(node)));
    }
    for _ in 0..dice.between(0, 3) {
        let (node, at) = (dice.index(setting.nodes), dice.between(2000, 5000));
        items.extend([
            (at, Action::Stop(node)),
            (at + dice.between(500, 3000), Action::Start(node)),
        ]);
    }
    items
}
