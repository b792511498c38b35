//! What a webhook reads from its answers besides the status.

use crate::definition::facts;
use crate::definition::mapping::{AnswerFormat, MapFault, ResponseMap};
use crate::domain::{ErrorReason, Mapped, RESPONSE_BYTES_KEPT, Verdict};

/// How a webhook reads the endpoint's answers.
#[derive(Debug)]
pub struct Response {
    /// The format of the answers, and where the values are in them.
    pub map: ResponseMap,
    /// The variable of each entry of the map, or `None` if the value is only checked.
    pub save_in: Vec<Option<Box<str>>>,
    /// Whether an answer that can't be used is retried.
    pub retry: bool,
    /// Whether an answer in the predefined format sets its variables by name.
    pub by_name: bool,
}

/// Where the reading of an answer stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At the answer's end.
    Whole,
    /// At the limit of what is kept.
    TooLong,
    /// Early: the connection broke, or the answer was too slow.
    Broken,
}

/// Why an answer with a success status can't be used.
pub(super) struct Unusable {
    pub(super) verdict: Verdict,
    pub(super) reason: ErrorReason,
    pub(super) text: String,
}

impl Response {
    /// Returns what is read of the answers of the platform's functions if nothing is configured.
    #[must_use]
    pub fn by_name() -> Option<Self> {
        let map = ResponseMap::parse(AnswerFormat::Json, &[], &[]).ok()?;
        Some(Self { map, save_in: Vec::new(), retry: false, by_name: true })
    }

    /// Returns whether a success without a readable answer is a failure.
    #[must_use]
    pub(super) fn is_needed(&self) -> bool {
        !self.by_name || !self.save_in.is_empty()
    }

    fn named(&self, answer: &[u8], end: End) -> Vec<Mapped> {
        if !self.by_name || end != End::Whole {
            return Vec::new();
        }
        let named = facts::named(answer).into_iter();
        named.map(|(name, value)| Mapped { save_in: name.into(), value: value.into() }).collect()
    }

    /// Returns the values that the map finds in a successful answer.
    pub(super) fn read(&self, answer: &[u8], end: End) -> Result<Vec<Mapped>, Unusable> {
        let mut named = self.named(answer, end);
        if !self.is_needed() {
            return Ok(named);
        }
        match end {
            End::Whole => {}
            End::TooLong => {
                let text = format!("the answer is longer than {RESPONSE_BYTES_KEPT} bytes");
                return Err(self.unusable(ErrorReason::InvalidResponse, text));
            }
            // A later attempt may get the whole answer.
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
        // Paths may overlap, so a small answer can yield many copies of its content.
        let of_map: usize = found.iter().map(|(_, value)| value.len()).sum();
        if of_map > RESPONSE_BYTES_KEPT {
            let text = format!("the mapped values are longer than {RESPONSE_BYTES_KEPT} bytes");
            return Err(self.unusable(ErrorReason::InvalidResponseMap, text));
        }
        let mapped = found.into_iter().filter_map(|(entry, value)| {
            let save_in = self.save_in.get(entry)?.clone()?;
            Some(Mapped { save_in, value: value.into() })
        });
        let mapped: Vec<Mapped> = mapped.collect();
        // The map says more than the name.
        named.retain(|named| mapped.iter().all(|it| it.save_in != named.save_in));
        named.extend(mapped);
        Ok(named)
    }

    fn unusable(&self, reason: ErrorReason, text: String) -> Unusable {
        let verdict = if self.retry { Verdict::Retry } else { Verdict::GiveUp };
        Unusable { verdict, reason, text }
    }
}
