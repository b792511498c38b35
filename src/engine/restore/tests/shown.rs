//! Shows rows as readable lines. They stay the same when a type gets another field: a new field is a new line.

use crate::codec::row::{InputOffset, Landmark, Meta, Owner, Replacement, TopicId};
use crate::domain::{
    Collected, Collection, Correlation, Deferred, Delivery, Due, EndedWebhook, EndpointState,
    Facts, FindingKind, Flow, FlowIdentity, Letters, Mapped, Notices, Outcome, Pending, Rendered,
    Rendering, Reported, Source, Started, State, Timestamp,
};
use crate::store::Tally;
use bytes::Bytes;
use serde_json::{Value, json};

/// Returns each value with its path, which begins with `what`.
pub(super) fn lines(what: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) if !members.is_empty() => members
            .iter()
            .flat_map(|(name, value)| lines(&format!("{what}.{name}"), value))
            .collect(),
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, value)| lines(&format!("{what}[{index}]"), value)).collect()
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => vec![format!("{what} = {value}")],
    }
}

pub(super) fn state(state: &State) -> Value {
    let State { correlation, deliveries, started, mapped: values, deferred, outcomes } = state;
    let correlation = match correlation {
        Correlation::Unknown => json!("unknown"),
        Correlation::AwaitingFlow(reports) => json!({"awaiting_flow": list(reports, collected)}),
        Correlation::Open(open) => json!({"open": flow(open)}),
        Correlation::Silent { flow, reason, until } => {
            json!({"silent": {"flow": identity(flow), "reason": reason.as_str(), "until": until.as_ms()}})
        }
        Correlation::Ended { account, until } => {
            json!({"ended": {"account": account.0, "until": until.as_ms()}})
        }
    };
    let started = started.map(|started| {
        let Started { account, content, until } = started;
        json!({"account": account.0, "content": content, "until": until.as_ms()})
    });
    let mut shown = json!({"correlation": correlation, "deliveries": list(deliveries, delivery), "started": started, "mapped": list(values, mapped)});
    // The fixtures of earlier versions have neither.
    if !deferred.is_empty() {
        shown["deferred"] = list(deferred, rule);
    }
    if !outcomes.is_empty() {
        shown["outcomes"] = list(outcomes, ended);
    }
    shown
}

fn rule(deferred: &Deferred) -> Value {
    let Deferred { delivery: own, trigger, upon, sms, scope } = deferred;
    json!({
        "delivery": delivery(own),
        "trigger": **trigger,
        "upon": upon.map(|id| id.to_string()),
        "sms": list(sms, |id| json!(id.as_str())),
        "flow": scope.flow.map(|flow| flow.0),
        "enabled": scope.enabled,
    })
}

fn ended(ended: &EndedWebhook) -> Value {
    let EndedWebhook { account, webhook, values } = ended;
    json!({"account": account.0, "webhook": webhook.as_str(), "values": list(values, mapped)})
}

pub(super) fn endpoint(endpoint: &EndpointState) -> Value {
    let EndpointState { failing_since, held_until, disabled, reported, notices } = endpoint;
    let mut shown = json!({
        "failing_since": time(*failing_since),
        "held_until": time(*held_until),
        "disabled": disabled.map(|disabled| json!({"at": disabled.at.as_ms(), "cause": disabled.cause.as_str()})),
    });
    // Earlier versions had no notices.
    if let Some(Reported { kind, at }) = reported {
        shown["reported"] = json!({"kind": kind.as_str(), "at": at.as_ms()});
    }
    if *notices != Notices::default() {
        for kind in FindingKind::ALL {
            shown["notices"][kind.as_str()] = json!(time(notices.last(kind)));
        }
        shown["notices"]["open"] = json!(notices.open.map(FindingKind::as_str));
        let letters = |Letters { count, since }: Letters| json!([count, since.as_ms()]);
        shown["notices"]["letters"] = json!(notices.letters.map(letters));
    }
    shown
}

