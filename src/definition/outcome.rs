//! The outcome of a webhook as the variables that the platform sets when a webhook has ended.

use crate::domain::{ErrorReason, Mapped, OUTCOME_VARIABLES, Outcome, StatusType, WebhookEnd};
use crate::json;

/// The longest part of an answer in the variable `$flow.key.response_raw`, in bytes.
const RAW_BYTES_MAX: usize = 8 * 1024;

/// Returns the values of the variables. Those that do not apply are left out. `reason` is that of a delivery which
/// failed without an attempt.
pub(super) fn values(
    end: WebhookEnd,
    outcome: Option<&Outcome>,
    reason: Option<ErrorReason>,
) -> Vec<Mapped> {
    let [status, code, class, duration, raw, error, error_reason] = OUTCOME_VARIABLES;
    let is_delivered = end == WebhookEnd::Delivered;
    let reason = outcome.and_then(|it| it.reason).or(reason).filter(|_| !is_delivered);
    let answer = outcome.map(|it| json::whole_letters(&it.response, RAW_BYTES_MAX));
    let answered = outcome.and_then(|it| it.status);
    let values = [
        (status, Some(text(if is_delivered { b"SUCCESS" } else { b"FAILED" }))),
        (code, answered.map(|code| code.to_string())),
        (class, answered.map(|code| text(StatusType::of(code).as_str().as_bytes()))),
        (duration, outcome.map(|it| seconds(it.duration_ms))),
        (raw, answer.filter(|answer| !answer.is_empty()).map(text)),
        (error, Some((!is_delivered).to_string())),
        (error_reason, reason.map(|reason| text(reason.as_str().as_bytes()))),
    ];
    let value = |(name, value): (&str, Option<String>)| {
        Some(Mapped { save_in: name.into(), value: value?.into() })
    };
    values.into_iter().filter_map(value).collect()
}

fn text(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    json::write_lossy(&mut out, bytes);
    String::from_utf8_lossy(&out).into_owned()
}

fn seconds(ms: u64) -> String {
    let mut out = Vec::new();
    json::write_seconds(&mut out, ms);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{RAW_BYTES_MAX, values};
    use crate::domain::{ErrorReason, Outcome, Verdict, WebhookEnd};
    use bytes::Bytes;
    use std::collections::BTreeMap;

    fn named(end: WebhookEnd, outcome: Option<&Outcome>, reason: Option<ErrorReason>) -> String {
        let values = values(end, outcome, reason).into_iter();
        let short = |name: &str| name.strip_prefix("$flow.key.").unwrap().to_owned();
        let all: BTreeMap<String, String> =
            values.map(|it| (short(&it.save_in), it.value.into())).collect();
        all.iter().map(|(name, value)| format!("{name}={value} ")).collect()
    }

    #[test]
    fn an_outcome_has_the_platforms_variables_with_their_types() {
        let ok = Outcome {
            verdict: Verdict::Delivered,
            status: Some(200),
            duration_ms: 110,
            response: Bytes::from_static(b"{\"a\":1}"),
            reason: None,
            error: None,
            ..Outcome::unanswered(Verdict::Delivered, ErrorReason::Timeout, "")
        };
        assert_eq!(
            named(WebhookEnd::Delivered, Some(&ok), None),
            "response_duration=0.110 response_error=false response_raw=\"{\\\"a\\\":1}\" \
             response_status=\"SUCCESS\" response_status_code=200 \
             response_status_type=\"SUCCESSFUL\" "
        );
        let late = Outcome::unanswered(Verdict::Retry, ErrorReason::Timeout, "no answer");
        assert_eq!(
            named(WebhookEnd::Failed, Some(&late), None),
            "error_reason=\"TIMEOUT\" response_duration=0.000 response_error=true response_status=\"FAILED\" "
        );
        assert_eq!(
            named(WebhookEnd::Failed, None, Some(ErrorReason::InvalidRequest)),
            "error_reason=\"INVALID_REQUEST\" response_error=true response_status=\"FAILED\" "
        );
    }

    #[test]
    fn a_long_answer_is_cut_between_characters() {
        let response = Bytes::from("फ".repeat(RAW_BYTES_MAX));
        let long =
            Outcome { response, ..Outcome::unanswered(Verdict::Retry, ErrorReason::Refused, "") };
        let values = values(WebhookEnd::Failed, Some(&long), None);
        let raw = values.iter().find(|it| it.save_in.ends_with("response_raw")).unwrap();
        let text: String = serde_json::from_str(&raw.value).unwrap();
        assert_eq!(text, "फ".repeat(RAW_BYTES_MAX / 3));
    }
}
