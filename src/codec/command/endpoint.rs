//! Commands in the inbox about endpoints. Every partition must know whether an endpoint is disabled, so that each gets
//! its own record. One partition decides about the notices to its owner.
//!
//! | header `ringback.command` | value |
//! |---|---|
//! | `disable_endpoint` | {`webhook`, `at`, `cause`}: another partition has disabled the endpoint |
//! | `enable_endpoint` | {`webhook`}: an operator enables the endpoint |
//! | `report_endpoint` | {`webhook`, `finding`, and `since`, `until`, `at` and `cause`, `count`, or `enabled`}: a finding for its owner |

use super::InboxCommand;
use crate::codec::time::{TimeMembers as _, parse_rfc3339};
use crate::domain::{DisableCause, Disabled, EndpointCommand, Finding, FindingKind, WebhookName};
use crate::json::Object;
use serde::Deserialize;

/// Another partition has disabled an endpoint.
pub const DISABLE_ENDPOINT: &str = "disable_endpoint";
/// An operator enables an endpoint.
pub const ENABLE_ENDPOINT: &str = "enable_endpoint";
/// A partition has a finding for the owner of an endpoint.
pub const REPORT_ENDPOINT: &str = "report_endpoint";

/// Appends the value of the command that enables an endpoint.
pub fn write_enable_endpoint(out: &mut Vec<u8>, webhook: &WebhookName) {
    let mut object = Object::open(out);
    object.text("webhook", webhook.as_str());
    object.close();
}

/// Appends the value of the command that disables an endpoint in other partitions.
pub fn write_disable_endpoint(out: &mut Vec<u8>, webhook: &WebhookName, disabled: &Disabled) {
    let mut object = Object::open(out);
    object.text("webhook", webhook.as_str());
    object.time("at", disabled.at);
    object.text("cause", disabled.cause.as_str());
    object.close();
}

/// Appends the value of the command that reports a finding about an endpoint.
pub fn write_report_endpoint(out: &mut Vec<u8>, webhook: &WebhookName, finding: &Finding) {
    let mut object = Object::open(out);
    object.text("webhook", webhook.as_str());
    object.text("finding", finding.kind().as_str());
    write_finding(&mut object, finding);
    object.close();
}

/// Writes the members of `finding` beside its kind.
pub(in crate::codec) fn write_finding(object: &mut Object<'_>, finding: &Finding) {
    match finding {
        Finding::Failing { since } => object.time("since", *since),
        Finding::Held { until } => object.time("until", *until),
        Finding::Disabled { at, cause } => {
            object.time("at", *at);
            object.text("cause", cause.as_str());
        }
        Finding::DeadLetters(count) => object.integer("count", i64::from(*count)),
        Finding::Recovered { enabled } => object.boolean("enabled", *enabled),
    }
}

#[derive(Deserialize)]
struct Value<'a> {
    webhook: &'a str,
    at: Option<&'a str>,
    cause: Option<&'a str>,
    finding: Option<&'a str>,
    since: Option<&'a str>,
    until: Option<&'a str>,
    count: Option<u32>,
    enabled: Option<bool>,
}

impl Value<'_> {
    fn disabled(&self) -> Option<Disabled> {
        let at = self.at.and_then(parse_rfc3339)?;
        Some(Disabled { at, cause: self.cause.and_then(DisableCause::parse)? })
    }

    fn finding(&self) -> Option<Finding> {
        Some(match FindingKind::parse(self.finding?)? {
            FindingKind::Failing => Finding::Failing { since: parse_rfc3339(self.since?)? },
            FindingKind::Held => Finding::Held { until: parse_rfc3339(self.until?)? },
            FindingKind::Disabled => {
                let Disabled { at, cause } = self.disabled()?;
                Finding::Disabled { at, cause }
            }
            FindingKind::DeadLetters => Finding::DeadLetters(self.count?),
            FindingKind::Recovered => Finding::Recovered { enabled: self.enabled? },
        })
    }
}

/// Parses the command `name` with the value `value`.
pub(super) fn read(name: &str, value: &[u8]) -> Result<InboxCommand, &'static str> {
    let value: Value<'_> = serde_json::from_slice(value)
        .map_err(|_| "the command in the inbox is not the JSON of a command about an endpoint")?;
    let webhook = WebhookName::new(value.webhook);
    let webhook = webhook.ok_or("the command in the inbox names no webhook")?;
    let command =
        match name {
            ENABLE_ENDPOINT => EndpointCommand::Enable,
            REPORT_ENDPOINT => EndpointCommand::Report(
                value
                    .finding()
                    .ok_or("the command in the inbox reports no known finding about an endpoint")?,
            ),
            _ => EndpointCommand::Disable(value.disabled().ok_or(
                "the command in the inbox disables an endpoint without saying when and why",
            )?),
        };
    Ok(InboxCommand::About(webhook, command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn commands_read_back_and_other_values_are_refused_with_a_reason() {
        let webhook = WebhookName::new("crm").unwrap();
        let mut enable = Vec::new();
        write_enable_endpoint(&mut enable, &webhook);
        let read_back = read(ENABLE_ENDPOINT, &enable).unwrap();
        assert!(
            matches!(read_back, InboxCommand::About(name, EndpointCommand::Enable) if name == webhook)
        );
        let at = Timestamp::from_ms(1_697_700_000_123);
        let disabled = Disabled { at, cause: DisableCause::Failing };
        let mut disable = Vec::new();
        write_disable_endpoint(&mut disable, &webhook, &disabled);
        let read_back = read(DISABLE_ENDPOINT, &disable).unwrap();
        let InboxCommand::About(name, EndpointCommand::Disable(disabled_again)) = read_back else {
            panic!("{read_back:?}")
        };
        assert_eq!((name, disabled_again), (webhook.clone(), disabled));
        let at = Timestamp::from_ms(1_697_700_000_123);
        for finding in [
            Finding::Failing { since: at },
            Finding::Held { until: at },
            Finding::Disabled { at, cause: DisableCause::Gone },
            Finding::DeadLetters(7),
            Finding::Recovered { enabled: true },
        ] {
            let mut report = Vec::new();
            write_report_endpoint(&mut report, &webhook, &finding);
            let read_back = read(REPORT_ENDPOINT, &report).unwrap();
            assert!(
                matches!(&read_back, InboxCommand::About(name, EndpointCommand::Report(again)) if *name == webhook && *again == finding),
                "{read_back:?}"
            );
        }
        for report in [
            &br#"{"webhook":"crm"}"#[..],
            br#"{"webhook":"crm","finding":"failing"}"#,
            br#"{"webhook":"crm","finding":"dead_letters"}"#,
            br#"{"webhook":"crm","finding":"happy"}"#,
        ] {
            let fault = read(REPORT_ENDPOINT, report).unwrap_err();
            assert!(fault.contains("no known finding"), "{fault}");
        }
        for (value, what) in [
            (&b"garbage"[..], "is not the JSON"),
            (br#"{"webhook":""}"#, "names no webhook"),
            (br#"{"webhook":"crm","cause":"gone"}"#, "when and why"),
            (br#"{"webhook":"crm","at":"2026-01-01T00:00:00Z","cause":"x"}"#, "when and why"),
        ] {
            let fault = read(DISABLE_ENDPOINT, value).unwrap_err();
            assert!(fault.contains(what), "{fault}");
        }
    }
}
