//! Writes events and dead letters as JSON, with the headers of dead letters; and reads events.
//!
//! [`read_members`] reads the members of any event, for code that shows them. [`read_notice`] reads the fact, for code
//! that evaluates events. Events of unknown types are read too: their known members, and [`Fact::Other`].
//! [`read_ended`] reads only the ends of deliveries, with their outcomes.
//! `schemas/events.schema.json` is generated from the reader ([`schema()`]).
//!
//! Common members of an event, in this order: `type`, `phonon_uuid`, `account_id`, `at`, and where they apply
//! `webhook`, `webhook_id`, `phase`, `attempt`. Then:
//!
//! | type | adds |
//! |---|---|
//! | `flow_started` | `flow_id`, `source` |
//! | `flow_accepted` | `flow_id`, `sms` (absent when the gateway does not know the list), `source` |
//! | `report_accepted` | `sms_id`, `status`, `known_status`, `waiting` (for its flow), `source` |
//! | `record_ignored` | `record` (`flow_started`, `flow_complete`, `delivery_report`), `reason`, `sms_id`, `source` |
//! | `delivery_scheduled` | `due_at` (null: waits for phase 1, or for `after`), `after` (webhook ids: they give its variables values), `sms`, `source` |
//! | `delivery_rendered` | nothing: the deliveries that it waited for have ended, and it may be attempted |
//! | `attempt_failed` | the outcome, `retry_at` (null after the last attempt) |
//! | `delivered` | `attempts`, `replays` (absent: 0), `sms_id` (if the delivery is about one SMS) or `sms` (if it is about several), the outcome |
//! | `dead_lettered`, `kind` = `delivery` | `reason`, `attempts`, `replays`, `sms_id` or `sms` (likewise), `last_outcome` {the outcome} |
//! | `dead_lettered`, `kind` = `record` | `reason`, `record`, `sms_id`, `source`, `detail` |
//! | `replayed` | `replays` (how often the delivery was replayed, this replay included) |
//! | `record_replayed` | `letter` (the position of the dead letter that was sent back as this record), `source` (the record), `became` (`accepted`, `ignored`, `dead_lettered`) |
//! | `report_timed_out` | `missing` (ids of SMS) |
//! | `rule_skipped` | `on` (the rule's trigger), `reason` (`no_value`: of `variable`; `replaced`: the report; `unanswered`: of `variable`, although the rule waited for the answer; `no_room`: to wait; `run_ended`: the trigger came by a replay after the run; `too_many`: of one decision), `variable`, `sms_id`, `source` |
//! | `correlation_ended` | `reports_sent` (number of SMS whose report a webhook carried; absent in events of earlier versions) |
//! | `endpoint_held` (no phonon-uuid, like all that follow) | `until`: the end of the pause that the endpoint asked for |
//! | `endpoint_disabled` | `cause` (`gone`, `failing`), `failing_since` |
//! | `endpoint_enabled` | nothing |
//! | `breaker_changed` | `state` (`closed`, `half_open`, `open`) |
//! | `input_recreated` (of a topic-partition) | `topic`, `partition`, `former_topic_id`, `topic_id` (if the topics have ids), `former_offset`, `offset` (from which it is read) |
//! | `records_missed` (of a topic-partition) | `topic`, `partition`, `from_offset`, `to_offset`, `records`: Kafka deleted them before they were read |
//! | `offsets_moved` (of a topic-partition) | `topic`, `partition`, `from_offset`, `to_offset`, `by` (`skip`, `reset`: an operator moved the position; `group`: another program moved the group's offset back) |
//! | `repartitioned` (key: the former changelog) | `changelog`, `former_changelog`, `inbox`, `former_inbox`, `partitions`, `former_partitions`: an operator has given changelog and inbox another number of partitions, by new topics |
//! | `reload_refused` (of an instance) | `instance`, `detail`: SIGHUP reloaded the configuration, which is wrong, and the former one stays in force |
//! | `operator_action` (of an instance) | `webhook` (if it is about one), `instance`, `action` (`replay_started`, `replay_stopped`, `endpoint_enabled`, `test_sent`), `operator`, `address` (of the operator's client), `detail`: an operator has requested a change by the console or the API, and it follows |
//! | `restart_needed` (of an instance) | `instance`, `keys`: SIGHUP reloaded the configuration, and these keys keep their old values until a restart |
//!
//! `source` is {`topic`, `partition`, `offset`}, and `index` of an item of an array. The outcome's members are `response_status`, `response_status_code`,
//! `response_status_type`, `response_duration` (seconds), `response_raw` (null if nothing came), `response_truncated`,
//! `response_variables` (an object of the variables that the webhook's response map found), `response_error` (a
//! Boolean; a text in events of earlier versions), `error_detail` (the text), and `error_reason`. Other members that do
//! not apply are absent. The answer's text is at most 4 KiB in an event. `delivered` and dead letters contain all of it
//! that is kept.

