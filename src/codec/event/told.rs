//! A published event, read back as far as it can be checked against other evidence.

use super::parse_rfc3339;
use crate::domain::{DeliveryId, RecordKind, Timestamp};
use serde::Deserialize;
use std::borrow::Cow;

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Whose it is; nothing when it belongs to no correlation.
    pub uuid: Option<Cow<'a, str>>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub fact: Fact<'a>,
}

/// Which record an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// Its topic.
    pub topic: Cow<'a, str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// Which delivery an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About<'a> {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub webhook: Cow<'a, str>,
    /// 1 or 2.
    pub phase: u8,
}

/// What happened, by the event's `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// `flow_started`
    FlowStarted(Spot<'a>),
    /// `flow_accepted`
    FlowAccepted(Spot<'a>),
    /// `report_accepted`
    ReportAccepted {
        /// Whose report.
        account: i64,
        /// Of which SMS.
        sms: Cow<'a, str>,
        /// For its flow.
        waiting: bool,
        /// The record.
        source: Spot<'a>,
    },
    /// `record_ignored`
    RecordIgnored {
        /// Which of the two source events.
        record: RecordKind,
        /// Why.
        reason: Cow<'a, str>,
        /// The record.
        source: Spot<'a>,
    },
    /// `dead_lettered` of a record
    RecordDeadLettered {
        /// Why.
        reason: Cow<'a, str>,
        /// The record.
        source: Spot<'a>,
    },
    /// `delivery_scheduled`
    Scheduled {
        /// Which.
        about: About<'a>,
        /// From when on it may be attempted; nothing: it waits.
        due_at: Option<Timestamp>,
        /// It waits until it is rendered.
        pending: bool,
        /// Whose.
        account: Option<i64>,
        /// The SMS whose reports it carries.
        sms: Vec<Cow<'a, str>>,
    },
    /// `delivery_rendered`
    Rendered(About<'a>),
    /// `attempt_failed`
    AttemptFailed {
        /// Whose.
        about: About<'a>,
        /// Which one.
        attempt: u32,
        /// When the next one is due; nothing: it was the last.
        retry_at: Option<Timestamp>,
    },
    /// `delivered`
    Delivered {
        /// Which.
        about: About<'a>,
        /// By which attempt.
        attempt: u32,
        /// What the endpoint answered.
        status: Option<u16>,
    },
    /// `dead_lettered` of a delivery
    DeadLettered {
        /// Which.
        about: About<'a>,
        /// Why.
        reason: Cow<'a, str>,
        /// How many attempts were made.
        attempts: u32,
        /// How many lives it had before.
        replays: u32,
    },
    /// `replayed`
    Replayed {
        /// Which.
        about: About<'a>,
        /// How many lives it had before.
        replays: u32,
    },
    /// `report_timed_out`
    ReportTimedOut,
    /// `correlation_ended`
    CorrelationEnded {
        /// Of how many SMS a webhook carried the report; earlier versions did not say.
        reports_sent: Option<u64>,
    },
    /// `input_recreated`, `records_missed` or `offsets_moved`
    Input(InputTold<'a>),
    /// Anything else: of an endpoint, or of a version to come.
    Other,
}

/// What happened to an input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputTold<'a> {
    /// Its topic.
    pub topic: Cow<'a, str>,
    /// The partition.
    pub partition: i32,
    /// What happened.
    pub change: ToldChange<'a>,
}

/// What happened to an input partition, by the event's `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToldChange<'a> {
    /// `input_recreated`
    Recreated {
        /// Where the new log is read from.
        offset: i64,
    },
    /// `records_missed`
    Missed {
        /// The first offset that is missing.
        from: i64,
        /// The first offset that there was.
        to: i64,
    },
    /// `offsets_moved`
    Moved {
        /// How far it was read.
        from: i64,
        /// Where it is read from.
        to: i64,
        /// Who did it.
        by: Cow<'a, str>,
    },
}

/// A string that is borrowed where nothing in it is escaped, also within an option.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    phonon_uuid: Option<Text<'a>>,
    account_id: Option<i64>,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    webhook: Option<Text<'a>>,
    #[serde(borrow)]
    webhook_id: Option<Text<'a>>,
    phase: Option<u8>,
    attempt: Option<u32>,
    attempts: Option<u32>,
    replays: Option<u32>,
    #[serde(borrow, rename = "kind")]
    lettered: Option<Text<'a>>,
    #[serde(borrow)]
    record: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    sms_id: Option<Text<'a>>,
    waiting: Option<bool>,
    #[serde(borrow)]
    due_at: Option<Text<'a>>,
    after: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    sms: Option<Vec<Text<'a>>>,
    reports_sent: Option<u64>,
    #[serde(borrow)]
    retry_at: Option<Text<'a>>,
    response_status_code: Option<u16>,
    #[serde(borrow)]
    source: Option<Place<'a>>,
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    partition: Option<i32>,
    offset: Option<i64>,
    from_offset: Option<i64>,
    to_offset: Option<i64>,
    #[serde(borrow)]
    by: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
}

