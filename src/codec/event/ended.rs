//! The ends of deliveries, for code that stores their answers.

use super::members::{Outcome, read_members};
use super::notice::{About, begins_with};
use super::parse_rfc3339;
use crate::domain::{AccountId, Timestamp};
use std::borrow::Cow;

/// The event `delivered` or `dead_lettered` of a delivery, with the SMS that the delivery was about and its outcome.
#[derive(Clone, Debug)]
pub struct EndedDelivery<'a> {
    /// The time of the event.
    pub at: Timestamp,
    pub account: Option<AccountId>,
    pub about: About<'a>,
    /// The ids of the SMS that the delivery was about; empty if it was about the flow.
    pub sms: Vec<Cow<'a, str>>,
    /// The number of attempts since the delivery was scheduled or replayed.
    pub attempts: u32,
    /// How often the delivery was replayed. 0 in `delivered` events of earlier versions.
    pub replays: u32,
    pub kind: EndKind<'a>,
    /// The outcome of the last attempt; `None` if there was no attempt.
    pub outcome: Option<Outcome<'a>>,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndKind<'a> {
    Delivered,
    DeadLettered { reason: Cow<'a, str> },
}

/// An event says that it is the end of a delivery, and lacks a member that every such event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event `delivered` or `dead_lettered` can't be read")]
pub struct UnreadableEnd;

/// Reads the end of a delivery. Returns `None` for every other event, which is not parsed.
///
/// # Errors
/// The event is the end of a delivery and can't be read.
pub fn read_ended(value: &[u8]) -> Result<Option<EndedDelivery<'_>>, UnreadableEnd> {
    if !begins_with(value, &["delivered", "dead_lettered"]) {
        return Ok(None);
    }
    let mut members = read_members(value).ok_or(UnreadableEnd)?;
    let is_delivered = match &*members.kind {
        "delivered" => true,
        "dead_lettered" if members.lettered.as_deref() != Some("record") => false,
        // The dead letter of a record, or another event whose first member looks like one of these types.
        _ => return Ok(None),
    };
    let at = parse_rfc3339(&members.at).ok_or(UnreadableEnd)?;
    let about = members.take_about().ok_or(UnreadableEnd)?;
    let sms = match (members.sms_id.take(), members.sms.take()) {
        (Some(only), _) => vec![only],
        (None, several) => several.unwrap_or_default(),
    };
    // Earlier versions wrote delivered events with `attempt`, and without `replays`.
    let (attempts, replays) = match is_delivered {
        true => (members.attempts.or(members.attempt), Some(members.replays.unwrap_or(0))),
        false => (members.attempts, members.replays),
    };
    let (attempts, replays) = attempts.zip(replays).ok_or(UnreadableEnd)?;
    let (kind, outcome) = if is_delivered {
        (EndKind::Delivered, Some(members.take_outcome()))
    } else {
        let reason = members.reason.take().ok_or(UnreadableEnd)?;
        (EndKind::DeadLettered { reason }, members.last_outcome.take())
    };
    let account = members.account_id.map(AccountId);
    Ok(Some(EndedDelivery { at, account, about, sms, attempts, replays, kind, outcome }))
}
