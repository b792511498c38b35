//! Reads the members of a record that every kind has.

use super::Bad;
use crate::domain::{AccountId, DeadLetterReason, FlowId, PhononUuid};
use crate::json::scan::{MemberValue, ValueKind};
use crate::json::{self, content};

/// The members of a record, in its JSON without white space.
pub(super) struct Fields<'c> {
    pub(super) compact: &'c [u8],
}

impl<'c> Fields<'c> {
    pub(super) fn text_of(&self, part: &MemberValue) -> &'c [u8] {
        self.compact.get(part.range.clone()).unwrap_or_default()
    }

    pub(super) fn account(&self, part: Option<&MemberValue>) -> Result<AccountId, Bad> {
        self.integer("accountID", part)?
            .map(AccountId)
            .ok_or_else(|| Bad::undecodable("the field accountID is missing"))
    }

    pub(super) fn flow(&self, part: Option<&MemberValue>) -> Result<Option<FlowId>, Bad> {
        Ok(self.integer("flowId", part)?.map(FlowId))
    }

    /// Reads an integer, or a string of its digits. A fraction of zeros does not count.
    fn integer(&self, name: &str, part: Option<&MemberValue>) -> Result<Option<i64>, Bad> {
        let Some(part) = part else { return Ok(None) };
        let text = self.text_of(part);
        let number = match part.kind {
            ValueKind::Number => std::str::from_utf8(text).ok().and_then(whole),
            ValueKind::Text => json::read_string(text)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok()),
            ValueKind::Null | ValueKind::Boolean(_) | ValueKind::Array | ValueKind::Object => None,
        };
        number
            .map(Some)
            .ok_or_else(|| Bad::undecodable(format!("the field {name} is no integer of 64 bits")))
    }

    /// Reads a boolean, or a string of its word.
    pub(super) fn boolean(
        &self,
        name: &str,
        part: Option<&MemberValue>,
    ) -> Result<Option<bool>, Bad> {
        let Some(part) = part else { return Ok(None) };
        let value = match part.kind {
            ValueKind::Boolean(value) => Some(value),
            ValueKind::Text => match self.text_of(part) {
                text if text.eq_ignore_ascii_case(br#""true""#) => Some(true),
                text if text.eq_ignore_ascii_case(br#""false""#) => Some(false),
                _ => None,
            },
            ValueKind::Null | ValueKind::Number | ValueKind::Array | ValueKind::Object => None,
        };
        value
            .map(Some)
            .ok_or_else(|| Bad::undecodable(format!("the field {name} is neither true nor false")))
    }

    pub(super) fn uuid(
        &self,
        part: Option<&MemberValue>,
        account: AccountId,
    ) -> Result<PhononUuid, Bad> {
        let no_uuid = |detail: String| Bad {
            reason: DeadLetterReason::NoUuid,
            detail,
            account: Some(account),
        };
        let Some(part) = part else {
            return Err(no_uuid("the field phononUuid is missing".to_owned()));
        };
        let text = json::read_string(self.text_of(part)).filter(|_| part.kind == ValueKind::Text);
        text.and_then(|text| PhononUuid::spelt(&text)).ok_or_else(|| {
            no_uuid(format!(
                "the field phononUuid is no string of 1 to {} bytes",
                PhononUuid::BYTES_MAX
            ))
        })
    }
}

/// Returns the hash of a record's content. It is the same for each spelling of the record's phonon-uuid.
pub(super) fn content_hash(mut content: content::Object, uuid: &PhononUuid) -> u64 {
    if let Some(spelling) = uuid.other_spelling() {
        content.replace("phononUuid", spelling, uuid.as_str());
    }
    content.finish()
}

/// Parses an integer, which may be written as `101.0`.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let (digits, fraction) = text.split_once('.')?;
        digits.parse().ok().filter(|_| fraction.bytes().all(|byte| byte == b'0'))
    })
}
