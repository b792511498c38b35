//! Commands in the inbox about endpoints. Every partition must receive them, so that each gets its own record.
//!
//! | header `ringback.command` | value |
//! |---|---|
//! | `disable_endpoint` | {`webhook`, `at`, `cause`}: another partition has disabled the endpoint |
//! | `enable_endpoint` | {`webhook`}: an operator enables the endpoint |

use super::InboxCommand;
use crate::codec::time::{TimeMembers as _, parse_rfc3339};
use crate::domain::{DisableCause, Disabled, EndpointCommand, WebhookName};
use crate::json::Object;
use serde::Deserialize;

/// Another partition has disabled an endpoint.
pub const DISABLE_ENDPOINT: &str = "disable_endpoint";
/// An operator enables an endpoint.
pub const ENABLE_ENDPOINT: &str = "enable_endpoint";

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

#[derive(Deserialize)]
struct Value<'a> {
    webhook: &'a str,
    at: Option<&'a str>,
    cause: Option<&'a str>,
}

/// Parses the command `name` with the value `value`.
pub(super) fn read(name: &str, value: &[u8]) -> Result<InboxCommand, &'static str> {
    let value: Value<'_> = serde_json::from_slice(value)
        .map_err(|_| "the command in the inbox is not the JSON of a command about an endpoint")?;
    let webhook = WebhookName::new(value.webhook);
    let webhook = webhook.ok_or("the command in the inbox names no webhook")?;
    let command = if name == ENABLE_ENDPOINT {
        EndpointCommand::Enable
    } else {
        let at = value.at.and_then(parse_rfc3339);
        let cause = value.cause.and_then(DisableCause::parse);
        let (Some(at), Some(cause)) = (at, cause) else {
            return Err(
                "the command in the inbox disables an endpoint without saying when and why",
            );
        };
        EndpointCommand::Disable(Disabled { at, cause })
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
        assert_eq!((name, disabled_again), (webhook, disabled));
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
