//! Describes in sentences what a phonon-uuid waits for: its row in the changelog.

use crate::codec::event::rfc3339;
use crate::domain::{
    Collected, Collection, Correlation, Delivery, Due, EndpointState, Flow, Outcome, SmsId, State,
    StatusClass, Timestamp, WebhookName,
};

/// Describes the state of an endpoint. Leaves out a pause that has ended.
pub(super) fn endpoint_line(
    webhook: &WebhookName,
    endpoint: &EndpointState,
    now: Timestamp,
) -> Option<String> {
    let disabled = endpoint.disabled.map(|disabled| {
        format!("disabled since {} ({})", rfc3339(disabled.at), disabled.cause.as_str())
    });
    let held = endpoint.held_until.filter(|until| *until > now);
    let held = held.map(|until| format!("asked for a pause until {}", rfc3339(until)));
    let failing = endpoint.failing_since;
    let failing = failing.map(|since| format!("nothing delivered since {}", rfc3339(since)));
    let all: Vec<String> = [disabled, held, failing].into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("webhook {webhook}: {}", all.join(", ")))
}

/// Describes the state, one sentence per line.
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
            "ended; records that come now are late, and from {} on they start a new correlation",
            rfc3339(*until)
        )),
    }
    lines.extend(state.deliveries.iter().flat_map(|delivery| delivery_lines(delivery, now)));
    lines.extend(state.deferred.iter().map(|rule| {
        format!("a rule on {} waits: {} may be sent", rule.trigger, rule.delivery.webhook)
    }));
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
            format!("open since {}; all reports have arrived", rfc3339(flow.accepted_at))
        }
        Collection::TimedOut => {
            format!("open since {}; the reports did not arrive in time", rfc3339(flow.accepted_at))
        }
        Collection::NotWanted => {
            format!("open since {}; it has no phase 2", rfc3339(flow.accepted_at))
        }
    }];
    if let Some(until) = flow.gathers_until {
        lines.push(format!("  gathers the reports of other SMS until {}", rfc3339(until)));
    }
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
            "waits for the end of phase 1, or of the webhook that it comes after".to_owned()
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
