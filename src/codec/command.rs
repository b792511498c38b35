//! Commands in the inbox: complete JSON, so that another partition can receive it unchanged.
//!
//! `replay`: `body`, `source` {`topic`, `partition`, `offset`, `timestamp`, `index`}, and the members of [`super::delivery`], with
//! `replays` as it was before this command.

mod endpoint;

pub(in crate::codec) use endpoint::write_finding;
pub use endpoint::{
    DISABLE_ENDPOINT, ENABLE_ENDPOINT, REPORT_ENDPOINT, write_disable_endpoint,
    write_enable_endpoint, write_report_endpoint,
};

pub use super::header::{COMMAND as COMMAND_HEADER, LETTER as LETTER_HEADER};

use super::delivery::{self, Members, SourcePosition, Text};
use super::rendering;
use super::sms;
use super::time::{TimeMembers as _, parse_rfc3339};
use crate::domain::{Command, Delivery, EndpointCommand, PhononUuid, Source, WebhookName};
use crate::json::{self, Object};

/// The command that sends the delivery of a dead letter again.
pub const REPLAY: &str = "replay";
/// A note, not a command: a record was sent back to its topic. [`LETTER_HEADER`] names its dead letter.
pub const RECORD_REPLAYED: &str = "record_replayed";

/// The longest command in bytes. The row or the dead letter of a longer one might not fit into a record.
const COMMAND_BYTES_MAX: usize = 18 << 20;

/// Appends the command that replays `delivery`.
pub fn write_replay(out: &mut Vec<u8>, uuid: &PhononUuid, delivery: &Delivery) {
    out.reserve(delivery.body.len() + 512);
    let mut object = Object::open(out);
    delivery::write_identity(&mut object, uuid, delivery);
    object.integer("replays", i64::from(delivery.replays));
    sms::write(&mut object, &delivery.sms);
    let mut source = object.object("source");
    source.text("topic", &delivery.source.topic);
    source.integer("partition", i64::from(delivery.source.partition));
    source.integer("offset", delivery.source.offset);
    source.time("timestamp", delivery.source.timestamp);
    if let Some(index) = delivery.source.index {
        source.integer("index", i64::from(index));
    }
    source.close();
    json::write_lossy(object.name("body"), &delivery.body);
    rendering::write(&mut object, &delivery.rendering, delivery.body.len());
    object.close();
}

/// A command in the inbox.
#[derive(Debug)]
pub enum InboxCommand {
    /// A command to the correlation of a phonon-uuid, for the partition that owns it.
    Of(PhononUuid, Command),
    /// A command about an endpoint, for the partition of the inbox that contains it.
    About(WebhookName, EndpointCommand<'static>),
    /// A note for those who read the inbox. It causes nothing.
    Note,
}

/// Parses the position of a dead letter, `PARTITION:OFFSET`.
#[must_use]
pub fn read_place(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// Parses the command `name` with the value `value`.
///
/// # Errors
/// The value is no such command. The error is one sentence for the operator and quotes nothing of the record.
pub fn read_command(name: &str, value: &[u8]) -> Result<InboxCommand, &'static str> {
    if value.len() > COMMAND_BYTES_MAX {
        return Err("the command in the inbox is longer than a command of Ringback can be");
    }
    match name {
        REPLAY => {}
        RECORD_REPLAYED => return Ok(InboxCommand::Note),
        ENABLE_ENDPOINT | DISABLE_ENDPOINT | REPORT_ENDPOINT => return endpoint::read(name, value),
        _ => return Err("the record in the inbox is a command that this version does not know"),
    }
    let found = Members::read(value);
    let members = found.as_ref().and_then(|it| Some((it, it.source.as_ref()?, it.body.as_ref()?)));
    let (members, source, Text(body)) =
        members.ok_or("the command in the inbox is not the JSON of a replay")?;
    read_replay(members, source, body, value)
        .ok_or("the replay in the inbox has an invalid id, phase, webhook, uuid or time")
}

fn read_replay(
    members: &Members<'_>,
    source: &SourcePosition<'_>,
    body: &str,
    value: &[u8],
) -> Option<InboxCommand> {
    let source = Source {
        topic: source.topic.as_ref().into(),
        partition: source.partition,
        offset: source.offset,
        timestamp: parse_rfc3339(&source.timestamp)?,
        index: source.index,
        trace: None,
    };
    let (uuid, delivery) = members.delivery(value, body, source)?;
    Some(InboxCommand::Of(uuid, Command::Replay(Box::new(delivery))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, DeliveryId, Phase, SmsId, Timestamp};
    use bytes::Bytes;

    fn delivery() -> (PhononUuid, Delivery) {
        let uuid = PhononUuid::new("u-1").unwrap();
        let at = Timestamp::from_ms(1_697_696_721_042);
        let source = Source {
            topic: "flow-complete".into(),
            partition: 3,
            offset: 42,
            timestamp: at,
            index: Some(2),
            trace: None,
        };
        let delivery = Delivery {
            replays: 1,
            sms: ["a", "b"].map(|id| SmsId::new(id).unwrap()).into(),
            ..Delivery::new(
                DeliveryId::derive(&uuid, 1, []),
                Phase::One,
                AccountId(28),
                WebhookName::new("crm").unwrap(),
                Bytes::from_static("{\"text\":\"फोनन \\n\"}".as_bytes()),
                source,
                at,
            )
        };
        (uuid, delivery)
    }

    #[test]
    fn a_replay_reads_back_as_it_was_written() {
        let (uuid, delivery) = delivery();
        let mut out = Vec::new();
        write_replay(&mut out, &uuid, &delivery);
        let read = read_command(REPLAY, &out).unwrap();
        let InboxCommand::Of(of, command) = read else { panic!("{read:?}") };
        assert_eq!((of, command), (uuid, Command::Replay(Box::new(delivery))));
    }

    #[test]
    fn values_that_are_no_command_are_refused_in_one_sentence() {
        let (uuid, delivery) = delivery();
        let mut good = Vec::new();
        write_replay(&mut good, &uuid, &delivery);
        assert!(read_command("enable", &good).unwrap_err().contains("does not know"));
        for bad in ["", "replay", "{}", "[1]", "\u{0}"] {
            assert!(read_command(REPLAY, bad.as_bytes()).is_err(), "{bad}");
        }
        let good = String::from_utf8(good).unwrap();
        for (from, to) in [
            ("msg_", "other_"),
            ("\"phase\":1", "\"phase\":3"),
            ("\"u-1\"", "\"\""),
            ("\"crm\"", "\"\""),
            ("\"replays\":1", "\"replays\":-1"),
            ("2023-10-19T", "yesterday "),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(read_command(REPLAY, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