/// What the event `value` tells; nothing when it is none, or lacks what its type must have.
#[must_use]
pub fn read_told(value: &[u8]) -> Option<Told<'_>> {
    let mut members: Members<'_> = serde_json::from_slice(value).ok()?;
    let at = parse_rfc3339(&members.at)?;
    let uuid = members.phonon_uuid.take().map(|text| text.0);
    Some(Told { uuid, at, fact: members.fact()? })
}

impl<'a> Members<'a> {
    /// What happened to an input partition; nothing when a member is missing.
    fn input(self) -> Option<Fact<'a>> {
        let range = self.from_offset.zip(self.to_offset);
        let change = match &*self.kind {
            "input_recreated" => ToldChange::Recreated { offset: self.offset? },
            "records_missed" => {
                let (from, to) = range?;
                ToldChange::Missed { from, to }
            }
            _ => {
                let (from, to) = range?;
                let by = self.by.map_or(Cow::Borrowed(""), |text| text.0);
                ToldChange::Moved { from, to, by }
            }
        };
        let (topic, partition) = (self.topic?.0, self.partition?);
        Some(Fact::Input(InputTold { topic, partition, change }))
    }

    fn fact(self) -> Option<Fact<'a>> {
        if matches!(&*self.kind, "input_recreated" | "records_missed" | "offsets_moved") {
            return self.input();
        }
        let due_at = time(self.due_at.as_ref())?;
        let retry_at = time(self.retry_at.as_ref())?;
        let source = self.source.map(|place| Spot {
            topic: place.topic,
            partition: place.partition,
            offset: place.offset,
        });
        let id = self.webhook_id.as_ref().and_then(|id| DeliveryId::parse(&id.0));
        let about = id.map(|id| About {
            id,
            webhook: self.webhook.map_or(Cow::Borrowed(""), |text| text.0),
            phase: self.phase.unwrap_or(0),
        });
        let reason = self.reason.map(|text| text.0);
        let of_record = self.lettered.is_some_and(|kind| kind.0 == "record");
        Some(match &*self.kind {
            "flow_started" => Fact::FlowStarted(source?),
            "flow_accepted" => Fact::FlowAccepted(source?),
            "report_accepted" => Fact::ReportAccepted {
                account: self.account_id?,
                sms: self.sms_id?.0,
                waiting: self.waiting?,
                source: source?,
            },
            "record_ignored" => {
                let word = self.record?.0;
                let mut kinds = RecordKind::ALL.into_iter();
                let record = kinds.find(|kind| kind.as_str() == word)?;
                Fact::RecordIgnored { record, reason: reason?, source: source? }
            }
            "dead_lettered" if of_record => {
                Fact::RecordDeadLettered { reason: reason?, source: source? }
            }
            "dead_lettered" => Fact::DeadLettered {
                about: about?,
                reason: reason?,
                attempts: self.attempts?,
                replays: self.replays?,
            },
            "delivery_scheduled" => {
                let sms = self.sms.unwrap_or_default().into_iter().map(|text| text.0).collect();
                let (account, pending) = (self.account_id, self.after.is_some());
                Fact::Scheduled { about: about?, due_at, pending, account, sms }
            }
            "delivery_rendered" => Fact::Rendered(about?),
            "attempt_failed" => {
                Fact::AttemptFailed { about: about?, attempt: self.attempt?, retry_at }
            }
            "delivered" => Fact::Delivered {
                about: about?,
                attempt: self.attempt?,
                status: self.response_status_code,
            },
            "replayed" => Fact::Replayed { about: about?, replays: self.replays? },
            "report_timed_out" => Fact::ReportTimedOut,
            "correlation_ended" => Fact::CorrelationEnded { reports_sent: self.reports_sent },
            _ => Fact::Other,
        })
    }
}

/// The time of a member that may be null; nothing at all when it is no time.
fn time(text: Option<&Text<'_>>) -> Option<Option<Timestamp>> {
    text.map_or(Some(None), |text| parse_rfc3339(&text.0).map(Some))
}