mod dead_letter;
mod ended;
mod endpoint;
mod input;
mod members;
mod notice;
mod operator;
mod outcome;
mod repartition;
mod replayed;
mod schema;
mod sms;

#[cfg(test)]
mod tests;

pub use endpoint::{write_breaker_event, write_endpoint_event};

pub use input::{
    InputChange, InputEvent, MovedBy, ReloadEvent, write_input_event, write_reload_event,
};

pub use dead_letter::{RequestView, delivery_headers, record_headers, write_delivery_dead_letter};
pub use ended::{EndKind, EndedDelivery, UnreadableEnd, read_ended};
pub use members::{
    Members, Outcome as OutcomeMembers, RecordPosition, ResponseError, read_members,
};
pub use notice::{About, Fact, Notice, read_notice, read_notice_of};
pub use operator::{OperatorAction, OperatorEvent, write_operator_event};
pub use repartition::{RepartitionEvent, write_repartitioned};
pub use replayed::{Became, write_record_replayed};
pub use schema::schema;

pub use super::time::{parse_rfc3339, rfc3339, write_rfc3339};

use super::time::TimeMembers as _;
use crate::domain::{
    AccountId, Collected, Correlation, DeadLetterReason, Delivery, DeliveryId, Event, Flow, FlowId,
    IgnoreReason, Outcome, PhononUuid, RESPONSE_BYTES_KEPT, RawRecord, RecordKind, Rendering,
    SkippedRule, SmsId, Source, State, Timestamp,
};
use crate::json::Object;
use outcome::write_outcome;

/// The longest part of an answer in the events of attempts and dead letters, in bytes.
const RESPONSE_BYTES_IN_EVENT: usize = 4096;

/// The data of a published event that the domain's event does not contain.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    pub uuid: &'a PhononUuid,
    /// The account, for events that do not name one.
    pub account: Option<AccountId>,
    pub at: Timestamp,
}

