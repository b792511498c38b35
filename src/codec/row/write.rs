//! Writes rows as Avro, field by field in the order of the schema. Variants of enumerations and unions have the numbers
//! of the schema.

use super::{InputOffset, Landmark, Meta, Owner, Replacement, TopicId};
use crate::domain::{
    Collected, Collection, Correlation, Deferred, Delivery, DisableCause, Disabled, Due,
    EndedWebhook, EndpointState, ErrorReason, Facts, FindingKind, Flow, FlowIdentity, Header,
    IgnoreReason, Letters, Mapped, Notices, Outcome, Phase, Rendering, Reported, SmsId, Source,
    Started, State, StatusClass, Timestamp, TraceContext, Verdict, WebhookName,
};
use std::sync::Arc;

pub(super) fn state(state: &State, out: &mut Vec<u8>) {
    match &state.correlation {
        Correlation::Unknown => long(0, out),
        Correlation::AwaitingFlow(reports) => {
            long(1, out);
            array(reports, collected, out);
        }
        Correlation::Open(open) => {
            long(2, out);
            flow(open, out);
        }
        Correlation::Silent { flow, reason, until } => {
            long(3, out);
            identity(flow, out);
            long(ignore_reason(*reason), out);
            time(*until, out);
        }
        Correlation::Ended { account, until } => {
            long(4, out);
            long(account.0, out);
            time(*until, out);
        }
    }
    array(&state.deliveries, delivery, out);
    let started = |started: Started, out: &mut Vec<u8>| {
        long(started.account.0, out);
        out.extend_from_slice(&started.content.to_be_bytes());
        time(started.until, out);
    };
    optional(state.started, started, out);
    array(&state.mapped, mapped, out);
    array(&state.deferred, deferred, out);
    array(&state.outcomes, ended_webhook, out);
}

fn deferred(deferred: &Deferred, out: &mut Vec<u8>) {
    delivery(&deferred.delivery, out);
    bytes(deferred.trigger.as_bytes(), out);
    optional(deferred.upon, |id, out| out.extend_from_slice(&id.to_bytes()), out);
    array(&deferred.sms, sms, out);
    optional(deferred.scope.flow, |flow, out| long(flow.0, out), out);
    boolean(deferred.scope.enabled, out);
}

fn ended_webhook(ended: &EndedWebhook, out: &mut Vec<u8>) {
    long(ended.account.0, out);
    webhook(&ended.webhook, out);
    array(&ended.values, mapped, out);
}

fn webhook(name: &WebhookName, out: &mut Vec<u8>) {
    bytes(name.as_str().as_bytes(), out);
}

pub(super) fn meta(meta: &Meta, out: &mut Vec<u8>) {
    let topic_id = |id: &TopicId, out: &mut Vec<u8>| bytes(id.as_str().as_bytes(), out);
    let offset = |input: &InputOffset, out: &mut Vec<u8>| {
        bytes(input.topic.as_bytes(), out);
        long(i64::from(input.partition), out);
        long(input.next_offset, out);
        optional(input.topic_id.as_ref(), topic_id, out);
        let landmark = |landmark: Landmark, out: &mut Vec<u8>| {
            long(landmark.offset, out);
            out.extend_from_slice(&landmark.content.to_be_bytes());
        };
        optional(input.landmark, landmark, out);
    };
    let owner = |owner: &Owner, out: &mut Vec<u8>| {
        optional(owner.cluster.as_ref(), |id, out| bytes(id.as_bytes(), out), out);
        bytes(owner.group.as_bytes(), out);
        optional(owner.changelog.as_ref(), topic_id, out);
        long(i64::from(owner.partitions), out);
        optional(owner.replaces.as_ref(), topic_id, out);
        let text = |text: &Arc<str>, out: &mut Vec<u8>| bytes(text.as_bytes(), out);
        optional(owner.rebuilt_up_to.as_ref(), text, out);
        optional(owner.copies.as_ref(), text, out);
        let replacement = |by: &Replacement, out: &mut Vec<u8>| {
            bytes(by.changelog.as_bytes(), out);
            bytes(by.inbox.as_bytes(), out);
        };
        optional(owner.replaced_by.as_ref(), replacement, out);
        array(&owner.earlier, topic_id, out);
    };
    array(&meta.offsets, offset, out);
    time(meta.committed_at, out);
    optional(meta.owner.as_ref(), owner, out);
}

