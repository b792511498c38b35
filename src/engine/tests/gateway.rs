//! The records of the gateways.

use super::dice::Dice;
use super::plan::{Action, Item, TROUBLE_MS};
use super::setting::{ACCOUNTS, Setting};
use crate::domain::owner;

/// Adds a flow with one SMS, and its final report.
pub(super) fn produce(uuid: &str, account: i64, at: u64, setting: &Setting, items: &mut Vec<Item>) {
    let partition = Some(owner(uuid.as_bytes(), setting.input_partitions));
    for (topic, value) in [
        ("flow-complete", flow(uuid, account, Some(&["a"]), "one")),
        ("sms-delivery-report", report(uuid, account, "a", "DELIVERED")),
    ] {
        let key = Some(uuid.to_owned());
        items.push((at, Action::Produce { topic, partition, key, value }));
    }
}

fn flow(uuid: &str, account: i64, sms: Option<&[&str]>, word: &str) -> String {
    let sms = sms.map_or(String::new(), |sms| format!(",\"sms\":{sms:?}"));
    format!(
        r#"{{"phononUuid":"{uuid}","accountID":{account},"flowId":200,"webhookEnabled":true,"callDetails":[],"keys":[{{"name":"$flow.key.a","value":"{word}"}}]{sms}}}"#
    )
}

fn started(uuid: &str, account: i64, word: &str) -> String {
    format!(
        r#"{{"phononUuid":"{uuid}","accountID":{account},"flowId":200,"webhookEnabled":true,"keys":[{{"name":"$flow.key.a","value":"{word}"}}]}}"#
    )
}

pub(super) fn report(uuid: &str, account: i64, sms: &str, status: &str) -> String {
    format!(
        r#"{{"id":"{sms}","attemptDetail":"{uuid}##1","phononUuid":"{uuid}","accountID":{account},"deliveryStatus":"{status}"}}"#
    )
}

/// Returns the number of reports in an array, if `record` is one.
pub(super) fn items(record: &[u8]) -> Option<u32> {
    (record.starts_with(b"[") && record.ends_with(b"]")).then_some(2)
}

/// Adds the gateways' records of one uuid.
pub(super) fn records(number: u64, setting: &Setting, dice: &mut Dice, items: &mut Vec<Item>) {
    let uuid = format!("uuid-{number}");
    let (account, _) = dice.pick(&ACCOUNTS);
    let list = dice.pick(&[&["a", "b"][..], &["a"], &["a"], &[]]);
    let named = (!dice.one_in(3)).then_some(list);
    let begins = dice.between(0, TROUBLE_MS - 15_000);
    let mut add = |dice: &mut Dice, kind: &'static str, value: String| {
        let late = if dice.one_in(8) { 50_000 } else { 4000 };
        let at = begins + dice.between(0, late);
        let misplaced = dice.one_in(8);
        let partition = misplaced.then(|| dice.below(u64::from(setting.input_partitions)));
        let key = (!misplaced || dice.one_in(2)).then(|| uuid.clone());
        let value = if dice.one_in(25) { format!("{value}!") } else { value };
        let partition = partition.map(|partition| i32::try_from(partition).unwrap());
        let produce = Action::Produce { topic: kind, partition, key, value };
        items.push((at, produce.clone()));
        if dice.one_in(6) {
            items.push((at + dice.between(0, 3000), produce));
        }
    };
    if !setting.engine.topics.flow_started.is_empty() && !dice.one_in(4) {
        add(dice, "flow-started", started(&uuid, account, "one"));
        if dice.one_in(6) {
            add(dice, "flow-started", started(&uuid, account, "another"));
        }
    }
    if !dice.one_in(8) {
        add(dice, "flow-complete", flow(&uuid, account, named, "one"));
        if dice.one_in(10) {
            add(dice, "flow-complete", flow(&uuid, account, named, "another"));
        }
    }
    for sms in list {
        if dice.one_in(8) {
            let both = ["SENT", "DELIVERED"].map(|status| report(&uuid, account, sms, status));
            add(dice, "sms-delivery-report", format!("[{}]", both.join(", ")));
        }
        if dice.one_in(2) {
            add(dice, "sms-delivery-report", report(&uuid, account, sms, "SENT"));
        }
        if !dice.one_in(5) {
            let status = dice.pick(&["DELIVERED", "DELIVERED", "FAILED", "STRANGE"]);
            add(dice, "sms-delivery-report", report(&uuid, account, sms, status));
        }
        if dice.one_in(10) {
            add(dice, "sms-delivery-report", report(&uuid, 28, sms, "REJECTED"));
        }
    }
}