/// Appends the published JSON of `event`, which happened to `state_before`. Returns `false` if the event is not
/// published.
pub fn write_event(
    out: &mut Vec<u8>,
    context: &EventContext<'_>,
    state_before: &State,
    event: &Event,
) -> bool {
    let writer = Writer { context, state_before };
    match event {
        Event::FlowStarted { started, flow, source } => {
            writer.flow_started(out, started.account, *flow, source);
        }
        Event::FlowAccepted(flow) => writer.flow_accepted(out, flow),
        Event::FlowSilenced { identity, reason, source, .. } => {
            let ignored = Ignored { kind: RecordKind::Flow, sms: None, reason: *reason, source };
            writer.ignored(out, identity.account, &ignored);
        }
        Event::ReportAccepted { report, status, known } => {
            writer.report_accepted(out, report, status, *known);
        }
        Event::RecordIgnored(record) => {
            let ignored = Ignored {
                kind: record.kind,
                sms: record.sms.as_ref(),
                reason: record.reason,
                source: &record.source,
            };
            writer.ignored(out, record.account, &ignored);
        }
        Event::RecordDeadLettered { record, reason, detail } => {
            let uuid = Some(context.uuid);
            write_record(
                out,
                uuid,
                record.account.or(context.account),
                context.at,
                record,
                *reason,
                detail,
            );
        }
        Event::DeliveryScheduled { delivery, sms } => writer.scheduled(out, delivery, sms),
        Event::AttemptFailed { delivery, attempt, outcome, at, retry_at } => {
            writer.attempt_failed(out, *delivery, *attempt, outcome, *at, *retry_at);
        }
        Event::Delivered { delivery, attempt, outcome, at } => {
            writer.delivered(out, delivery, *attempt, outcome, *at);
        }
        Event::DeadLettered { delivery, reason, at } => {
            writer.dead_lettered(out, delivery, *reason, *at);
        }
        Event::Replayed { delivery } => {
            let mut object = writer.open(out, "replayed", Some(delivery.account), context.at);
            about(&mut object, delivery);
            object.integer("replays", i64::from(delivery.replays));
            object.close();
        }
        Event::ReportTimedOut { missing } => {
            let mut object = writer.open(out, "report_timed_out", writer.account(), context.at);
            object.texts("missing", missing.iter().map(SmsId::as_str));
            object.close();
        }
        Event::RuleSkipped(skipped) => writer.rule_skipped(out, skipped),
        Event::CorrelationEnded => writer.ended(out),
        Event::DeliveryRendered { delivery, at, .. } => writer.rendered(out, *delivery, *at),
        Event::ReportAdopted { .. }
        | Event::OutcomeKept { .. }
        | Event::RuleDeferred(_)
        | Event::RuleJudged(_)
        | Event::CollectionClosed(_)
        | Event::MarkerKept { .. }
        | Event::Gathering(_)
        | Event::MarkerExpired
        | Event::StartExpired => return false,
    }
    true
}

/// Appends the event `dead_lettered` of a record without a phonon-uuid, which belongs to no correlation.
pub fn write_record_dead_lettered(
    out: &mut Vec<u8>,
    at: Timestamp,
    record: &RawRecord,
    reason: DeadLetterReason,
    detail: &str,
) {
    write_record(out, None, record.account, at, record, reason, detail);
}

/// Returns the outcome's members as an object, with all of the answer that is kept.
#[must_use]
pub fn outcome_json(outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::with_capacity(outcome.response.len() + 256);
    let mut object = Object::open(&mut out);
    write_outcome(&mut object, outcome, RESPONSE_BYTES_KEPT);
    object.close();
    out
}

struct Ignored<'a> {
    kind: RecordKind,
    sms: Option<&'a SmsId>,
    reason: IgnoreReason,
    source: &'a Source,
}

struct Writer<'a> {
    context: &'a EventContext<'a>,
    state_before: &'a State,
}