pub(super) fn endpoint(endpoint: &EndpointState, out: &mut Vec<u8>) {
    optional(endpoint.failing_since, time, out);
    optional(endpoint.held_until, time, out);
    let disabled = |disabled: Disabled, out: &mut Vec<u8>| {
        time(disabled.at, out);
        long(
            match disabled.cause {
                DisableCause::Gone => 0,
                DisableCause::Failing => 1,
            },
            out,
        );
    };
    optional(endpoint.disabled, disabled, out);
    let reported = |reported: Reported, out: &mut Vec<u8>| {
        long(finding_kind(reported.kind), out);
        time(reported.at, out);
    };
    optional(endpoint.reported, reported, out);
    let written = (endpoint.notices != Notices::default()).then_some(&endpoint.notices);
    optional(written, notices, out);
}

fn notices(notices: &Notices, out: &mut Vec<u8>) {
    for kind in FindingKind::ALL {
        optional(notices.last(kind), time, out);
    }
    optional(notices.open, |kind, out| long(finding_kind(kind), out), out);
    let letters = |letters: Letters, out: &mut Vec<u8>| {
        long(i64::from(letters.count), out);
        time(letters.since, out);
    };
    optional(notices.letters, letters, out);
}

const fn finding_kind(kind: FindingKind) -> i64 {
    match kind {
        FindingKind::Failing => 0,
        FindingKind::Held => 1,
        FindingKind::Disabled => 2,
        FindingKind::DeadLetters => 3,
        FindingKind::Recovered => 4,
    }
}

fn collected(report: &Collected, out: &mut Vec<u8>) {
    long(report.account.0, out);
    sms(&report.sms, out);
    long(status_class(report.class), out);
    array(&report.seen, |hash, out| out.extend_from_slice(&hash.to_be_bytes()), out);
    optional(report.body.as_ref(), |body, out| bytes(body, out), out);
    optional(report.raw.as_ref(), |raw, out| bytes(raw, out), out);
    boolean(report.sent, out);
    source(&report.source, out);
    optional(report.expires_at, time, out);
    optional(report.status.as_ref(), |status, out| bytes(status.as_bytes(), out), out);
    array(&report.headers, header, out);
}

fn header(header: &Header, out: &mut Vec<u8>) {
    bytes(header.name.as_bytes(), out);
    optional(header.value.as_ref(), |value, out| bytes(value, out), out);
}

fn source(source: &Source, out: &mut Vec<u8>) {
    bytes(source.topic.as_bytes(), out);
    long(i64::from(source.partition), out);
    long(source.offset, out);
    time(source.timestamp, out);
    optional(source.index, |index, out| long(i64::from(index), out), out);
    optional(source.trace.as_deref(), trace, out);
}

fn trace(trace: &TraceContext, out: &mut Vec<u8>) {
    out.extend_from_slice(&trace.trace_id().to_be_bytes());
    out.extend_from_slice(&trace.span_id().to_be_bytes());
    long(i64::from(trace.flags()), out);
    optional(trace.state(), |state, out| bytes(state.as_bytes(), out), out);
}

fn flow(flow: &Flow, out: &mut Vec<u8>) {
    identity(&flow.identity, out);
    time(flow.accepted_at, out);
    source(&flow.source, out);
    optional(flow.webhook.as_ref(), |name, out| bytes(name.as_str().as_bytes(), out), out);
    optional(flow.keys.as_ref(), |keys, out| bytes(keys, out), out);
    optional(flow.sms.as_ref(), |list, out| array(list, sms, out), out);
    array(&flow.reports, collected, out);
    match flow.collection {
        Collection::Open { until } => {
            long(0, out);
            time(until, out);
        }
        Collection::Complete => out.extend([2, 0]),
        Collection::TimedOut => out.extend([2, 2]),
        Collection::NotWanted => out.extend([2, 4]),
    }
    optional(flow.record.as_ref(), |record, out| bytes(record, out), out);
    boolean(flow.enabled, out);
    optional(flow.spelling.as_ref(), |text, out| bytes(text.as_bytes(), out), out);
    optional(flow.gathers_until, time, out);
}

fn mapped(mapped: &Mapped, out: &mut Vec<u8>) {
    bytes(mapped.save_in.as_bytes(), out);
    bytes(mapped.value.as_bytes(), out);
}

fn rendering(rendering: &Rendering, out: &mut Vec<u8>) {
    match rendering {
        Rendering::Fixed => long(0, out),
        Rendering::Done(rendered) => {
            long(1, out);
            let content_type = rendered.content_type.as_ref();
            optional(content_type, |text, out| bytes(text.as_bytes(), out), out);
            bytes(&rendered.values, out);
        }
        Rendering::Pending(pending) => {
            long(2, out);
            let Facts { record, reports, mapped: values } = &*pending.facts;
            optional(record.as_ref(), |record, out| bytes(record, out), out);
            array(reports, |report, out| bytes(report, out), out);
            array(values, mapped, out);
            array(&pending.after, |id, out| out.extend_from_slice(&id.to_bytes()), out);
            array(&pending.outcome_of, webhook, out);
        }
    }
}

