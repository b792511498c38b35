//! What a phonon-uuid is waiting for now: its row, as JSON and as lines.

use crate::codec::event::{outcome_json, rfc3339};
use crate::domain::{
    Collected, Collection, Correlation, Delivery, Due, EndpointState, Flow, Outcome, SmsId, Source,
    State, StatusClass, Timestamp, WebhookName,
};
use serde_json::{Map, Value, json};

/// The state as `--json` prints it.
pub(super) fn to_json(state: &State, bodies: bool) -> Value {
    let deliveries: Vec<Value> =
        state.deliveries.iter().map(|delivery| delivery_json(delivery, bodies)).collect();
    json!({
        "correlation": correlation_json(&state.correlation),
        "deliveries": deliveries,
        "timer_at": state.timer().map(rfc3339),
    })
}

fn correlation_json(correlation: &Correlation) -> Value {
    match correlation {
        Correlation::Unknown => json!({"state": "unknown"}),
        Correlation::AwaitingFlow(reports) => {
            json!({"state": "awaiting_flow", "reports": reports_json(reports)})
        }
        Correlation::Open(flow) => {
            let (collection, until) = match flow.collection {
                Collection::Open { until } => ("open", Some(until)),
                Collection::Complete => ("complete", None),
                Collection::TimedOut => ("timed_out", None),
                Collection::NotWanted => ("not_wanted", None),
            };
            json!({
                "state": "open",
                "account_id": flow.identity.account.0,
                "flow_id": flow.identity.flow.map(|flow| flow.0),
                "webhook": flow.webhook.as_ref().map(WebhookName::as_str),
                "accepted_at": rfc3339(flow.accepted_at),
                "source": source_json(&flow.source),
                "sms": flow.sms.as_ref().map(|sms| sms.iter().map(SmsId::as_str).collect::<Vec<_>>()),
                "reports": reports_json(&flow.reports),
                "collection": collection,
                "until": until.map(rfc3339),
            })
        }
        Correlation::Silent { flow, reason, until } => json!({
            "state": "silent",
            "account_id": flow.account.0,
            "flow_id": flow.flow.map(|flow| flow.0),
            "reason": reason.as_str(),
            "until": rfc3339(*until),
        }),
        Correlation::Ended { account, until } => {
            json!({"state": "ended", "account_id": account.0, "until": rfc3339(*until)})
        }
    }
}

fn reports_json(reports: &[Collected]) -> Vec<Value> {
    let report = |report: &Collected| {
        json!({
            "sms_id": report.sms.as_str(),
            "account_id": report.account.0,
            "final": report.class == StatusClass::Final,
            "sent": report.sent,
            "source": source_json(&report.source),
            "expires_at": report.expires_at.map(rfc3339),
        })
    };
    reports.iter().map(report).collect()
}

fn source_json(source: &Source) -> Value {
    json!({"topic": &*source.topic, "partition": source.partition, "offset": source.offset})
}

fn delivery_json(delivery: &Delivery, bodies: bool) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
    set("webhook_id", delivery.id.to_string().into());
    set("phase", delivery.phase.number().into());
    set("webhook", delivery.webhook.as_str().into());
    set("scheduled_at", rfc3339(delivery.scheduled_at).into());
    // Null: after phase 1.
    set("due_at", due_at(delivery).map(rfc3339).into());
    set("attempts", delivery.attempts.into());
    set("replays", delivery.replays.into());
    set("first_attempt_at", delivery.first_attempt_at.map(rfc3339).into());
    set("last_attempt_at", delivery.last_attempt_at.map(rfc3339).into());
    let outcome = delivery.last_outcome.as_ref().map(|outcome| {
        let mut outcome: Value = serde_json::from_slice(&outcome_json(outcome)).unwrap_or_default();
        if let Some(outcome) = outcome.as_object_mut().filter(|_| !bodies) {
            outcome.remove("response_raw");
        }
        outcome
    });
    set("last_outcome", outcome.into());
    if bodies {
        set("body", String::from_utf8_lossy(&delivery.body).into());
    }
    object.into()
}

const fn due_at(delivery: &Delivery) -> Option<Timestamp> {
    match delivery.due {
        Due::At(at) => Some(at),
        Due::Waiting => None,
    }
}

/// What is remembered of an endpoint as `--json` prints it.
pub(super) fn endpoint_json(endpoint: &EndpointState) -> Value {
    json!({
        "disabled_at": endpoint.disabled.map(|disabled| rfc3339(disabled.at)),
        "disabled_cause": endpoint.disabled.map(|disabled| disabled.cause.as_str()),
        "held_until": endpoint.held_until.map(rfc3339),
        "failing_since": endpoint.failing_since.map(rfc3339),
    })
}

