//! The bodies of notices to the owners of endpoints: `type`, `timestamp` and `data`, as Standard Webhooks recommends.
//!
//! `data` has `account_id` and `webhook`, and the members of the finding:
//!
//! | type | members |
//! |---|---|
//! | `endpoint.failing` | `since`: the first failure after which no delivery succeeded |
//! | `endpoint.held` | `until`: the end of the pause that the endpoint asked for |
//! | `endpoint.disabled` | `at` and `cause`: when and why |
//! | `endpoint.dead_letters` | `count`: the dead letters that led to the notice, within an hour |
//! | `endpoint.recovered` | `enabled`: whether an operator has enabled it, or a delivery succeeded |

use super::command::write_finding;
use super::time::TimeMembers as _;
use crate::domain::{AccountId, Finding, Timestamp, WebhookName};
use crate::json::Object;

/// Appends the body of the notice of `finding`, which was decided at the time `at`.
pub fn write_owner_notice(
    out: &mut Vec<u8>,
    account: AccountId,
    webhook: &WebhookName,
    finding: &Finding,
    at: Timestamp,
) {
    let mut object = Object::open(out);
    object.text("type", &format!("endpoint.{}", finding.kind().as_str()));
    object.time("timestamp", at);
    let mut data = object.object("data");
    data.integer("account_id", account.0);
    data.text("webhook", webhook.as_str());
    write_finding(&mut data, finding);
    data.close();
    object.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DisableCause;

    #[test]
    fn a_notice_names_the_endpoint_and_the_finding() {
        let at = Timestamp::from_ms(1_697_696_721_042);
        let webhook = WebhookName::new("crm").unwrap();
        let body = |finding| {
            let mut out = Vec::new();
            write_owner_notice(&mut out, AccountId(28), &webhook, &finding, at);
            String::from_utf8(out).unwrap()
        };
        let time = "2023-10-19T06:25:21.042Z";
        let whole = |kind: &str, members: &str| {
            format!(
                r#"{{"type":"endpoint.{kind}","timestamp":"{time}","data":{{"account_id":28,"webhook":"crm"{members}}}}}"#
            )
        };
        for (finding, expected) in [
            (Finding::Failing { since: at }, whole("failing", &format!(r#","since":"{time}""#))),
            (Finding::Held { until: at }, whole("held", &format!(r#","until":"{time}""#))),
            (
                Finding::Disabled { at, cause: DisableCause::Gone },
                whole("disabled", &format!(r#","at":"{time}","cause":"gone""#)),
            ),
            (Finding::DeadLetters(12), whole("dead_letters", r#","count":12"#)),
            (Finding::Recovered { enabled: true }, whole("recovered", r#","enabled":true"#)),
        ] {
            assert_eq!(body(finding), expected);
        }
    }
}