fn identity(identity: &FlowIdentity, out: &mut Vec<u8>) {
    long(identity.account.0, out);
    optional(identity.flow, |flow, out| long(flow.0, out), out);
    out.extend_from_slice(&identity.content.to_be_bytes());
}

fn delivery(delivery: &Delivery, out: &mut Vec<u8>) {
    out.extend_from_slice(&delivery.id.to_bytes());
    long(phase(delivery.phase), out);
    long(delivery.account.0, out);
    bytes(delivery.webhook.as_str().as_bytes(), out);
    bytes(&delivery.body, out);
    source(&delivery.source, out);
    time(delivery.scheduled_at, out);
    let due = match delivery.due {
        Due::At(at) => Some(at),
        Due::Waiting => None,
    };
    optional(due, time, out);
    long(i64::from(delivery.attempts), out);
    long(i64::from(delivery.replays), out);
    optional(delivery.first_attempt_at, time, out);
    optional(delivery.last_attempt_at, time, out);
    optional(delivery.last_outcome.as_deref(), outcome, out);
    rendering(&delivery.rendering, out);
    array(&delivery.sms, sms, out);
}

fn sms(sms: &SmsId, out: &mut Vec<u8>) {
    bytes(sms.as_str().as_bytes(), out);
}

fn outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    long(verdict(outcome.verdict), out);
    optional(outcome.status, |status, out| long(i64::from(status), out), out);
    long(outcome.duration_ms.cast_signed(), out);
    bytes(&outcome.response, out);
    boolean(outcome.response_truncated, out);
    optional(outcome.reason, |reason, out| long(error_reason(reason), out), out);
    optional(outcome.error.as_ref(), |error, out| bytes(error.as_bytes(), out), out);
}

const fn status_class(class: StatusClass) -> i64 {
    match class {
        StatusClass::Intermediate => 0,
        StatusClass::Final => 1,
    }
}

const fn phase(phase: Phase) -> i64 {
    match phase {
        Phase::One => 0,
        Phase::Two => 1,
        Phase::Rule => 2,
    }
}

const fn verdict(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Delivered => 0,
        Verdict::Retry => 1,
        Verdict::GiveUp => 2,
    }
}

const fn ignore_reason(reason: IgnoreReason) -> i64 {
    match reason {
        IgnoreReason::Duplicate => 0,
        IgnoreReason::Regressed => 1,
        IgnoreReason::Conflicting => 2,
        IgnoreReason::AccountMismatch => 3,
        IgnoreReason::Late => 4,
        IgnoreReason::Unlisted => 5,
        IgnoreReason::NotifyOff => 6,
        IgnoreReason::NoDefaultWebhook => 7,
        IgnoreReason::WebhookDisabled => 8,
    }
}

const fn error_reason(reason: ErrorReason) -> i64 {
    match reason {
        ErrorReason::AuthenticationFailure => 0,
        ErrorReason::Timeout => 1,
        ErrorReason::InvalidFlowVar => 2,
        ErrorReason::InvalidRequest => 3,
        ErrorReason::InvalidResponse => 4,
        ErrorReason::InvalidResponseMap => 5,
        ErrorReason::Unreachable => 6,
        ErrorReason::BlockedAddress => 7,
        ErrorReason::Refused => 8,
    }
}

fn time(time: Timestamp, out: &mut Vec<u8>) {
    long(time.as_ms(), out);
}

fn boolean(value: bool, out: &mut Vec<u8>) {
    out.push(u8::from(value));
}

/// Writes a union of null and one type.
#[inline]
fn optional<T>(value: Option<T>, write: impl Fn(T, &mut Vec<u8>), out: &mut Vec<u8>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(2);
            write(value, out);
        }
    }
}

/// Writes an array as one block and the empty block that ends it.
#[inline]
fn array<T>(items: &[T], write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    if !items.is_empty() {
        length(items.len(), out);
        for item in items {
            write(item, out);
        }
    }
    out.push(0);
}

#[inline]
fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn length(length: usize, out: &mut Vec<u8>) {
    // A slice is never longer than `i64::MAX`.
    long(i64::try_from(length).unwrap_or(i64::MAX), out);
}

/// Writes a zig-zag varint.
#[inline]
fn long(number: i64, out: &mut Vec<u8>) {
    let bits = ((number << 1) ^ (number >> 63)).cast_unsigned();
    // Most numbers of a row are lengths and choices of one byte.
    match u8::try_from(bits) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        Ok(_) | Err(_) => long_bits(bits, out),
    }
}

fn long_bits(mut rest: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
