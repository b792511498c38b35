//! Histories in which batches are decided while a transaction runs that fails.

use super::{Action, Item};
use crate::engine::tests::dice::Dice;
use crate::engine::tests::fault::{Armed, Call, Fault};
use crate::engine::tests::gateway::produce;
use crate::engine::tests::setting::{ACCOUNTS, Setting};

/// Writes many records in a short time. Meanwhile transactions fail, and instances are killed, end, start and read their
/// configuration.
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
        let fault = dice.pick(&faults);
        // Several failures in a row take so long that the partitions may be revoked meanwhile.
        let times = if fault == Fault::Abortable { dice.between(1, 8) } else { 1 };
        for _ in 0..times {
            items.push((at, Action::Arm(node, Armed { call, skip, fault })));
        }
        // The batch with its event is probably the one that fails.
        items.push((at + dice.between(0, 5), Action::Reload(node)));
        match dice.below(3) {
            0 => items.push((at + dice.between(0, 60), Action::Stop(node))),
            // Its partitions are revoked, because another instance leaves.
            1 => items.push((at.saturating_sub(5), Action::Stop(setting.nodes - 1 - node))),
            _ => {}
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
