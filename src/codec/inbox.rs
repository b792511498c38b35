//! Commands in the inbox about endpoints. Each partition has to hear of them, and each gets a record of its own.
//!
//! | header `ringback.command` | value |
//! |---|---|
//! | `disable_endpoint` | {`webhook`, `at`, `cause`}: another partition has learnt that the endpoint is disabled |
//! | `enable_endpoint` | {`webhook`}: an operator enables it |

use super::json::Object;
use crate::domain::{DisableCause, Disabled, EndpointCommand, Timestamp, WebhookName};
use serde::Deserialize;

/// The header that says that a record of the inbox is a command, and which.
pub const COMMAND_HEADER: &str = "ringback.command";
/// Another partition has learnt that an endpoint is disabled.
pub const DISABLE_ENDPOINT: &str = "disable_endpoint";
/// An operator enables an endpoint.
pub const ENABLE_ENDPOINT: &str = "enable_endpoint";

/// Appends the value of the command that enables an endpoint.
pub fn write_enable_endpoint(out: &mut Vec<u8>, webhook: &WebhookName) {
    let mut object = Object::open(out);
    object.text("webhook", webhook.as_str());
    object.close();
}

/// Appends the value of the command that tells that an endpoint is disabled.
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

/// The endpoint and the command that the record says.
///
/// # Errors
/// With what is wrong with it.
pub fn read_endpoint_command(
    command: &str,
    value: &[u8],
) -> Result<(WebhookName, EndpointCommand<'static>), String> {
    let invalid = |what: &str| format!("the command {command} has no valid `{what}`");
    let read: Value<'_> = serde_json::from_slice(value)
        .map_err(|_| format!("the command {command} is not the JSON object that it should be"))?;
    let webhook = WebhookName::new(read.webhook).ok_or_else(|| invalid("webhook"))?;
    let command = if command == ENABLE_ENDPOINT {
        EndpointCommand::Enable
    } else {
        let at = read.at.and_then(time).ok_or_else(|| invalid("at"))?;
        let cause = read.cause.and_then(DisableCause::parse).ok_or_else(|| invalid("cause"))?;
        EndpointCommand::Disable(Disabled { at, cause })
    };
    Ok((webhook, command))
}

fn time(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_ms(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_back_and_what_is_none_says_why() {
        let webhook = WebhookName::new("crm").unwrap();
        let mut enable = Vec::new();
        write_enable_endpoint(&mut enable, &webhook);
        let (name, command) = read_endpoint_command(ENABLE_ENDPOINT, &enable).unwrap();
        assert_eq!((&name, matches!(command, EndpointCommand::Enable)), (&webhook, true));

        let disabled =
            Disabled { at: Timestamp::from_ms(1_697_700_000_123), cause: DisableCause::Failing };
        let mut disable = Vec::new();
        write_disable_endpoint(&mut disable, &webhook, &disabled);
        let (name, command) = read_endpoint_command(DISABLE_ENDPOINT, &disable).unwrap();
        assert_eq!(name, webhook);
        assert!(matches!(command, EndpointCommand::Disable(read) if read == disabled));

        for (value, what) in [
            (&b"garbage"[..], "is not the JSON object"),
            (br#"{"webhook":""}"#, "`webhook`"),
            (br#"{"webhook":"crm","cause":"gone"}"#, "`at`"),
            (br#"{"webhook":"crm","at":"2026-01-01T00:00:00Z","cause":"x"}"#, "`cause`"),
        ] {
            let fault = read_endpoint_command(DISABLE_ENDPOINT, value).unwrap_err();
            assert!(fault.contains(what), "{fault}");
        }
    }
}