/// What is remembered of an endpoint, for people; nothing of what is over.
pub(super) fn endpoint_line(
    webhook: &WebhookName,
    endpoint: &EndpointState,
    now: Timestamp,
) -> Option<String> {
    let disabled = endpoint.disabled.map(|disabled| {
        format!("disabled since {} ({})", rfc3339(disabled.at), disabled.cause.as_str())
    });
    let held = endpoint.held_until.filter(|until| *until > now);
    let held = held.map(|until| format!("asked to be left alone until {}", rfc3339(until)));
    let failing = endpoint.failing_since;
    let failing = failing.map(|since| format!("nothing delivered since {}", rfc3339(since)));
    let all: Vec<String> = [disabled, held, failing].into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("webhook {webhook}: {}", all.join(", ")))
}

/// The state for people, a sentence a line.
pub(super) fn lines(state: &State, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    match &state.correlation {
        Correlation::Unknown => {}
        Correlation::AwaitingFlow(reports) => {
            lines.push("waits for its flow complete record; reports known so far:".to_owned());
            lines.extend(reports.iter().map(report_line));
            if let Some(first) = state.timer() {
                lines.push(format!("  the first becomes a dead letter at {}", rfc3339(first)));
            }
        }
        Correlation::Open(flow) => lines.extend(flow_lines(flow)),
        Correlation::Silent { reason, until, .. } => lines.push(format!(
            "nothing is sent ({}); forgotten at {}",
            reason.as_str(),
            rfc3339(*until)
        )),
        Correlation::Ended { until, .. } => lines.push(format!(
            "ended; what comes now is late, and from {} on it would be new",
            rfc3339(*until)
        )),
    }
    lines.extend(state.deliveries.iter().flat_map(|delivery| delivery_lines(delivery, now)));
    lines
}

fn flow_lines(flow: &Flow) -> Vec<String> {
    let mut lines = vec![match flow.collection {
        Collection::Open { until } => {
            format!(
                "open since {}; waits for reports until {}",
                rfc3339(flow.accepted_at),
                rfc3339(until)
            )
        }
        Collection::Complete => {
            format!("open since {}; all reports are there", rfc3339(flow.accepted_at))
        }
        Collection::TimedOut => {
            format!("open since {}; the reports did not come in time", rfc3339(flow.accepted_at))
        }
        Collection::NotWanted => {
            format!("open since {}; there is no phase 2", rfc3339(flow.accepted_at))
        }
    }];
    lines.extend(flow.reports.iter().map(report_line));
    let known = |sms: &SmsId| flow.reports.iter().any(|report| report.sms == *sms);
    let silent = flow.sms.iter().flatten().filter(|sms| !known(sms));
    lines.extend(silent.map(|sms| format!("  SMS {sms}: no report yet")));
    lines
}

fn report_line(report: &Collected) -> String {
    let class = match report.class {
        StatusClass::Final => "final",
        StatusClass::Intermediate => "intermediate",
    };
    let sent = if report.sent { ", in a delivery" } else { "" };
    format!("  SMS {}: {class}{sent}", report.sms)
}

fn delivery_lines(delivery: &Delivery, now: Timestamp) -> Vec<String> {
    let next = delivery.attempts + 1;
    let due = match delivery.due {
        Due::At(at) if at > now => format!("attempt {next} is due at {}", rfc3339(at)),
        Due::At(at) => format!("attempt {next} is due since {}", rfc3339(at)),
        Due::Waiting => {
            "waits for the end of phase 1, or of what gives its variables values".to_owned()
        }
    };
    let (phase, webhook, id) = (delivery.phase.number(), &delivery.webhook, delivery.id);
    let mut lines = vec![format!("phase {phase} to {webhook} ({id}): {due}")];
    if let (Some(outcome), Some(at)) = (&delivery.last_outcome, delivery.last_attempt_at) {
        lines.push(format!(
            "  the last of {} attempts, at {}: {}",
            delivery.attempts,
            rfc3339(at),
            outcome_text(outcome)
        ));
    }
    if delivery.replays > 0 {
        lines.push(format!("  replayed {} times", delivery.replays));
    }
    lines
}

fn outcome_text(outcome: &Outcome) -> String {
    let status = outcome.status.map(|status| status.to_string());
    let reason = outcome.reason.map(|reason| reason.as_str().to_owned());
    let error = outcome.error.as_deref().map(str::to_owned);
    [status, reason, error].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