impl Writer<'_> {
    fn open<'o>(
        &self,
        out: &'o mut Vec<u8>,
        kind: &str,
        account: Option<AccountId>,
        at: Timestamp,
    ) -> Object<'o> {
        open(out, kind, Some(self.context.uuid), account, at)
    }

    /// Returns the account of the correlation.
    fn account(&self) -> Option<AccountId> {
        self.context.account.or(match &self.state_before.correlation {
            Correlation::Open(flow) => Some(flow.identity.account),
            Correlation::Silent { flow, .. } => Some(flow.account),
            Correlation::Ended { account, .. } => Some(*account),
            Correlation::Unknown | Correlation::AwaitingFlow(_) => None,
        })
    }

    fn flow_started(
        &self,
        out: &mut Vec<u8>,
        account: AccountId,
        flow: Option<FlowId>,
        from: &Source,
    ) {
        let mut object = self.open(out, "flow_started", Some(account), self.context.at);
        if let Some(id) = flow {
            object.integer("flow_id", id.0);
        }
        source(&mut object, from);
        object.close();
    }

    fn ended(&self, out: &mut Vec<u8>) {
        let mut object = self.open(out, "correlation_ended", self.account(), self.context.at);
        if let Correlation::Open(flow) = &self.state_before.correlation {
            let sent = flow.reports.iter().filter(|report| report.sent).count();
            object.integer("reports_sent", i64::try_from(sent).unwrap_or(i64::MAX));
        }
        object.close();
    }

    fn rendered(&self, out: &mut Vec<u8>, id: DeliveryId, at: Timestamp) {
        let known = self.state_before.delivery(id);
        let account = known.map(|known| known.account).or_else(|| self.account());
        let mut object = self.open(out, "delivery_rendered", account, at);
        match known {
            Some(known) => about(&mut object, known),
            None => webhook_id(&mut object, id),
        }
        object.close();
    }

    fn flow_accepted(&self, out: &mut Vec<u8>, flow: &Flow) {
        let account = Some(flow.identity.account);
        let mut object = self.open(out, "flow_accepted", account, self.context.at);
        if let Some(webhook) = &flow.webhook {
            object.text("webhook", webhook.as_str());
        }
        if let Some(id) = flow.identity.flow {
            object.integer("flow_id", id.0);
        }
        if let Some(sms) = &flow.sms {
            object.texts("sms", sms.iter().map(SmsId::as_str));
        }
        source(&mut object, &flow.source);
        object.close();
    }

    fn report_accepted(&self, out: &mut Vec<u8>, report: &Collected, status: &str, known: bool) {
        let mut object = self.open(out, "report_accepted", Some(report.account), self.context.at);
        object.text("sms_id", report.sms.as_str());
        object.text("status", status);
        object.boolean("known_status", known);
        object.boolean("waiting", report.expires_at.is_some());
        source(&mut object, &report.source);
        object.close();
    }

    fn ignored(&self, out: &mut Vec<u8>, account: AccountId, record: &Ignored<'_>) {
        let mut object = self.open(out, "record_ignored", Some(account), self.context.at);
        object.text("record", record.kind.as_str());
        object.text("reason", record.reason.as_str());
        if let Some(sms) = record.sms {
            object.text("sms_id", sms.as_str());
        }
        source(&mut object, record.source);
        object.close();
    }

    fn rule_skipped(&self, out: &mut Vec<u8>, skipped: &SkippedRule) {
        let SkippedRule { account, webhook, trigger, reason, variable, sms, source: from } =
            skipped;
        let mut object = self.open(out, "rule_skipped", Some(*account), self.context.at);
        object.text("webhook", webhook.as_str());
        object.text("on", trigger);
        object.text("reason", reason.as_str());
        if let Some(variable) = variable {
            object.text("variable", variable);
        }
        if let Some(sms) = sms {
            object.text("sms_id", sms.as_str());
        }
        source(&mut object, from);
        object.close();
    }

    fn scheduled(&self, out: &mut Vec<u8>, delivery: &Delivery, sms: &[SmsId]) {
        let account = Some(delivery.account);
        let mut object = self.open(out, "delivery_scheduled", account, self.context.at);
        about(&mut object, delivery);
        object.time_or_null("due_at", dead_letter::due_at(delivery));
        if let Rendering::Pending(pending) = &delivery.rendering
            && !pending.after.is_empty()
        {
            let after: Vec<String> = pending.after.iter().map(ToString::to_string).collect();
            object.texts("after", after.iter().map(String::as_str));
        }
        object.texts("sms", sms.iter().map(SmsId::as_str));
        source(&mut object, &delivery.source);
        object.close();
    }

    fn attempt_failed(
        &self,
        out: &mut Vec<u8>,
        id: DeliveryId,
        attempt: u32,
        outcome: &Outcome,
        at: Timestamp,
        retry_at: Option<Timestamp>,
    ) {
        let delivery = self.state_before.delivery(id);
        let account = delivery.map(|delivery| delivery.account).or_else(|| self.account());
        let mut object = self.open(out, "attempt_failed", account, at);
        match delivery {
            Some(delivery) => about(&mut object, delivery),
            None => webhook_id(&mut object, id),
        }
        object.integer("attempt", i64::from(attempt));
        write_outcome(&mut object, outcome, RESPONSE_BYTES_IN_EVENT);
        object.time_or_null("retry_at", retry_at);
        object.close();
    }

    fn delivered(
        &self,
        out: &mut Vec<u8>,
        delivery: &Delivery,
        attempt: u32,
        outcome: &Outcome,
        at: Timestamp,
    ) {
        let mut object = self.open(out, "delivered", Some(delivery.account), at);
        about(&mut object, delivery);
        object.integer("attempt", i64::from(attempt));
        object.integer("attempts", i64::from(attempt));
        if delivery.replays > 0 {
            object.integer("replays", i64::from(delivery.replays));
        }
        self.sms(&mut object, delivery);
        write_outcome(&mut object, outcome, RESPONSE_BYTES_KEPT);
        object.close();
    }

    /// Writes the SMS that the delivery is about.
    fn sms(&self, object: &mut Object<'_>, delivery: &Delivery) {
        if !delivery.sms.is_empty() {
            return super::sms::write(object, &delivery.sms);
        }
        let found = sms::sms_of(self.context.uuid, self.state_before, delivery);
        super::sms::write(object, found.as_slice());
    }

    fn dead_lettered(
        &self,
        out: &mut Vec<u8>,
        delivery: &Delivery,
        reason: DeadLetterReason,
        at: Timestamp,
    ) {
        let mut object = self.open(out, "dead_lettered", Some(delivery.account), at);
        about(&mut object, delivery);
        object.text("kind", "delivery");
        object.text("reason", reason.as_str());
        object.integer("attempts", i64::from(delivery.attempts));
        object.integer("replays", i64::from(delivery.replays));
        self.sms(&mut object, delivery);
        if let Some(outcome) = &delivery.last_outcome {
            let mut last = object.object("last_outcome");
            write_outcome(&mut last, outcome, RESPONSE_BYTES_IN_EVENT);
            last.close();
        }
        object.close();
    }
}

