//! The endpoints, and the requests that they received.

use super::dice::Dice;
use super::setting::GIVEN;
use crate::domain::{DeliveryId, ErrorReason, Mapped, Outcome, Verdict};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The behaviour of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Takes,
    Fails,
    Refuses,
    IsGone,
    /// 429 with a `Retry-After` of this number of milliseconds.
    IsBusy(u64),
    /// 429 without a time.
    IsBusyForNow,
    /// Answers after the time-out.
    Hangs,
    /// Any of these, at random.
    Whims,
}

/// A request that reached its endpoint.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at_ms: i64,
    pub(super) id: DeliveryId,
    pub(super) body: Bytes,
    pub(super) status: u16,
}

/// All endpoints.
#[derive(Default)]
pub(super) struct Network {
    manners: BTreeMap<String, Manner>,
    pub(super) requests: Vec<Request>,
}

/// The request timeout.
const TIMEOUT_MS: u64 = 15_000;

impl Network {
    pub(super) fn behave(&mut self, webhook: &str, manner: Manner) {
        self.manners.insert(webhook.to_owned(), manner);
    }

    /// Returns the endpoint's answer, and the time until it comes.
    pub(super) fn answer(&self, webhook: &str, dice: &mut Dice) -> (Outcome, u64) {
        let mut manner = self.manners.get(webhook).copied().unwrap_or(Manner::Takes);
        if manner == Manner::Whims {
            manner = dice.pick(&[
                Manner::Takes,
                Manner::Takes,
                Manner::Takes,
                Manner::Fails,
                Manner::IsBusyForNow,
                Manner::Refuses,
                Manner::IsBusy(2000),
                Manner::Hangs,
            ]);
        }
        let takes_ms = dice.between(0, 60);
        let failed = |verdict, status, reason| outcome(verdict, Some(status), Some(reason), None);
        match manner {
            Manner::Takes => {
                let mut taken = outcome(Verdict::Delivered, Some(200), None, None);
                if webhook == "first" {
                    let value = dice.between(0, 99).to_string().into();
                    taken.mapped = [Mapped { save_in: GIVEN.into(), value }].into();
                }
                (taken, takes_ms)
            }
            Manner::Fails => (failed(Verdict::Retry, 500, ErrorReason::Refused), takes_ms),
            Manner::Refuses => (failed(Verdict::GiveUp, 400, ErrorReason::Refused), takes_ms),
            Manner::IsGone => (failed(Verdict::GiveUp, 410, ErrorReason::Refused), takes_ms),
            Manner::IsBusy(ms) => {
                let reason = Some(ErrorReason::Refused);
                (outcome(Verdict::Retry, Some(429), reason, Some(ms)), takes_ms)
            }
            Manner::IsBusyForNow => (failed(Verdict::Retry, 429, ErrorReason::Refused), takes_ms),
            Manner::Hangs | Manner::Whims => {
                (outcome(Verdict::Retry, None, Some(ErrorReason::Timeout), None), TIMEOUT_MS)
            }
        }
    }
}

fn outcome(
    verdict: Verdict,
    status: Option<u16>,
    reason: Option<ErrorReason>,
    retry_after_ms: Option<u64>,
) -> Outcome {
    Outcome {
        verdict,
        status,
        duration_ms: 1,
        response: Bytes::new(),
        response_truncated: false,
        retry_after_ms,
        disables: false,
        mapped: Default::default(),
        reason,
        error: None,
    }
}