pub(super) fn meta(meta: &Meta) -> Value {
    let Meta { offsets, committed_at, owner } = meta;
    let offset = |InputOffset { topic, partition, next_offset, .. }: &InputOffset| {
        json!([**topic, partition, next_offset])
    };
    let ids = |input: &InputOffset| json!(input.topic_id.as_ref().map(TopicId::as_str));
    let mut shown = json!({"offsets": list(offsets, offset), "committed_at": committed_at.as_ms()});
    if let Some(owner) = owner {
        let Owner { cluster, group, changelog, partitions, replaces, rebuilt_up_to, .. } = owner;
        let id = |id: &Option<TopicId>| id.as_ref().map(|id| id.as_str().to_owned());
        shown["topic_ids"] = list(offsets, ids);
        for input in offsets {
            // Earlier versions had no landmarks.
            if let Some(Landmark { offset, content }) = input.landmark {
                shown["landmarks"][&*input.topic] = json!([offset, format!("{content:016x}")]);
            }
        }
        shown["owner"] = json!({
            "cluster": cluster.as_deref(), "group": **group, "changelog": id(changelog),
            "partitions": partitions, "replaces": id(replaces), "rebuilt_up_to": rebuilt_up_to.as_deref(),
        });
        // Earlier versions had no repartition.
        if let Some(copies) = &owner.copies {
            shown["owner"]["copies"] = json!(**copies);
        }
        if !owner.earlier.is_empty() {
            shown["owner"]["earlier"] = list(&owner.earlier, |id| json!(id.as_str()));
        }
        if let Some(Replacement { changelog, inbox }) = &owner.replaced_by {
            shown["owner"]["replaced_by"] = json!([**changelog, **inbox]);
        }
    }
    shown
}

pub(super) fn tally(tally: &Tally) -> Value {
    let Tally { awaiting_flow, open, silent, ended, held, awaiting_reports } = tally;
    json!({"awaiting_flow": awaiting_flow, "open": open, "silent": silent, "ended": ended, "held": held, "awaiting_reports": awaiting_reports})
}

fn list<T>(items: &[T], shown: impl Fn(&T) -> Value) -> Value {
    items.iter().map(shown).collect()
}

fn time(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_ms)
}

/// Returns text as it is, and other bytes as escapes.
fn bytes(bytes: &Bytes) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({"bytes": bytes.escape_ascii().to_string()}),
    }
}

fn source(source: &Source) -> Value {
    let Source { topic, partition, offset, timestamp, index, trace } = source;
    let mut place = vec![json!(**topic), json!(partition), json!(offset), json!(timestamp.as_ms())];
    place.extend(index.map(Value::from));
    // The fixtures of earlier versions have none.
    if let Some(trace) = trace {
        place.extend([json!(trace.to_string()), json!(trace.state().map(|state| &**state))]);
    }
    Value::Array(place)
}

fn identity(identity: &FlowIdentity) -> Value {
    let FlowIdentity { account, flow, content } = identity;
    json!({"account": account.0, "flow": flow.map(|flow| flow.0), "content": content})
}

fn flow(flow: &Flow) -> Value {
    let Flow {
        identity: own,
        accepted_at,
        source: from,
        webhook,
        keys,
        sms,
        reports,
        collection,
        gathers_until,
        record,
        enabled,
        spelling,
    } = flow;
    let mut shown = json!({
        "identity": identity(own),
        "accepted_at": accepted_at.as_ms(),
        "source": source(from),
        "webhook": webhook.as_ref().map(|name| name.as_str()),
        "record": record.as_ref().map(bytes),
        "keys": keys.as_ref().map(bytes),
        "sms": sms.as_ref().map(|sms| list(sms, |id| json!(id.as_str()))),
        "reports": list(reports, collected),
        "collection": match collection {
            Collection::Open { until } => json!({"open": until.as_ms()}),
            Collection::Complete => json!("complete"),
            Collection::TimedOut => json!("timed_out"),
            Collection::NotWanted => json!("not_wanted"),
        },
    });
    // The fixtures of earlier versions have no such flows.
    if !enabled {
        shown["enabled"] = json!(false);
    }
    if let Some(spelling) = spelling {
        shown["spelling"] = json!(**spelling);
    }
    // Fixtures of versions that do not gather reports lack the line.
    if let Some(until) = gathers_until {
        shown["gathers_until"] = json!(until.as_ms());
    }
    shown
}

