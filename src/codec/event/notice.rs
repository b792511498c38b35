//! Published events for code that evaluates them: the correlation, the time and the fact.

use super::input::{InputEvent, read_input_event};
use super::members::{Members, RecordPosition, read_members};
use super::{Became, parse_rfc3339};
use crate::codec::command::read_place;
use crate::domain::{DeliveryId, RecordKind, Timestamp};
use std::borrow::Cow;

/// A published event, without the members that no check or trace evaluates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The phonon-uuid; `None` if the event belongs to no correlation.
    pub uuid: Option<Cow<'a, str>>,
    /// The time of the event.
    pub at: Timestamp,
    pub fact: Fact<'a>,
}

/// The delivery that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About<'a> {
    pub id: DeliveryId,
    pub webhook: Cow<'a, str>,
    /// 1 or 2, and 0 for the webhook of a rule.
    pub phase: u8,
}

/// The fact that an event reports, by its `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// `flow_started`
    FlowStarted(RecordPosition<'a>),
    /// `flow_accepted`
    FlowAccepted(RecordPosition<'a>),
    /// `report_accepted`
    ReportAccepted {
        account: i64,
        sms: Cow<'a, str>,
        /// Whether the report waits for its flow.
        waiting: bool,
        /// The record's position in Kafka.
        source: RecordPosition<'a>,
    },
    /// `record_ignored`
    RecordIgnored {
        record: RecordKind,
        reason: Cow<'a, str>,
        /// The record's position in Kafka.
        source: RecordPosition<'a>,
    },
    /// `dead_lettered` of a record
    RecordDeadLettered {
        reason: Cow<'a, str>,
        /// The record's position in Kafka.
        source: RecordPosition<'a>,
    },
    /// `delivery_scheduled`
    Scheduled {
        about: About<'a>,
        /// The time from which the delivery may be attempted; `None` if it waits.
        due_at: Option<Timestamp>,
        /// Whether the delivery waits until it is rendered.
        pending: bool,
        account: Option<i64>,
        /// The SMS whose reports the delivery carries.
        sms: Vec<Cow<'a, str>>,
    },
    /// `delivery_rendered`
    Rendered(About<'a>),
    /// `attempt_failed`
    AttemptFailed {
        about: About<'a>,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        /// When the next attempt is due; `None` after the last one.
        retry_at: Option<Timestamp>,
    },
    /// `delivered`
    Delivered {
        about: About<'a>,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        /// The HTTP status of the answer.
        status: Option<u16>,
    },
    /// `dead_lettered` of a delivery
    DeadLettered {
        about: About<'a>,
        reason: Cow<'a, str>,
        /// The number of attempts.
        attempts: u32,
        /// How often the delivery was replayed.
        replays: u32,
    },
    /// `replayed`
    Replayed {
        about: About<'a>,
        /// How often the delivery was replayed, this replay included.
        replays: u32,
    },
    /// `record_replayed`
    RecordReplayed {
        /// The partition and offset of the dead letter that was sent back.
        letter: (i32, i64),
        /// The result of the record.
        became: Became,
    },
    /// `report_timed_out`
    ReportTimedOut,
    /// `correlation_ended`
    CorrelationEnded {
        /// The number of SMS whose report a webhook carried; `None` in events of earlier versions.
        reports_sent: Option<u64>,
    },
    /// `input_recreated`, `records_missed` or `offsets_moved`
    Input(InputEvent),
    /// `repartitioned`
    Repartitioned {
        /// The topic of the new inbox.
        inbox: Cow<'a, str>,
    },
    /// Any other event: of an endpoint, of an instance, or of a later version.
    Other,
}

/// Parses an event. Returns `None` if `value` is no event, or lacks a member that its type must have. An event of an
/// unknown type is [`Fact::Other`].
#[must_use]
pub fn read_notice(value: &[u8]) -> Option<Notice<'_>> {
    let mut members = read_members(value)?;
    let at = parse_rfc3339(&members.at)?;
    let uuid = members.phonon_uuid.take();
    Some(Notice { uuid, at, fact: members.fact()? })
}

/// Like [`read_notice`], but only for events of these types. Other events are not parsed.
#[must_use]
pub fn read_notice_of<'a>(value: &'a [u8], types: &[&str]) -> Option<Notice<'a>> {
    begins_with(value, types).then(|| read_notice(value)).flatten()
}

/// Returns whether the event's type may be one of `types`. The daemon writes the type as the first member.
pub(super) fn begins_with(value: &[u8], types: &[&str]) -> bool {
    let head = value.get(..HEAD_BYTES).unwrap_or(value);
    let quoted = |part: &[u8], word: &str| {
        let inner = part.strip_prefix(b"\"").and_then(|part| part.strip_suffix(b"\""));
        inner == Some(word.as_bytes())
    };
    types.iter().any(|word| head.windows(word.len() + 2).any(|part| quoted(part, word)))
}

/// The length of a prefix that contains `{"type":"` and the longest type, with some white space.
const HEAD_BYTES: usize = 32;

impl<'a> Members<'a> {
    /// Returns the delivery that the event is about, if it names one.
    pub(super) fn take_about(&mut self) -> Option<About<'a>> {
        let id = DeliveryId::parse(self.webhook_id.as_deref()?)?;
        let webhook = self.webhook.take().unwrap_or_default();
        Some(About { id, webhook, phase: self.phase.unwrap_or(0) })
    }

    fn fact(mut self) -> Option<Fact<'a>> {
        if matches!(&*self.kind, "input_recreated" | "records_missed" | "offsets_moved") {
            return read_input_event(self).map(Fact::Input);
        }
        let about = self.take_about();
        let due_at = time(self.due_at.flatten())?;
        let retry_at = time(self.retry_at.flatten())?;
        let (source, reason, sms_id) = (self.source, self.reason, self.sms_id);
        let of_record = self.lettered.is_some_and(|kind| kind == "record");
        Some(match &*self.kind {
            "flow_started" => Fact::FlowStarted(source?),
            "flow_accepted" => Fact::FlowAccepted(source?),
            "report_accepted" => Fact::ReportAccepted {
                account: self.account_id?,
                sms: sms_id?,
                waiting: self.waiting?,
                source: source?,
            },
            "record_ignored" => {
                let word = self.record?;
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
                let sms = self.sms.unwrap_or_default();
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
            "record_replayed" => {
                let word = self.became.unwrap_or_default();
                let became = Became::ALL.into_iter().find(|became| became.as_str() == word);
                let letter = self.letter.and_then(|letter| read_place(&letter));
                // A value from a later version is unknown to this one.
                match (letter, became) {
                    (Some(letter), Some(became)) => Fact::RecordReplayed { letter, became },
                    (None, _) | (_, None) => Fact::Other,
                }
            }
            "repartitioned" => Fact::Repartitioned { inbox: self.inbox? },
            "report_timed_out" => Fact::ReportTimedOut,
            "correlation_ended" => Fact::CorrelationEnded { reports_sent: self.reports_sent },
            _ => Fact::Other,
        })
    }
}

/// Parses the time of a member that may be null. Returns `None` if it is no time.
fn time(text: Option<Cow<'_, str>>) -> Option<Option<Timestamp>> {
    text.map_or(Some(None), |text| parse_rfc3339(&text).map(Some))
}
