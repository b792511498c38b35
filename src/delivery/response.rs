//! What a webhook wants of its answers beside their status.

use crate::definition::mapping::{MapFault, ResponseMap};
use crate::domain::{ErrorReason, Mapped, RESPONSE_BYTES_KEPT, Verdict};

/// A webhook's `response`.
#[derive(Debug)]
pub struct Response {
    /// What its answers are read as, and where in them the values stand.
    pub map: ResponseMap,
    /// The variable of each entry of the map.
    pub save_in: Vec<Box<str>>,
    /// An answer that can't be used is no last word.
    pub retry: bool,
}

/// How the reading of an answer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At its end.
    Whole,
    /// Behind what is kept.
    TooLong,
    /// It broke off, or was too slow.
    Broken,
}

/// Why a success is none.
pub(super) struct Unusable {
    pub(super) verdict: Verdict,
    pub(super) reason: ErrorReason,
    pub(super) text: String,
}

impl Response {
    /// What the map finds in the answer of a success.
    pub(super) fn read(&self, answer: &[u8], end: End) -> Result<Vec<Mapped>, Unusable> {
        match end {
            End::Whole => {}
            End::TooLong => {
                let text = format!("the answer is longer than {RESPONSE_BYTES_KEPT} bytes");
                return Err(self.unusable(ErrorReason::InvalidResponse, text));
            }
            // The endpoint has not said its last word yet.
            End::Broken => {
                let text = "the answer broke off, or did not end within request_timeout_ms";
                return Err(Unusable {
                    verdict: Verdict::Retry,
                    reason: ErrorReason::InvalidResponse,
                    text: text.to_owned(),
                });
            }
        }
        let found = self.map.apply(answer).map_err(|fault| {
            let reason = match fault {
                MapFault::Unreadable { .. } => ErrorReason::InvalidResponse,
                MapFault::Missing { .. }
                | MapFault::TooLong { .. }
                | MapFault::TooCostly { .. } => ErrorReason::InvalidResponseMap,
            };
            self.unusable(reason, fault.to_string())
        })?;
        // Paths may overlap, so that a small answer can be mapped many times over.
        if found.iter().map(|(_, value)| value.len()).sum::<usize>() > RESPONSE_BYTES_KEPT {
            let text = format!("what was mapped is longer than {RESPONSE_BYTES_KEPT} bytes");
            return Err(self.unusable(ErrorReason::InvalidResponseMap, text));
        }
        let mapped = found.into_iter().filter_map(|(entry, value)| {
            Some(Mapped { save_in: self.save_in.get(entry)?.clone(), value: value.into() })
        });
        Ok(mapped.collect())
    }

    fn unusable(&self, reason: ErrorReason, text: String) -> Unusable {
        let verdict = if self.retry { Verdict::Retry } else { Verdict::GiveUp };
        Unusable { verdict, reason, text }
    }
}