fn collected(report: &Collected) -> Value {
    let Collected {
        account,
        sms,
        class,
        seen,
        body,
        raw,
        headers,
        sent,
        source: from,
        expires_at,
        status,
    } = report;
    let mut shown = json!({
        "account": account.0,
        "sms": sms.as_str(),
        "class": format!("{class:?}"),
        "seen": seen,
        "body": body.as_ref().map(bytes),
        "raw": raw.as_ref().map(bytes),
        "sent": sent,
        "source": source(from),
        "expires_at": time(*expires_at),
        "status": status,
    });
    // Fixtures of versions without headers lack the line.
    if !headers.is_empty() {
        shown["headers"] =
            list(headers, |header| json!([*header.name, header.value.as_ref().map(bytes)]));
    }
    shown
}

fn delivery(delivery: &Delivery) -> Value {
    let Delivery {
        id,
        phase,
        account,
        webhook,
        body,
        source: from,
        scheduled_at,
        due,
        attempts,
        replays,
        first_attempt_at,
        last_attempt_at,
        last_outcome,
        rendering,
        sms,
    } = delivery;
    let rendering = match rendering {
        Rendering::Fixed => json!(null),
        Rendering::Done(Rendered { content_type, values }) => {
            // The fixtures of the first versions name the kind of a body; later ones have no such name.
            let kind = match content_type.as_deref() {
                Some("application/json") => json!("Json"),
                Some("application/xml") => json!("Xml"),
                Some("application/x-www-form-urlencoded") => json!("Form"),
                None => json!("None"),
                Some(_) => json!(null),
            };
            let done = json!({"kind": kind, "content_type": content_type, "values": bytes(values)});
            json!({"done": done})
        }
        Rendering::Pending(pending) => {
            let Pending { facts, after, outcome_of } = &**pending;
            let Facts { record, reports, mapped: values } = &**facts;
            let mut shown = json!({"pending": {
                "record": record.as_ref().map(bytes),
                "reports": list(reports, bytes),
                "mapped": list(values, mapped),
                "after": list(after, |id| json!(id.to_string())),
            }});
            if !outcome_of.is_empty() {
                shown["pending"]["outcome_of"] = list(outcome_of, |name| json!(name.as_str()));
            }
            shown
        }
    };
    let mut shown = json!({
        "rendering": rendering,
        "id": id.to_string(),
        "phase": phase.number(),
        "account": account.0,
        "webhook": webhook.as_str(),
        "body": bytes(body),
        "source": source(from),
        "scheduled_at": scheduled_at.as_ms(),
        "due": match due {
            Due::At(at) => json!(at.as_ms()),
            Due::Waiting => json!("after phase 1"),
        },
        "attempts": attempts,
        "replays": replays,
        "first_attempt_at": time(*first_attempt_at),
        "last_attempt_at": time(*last_attempt_at),
        "last_outcome": last_outcome.as_deref().map(outcome),
    });
    // Fixtures of versions without the SMS of deliveries lack the line.
    if !sms.is_empty() {
        shown["sms"] = list(sms, |id| json!(id.as_str()));
    }
    shown
}

fn mapped(mapped: &Mapped) -> Value {
    let Mapped { save_in, value } = mapped;
    json!([save_in, value])
}

fn outcome(outcome: &Outcome) -> Value {
    let Outcome {
        verdict,
        status,
        duration_ms,
        response,
        response_truncated,
        retry_after_ms,
        disables: _,
        mapped: _,
        reason,
        error,
    } = outcome;
    json!({
        "verdict": format!("{verdict:?}"),
        "status": status,
        "duration_ms": duration_ms,
        "response": bytes(response),
        "response_truncated": response_truncated,
        "retry_after_ms": retry_after_ms,
        "reason": reason.map(|reason| reason.as_str()),
        "error": error,
    })
}