fn open<'o>(
    out: &'o mut Vec<u8>,
    kind: &str,
    uuid: Option<&PhononUuid>,
    account: Option<AccountId>,
    at: Timestamp,
) -> Object<'o> {
    let mut object = Object::open(out);
    object.text("type", kind);
    if let Some(uuid) = uuid {
        object.text("phonon_uuid", uuid.as_str());
    }
    if let Some(account) = account {
        object.integer("account_id", account.0);
    }
    object.time("at", at);
    object
}

fn write_record(
    out: &mut Vec<u8>,
    uuid: Option<&PhononUuid>,
    account: Option<AccountId>,
    at: Timestamp,
    record: &RawRecord,
    reason: DeadLetterReason,
    detail: &str,
) {
    let mut object = open(out, "dead_lettered", uuid, account, at);
    object.text("kind", "record");
    object.text("reason", reason.as_str());
    if let Some(kind) = record.kind {
        object.text("record", kind.as_str());
    }
    if let Some(sms) = &record.sms {
        object.text("sms_id", sms.as_str());
    }
    source(&mut object, &record.source);
    object.text("detail", detail);
    object.close();
}

/// Writes the delivery that an event is about.
fn about(object: &mut Object<'_>, delivery: &Delivery) {
    object.text("webhook", delivery.webhook.as_str());
    webhook_id(object, delivery.id);
    object.integer("phase", i64::from(delivery.phase.number()));
}

fn webhook_id(object: &mut Object<'_>, id: DeliveryId) {
    // An id consists of digits and letters, so that nothing is escaped or allocated.
    object.display("webhook_id", &id);
}

fn source(object: &mut Object<'_>, source: &Source) {
    let mut place = object.object("source");
    place.text("topic", &source.topic);
    place.integer("partition", i64::from(source.partition));
    place.integer("offset", source.offset);
    if let Some(index) = source.index {
        place.integer("index", i64::from(index));
    }
    place.close();
}
