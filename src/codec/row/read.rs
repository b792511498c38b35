//! Reads rows. Lengths are compared with the remaining bytes before anything is allocated.

use super::{InputOffset, Landmark, Meta, Owner, Replacement, RowError, TopicId};
use crate::codec::content;
use crate::codec::varint::{self, Unread};
use crate::domain::{
    AccountId, Collected, Collection, ContentType, Correlation, Deferred, Delivery, DeliveryId,
    DisableCause, Disabled, Due, EndedWebhook, EndpointState, ErrorReason, Facts, FindingKind,
    Flow, FlowId, FlowIdentity, Header, IgnoreReason, Letters, Mapped, Notices, Outcome, Pending,
    Phase, Rendered, Rendering, Reported, Scope, SharedList, SmsId, Source, Started, State,
    StatusClass, Timestamp, TraceContext, Verdict, WebhookName,
};
use bytes::Bytes;
use std::sync::Arc;

type Result<T> = std::result::Result<T, RowError>;

/// The version of the schema by which a row of a state was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// The first version, with predefined bodies only, and without rules.
    First,
    /// The second version, without the headers of records.
    Second,
    /// The third version, with four kinds of bodies by number.
    Third,
    /// The fourth version, without the SMS of deliveries, and without the time for gathering reports.
    Fourth,
    /// The fifth version, without the producers' traces.
    Fifth,
    Newest,
}

/// The datum of a row, and the part that is not read yet.
pub(super) struct Datum<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
    version: Version,
}

impl<'a> Datum<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Self {
        Self::of(whole, Version::Newest)
    }

    pub(super) fn of(whole: &'a Bytes, version: Version) -> Self {
        Self { whole, rest: whole, version }
    }

    /// Reads a part that exists since the version `first`, or returns its default.
    fn since<T: Default>(
        &mut self,
        first: Version,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.version < first { Ok(T::default()) } else { read(self) }
    }

    pub(super) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(RowError::Surplus) }
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(RowError::BreaksOff)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads a zig-zag varint.
    fn long(&mut self) -> Result<i64> {
        varint::read(&mut self.rest).map_err(|unread| match unread {
            Unread::BreaksOff => RowError::BreaksOff,
            Unread::Overflows(_) | Unread::Endless => RowError::Invalid("number"),
        })
    }

    fn int<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T> {
        T::try_from(self.long()?).map_err(|_| RowError::Invalid(what))
    }

    fn time(&mut self) -> Result<Timestamp> {
        self.long().map(Timestamp::from_ms)
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RowError::Invalid("boolean")),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (fixed, rest) = self.rest.split_first_chunk().ok_or(RowError::BreaksOff)?;
        self.rest = rest;
        Ok(*fixed)
    }

    fn slice(&mut self) -> Result<&'a [u8]> {
        let length: usize = self.int("length")?;
        let (slice, rest) = self.rest.split_at_checked(length).ok_or(RowError::BreaksOff)?;
        self.rest = rest;
        Ok(slice)
    }

    fn bytes(&mut self) -> Result<Bytes> {
        self.slice().map(|slice| self.whole.slice_ref(slice))
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.slice()?).map_err(|_| RowError::Invalid("text"))
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.long()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(RowError::Invalid("union")),
        }
    }

    /// Reads blocks of items up to the empty block. After a negative count comes the size of the block.
    fn array<T>(&mut self, read: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(items);
            }
            if count < 0 {
                self.long()?;
            }
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            // Each item has at least one byte.
            if count > self.rest.len() {
                return Err(RowError::BreaksOff);
            }
            // Memory grows with the items that are read, so that a wrong count reserves almost nothing.
            let likely = count.min(16);
            if items.is_empty() {
                items = Vec::with_capacity(likely);
            } else {
                items.reserve(likely);
            }
            for _ in 0..count {
                items.push(read(self)?);
            }
        }
    }
}

pub(super) fn state(datum: &mut Datum<'_>) -> Result<State> {
    let correlation = match datum.long()? {
        0 => Correlation::Unknown,
        1 => Correlation::AwaitingFlow(datum.array(collected)?),
        2 => Correlation::Open(flow(datum)?),
        3 => Correlation::Silent {
            flow: identity(datum)?,
            reason: ignore_reason(datum)?,
            until: datum.time()?,
        },
        4 => Correlation::Ended { account: account(datum)?, until: datum.time()? },
        _ => return Err(RowError::Invalid("correlation")),
    };
    let deliveries = datum.array(delivery)?;
    let started = |datum: &mut Datum<'_>| {
        Ok(Started {
            account: account(datum)?,
            content: datum.fixed().map(u64::from_be_bytes)?,
            until: datum.time()?,
        })
    };
    let started = datum.since(Version::Second, |datum| datum.optional(started))?;
    let mapped = datum.since(Version::Second, |datum| datum.array(mapped))?;
    let deferred = datum.since(Version::Fifth, |datum| datum.array(deferred))?;
    let outcomes = datum.since(Version::Fifth, |datum| datum.array(ended_webhook))?;
    Ok(State { correlation, deliveries, started, mapped, deferred, outcomes })
}

fn deferred(datum: &mut Datum<'_>) -> Result<Deferred> {
    Ok(Deferred {
        delivery: delivery(datum)?,
        trigger: datum.text()?.into(),
        upon: datum.optional(|datum| datum.fixed().map(DeliveryId::from_bytes))?,
        sms: datum.array(sms)?.into(),
        scope: Scope {
            flow: datum.optional(|datum| datum.long().map(FlowId))?,
            enabled: datum.boolean()?,
        },
    })
}

fn ended_webhook(datum: &mut Datum<'_>) -> Result<EndedWebhook> {
    Ok(EndedWebhook {
        account: account(datum)?,
        webhook: webhook(datum)?,
        values: datum.array(mapped)?,
    })
}

pub(super) fn meta(datum: &mut Datum<'_>) -> Result<Meta> {
    let topic_id = |datum: &mut Datum<'_>| datum.text().map(TopicId::from);
    let landmark = |datum: &mut Datum<'_>| {
        let (offset, content) = (datum.long()?, datum.fixed().map(u64::from_be_bytes)?);
        Ok(Landmark { offset, content })
    };
    let offset = |datum: &mut Datum<'_>| {
        Ok(InputOffset {
            topic: datum.text()?.into(),
            partition: datum.int("partition")?,
            next_offset: datum.long()?,
            topic_id: datum.optional(topic_id)?,
            landmark: datum.optional(landmark)?,
        })
    };
    let replacement = |datum: &mut Datum<'_>| {
        Ok(Replacement { changelog: datum.text()?.into(), inbox: datum.text()?.into() })
    };
    let owner = |datum: &mut Datum<'_>| {
        Ok(Owner {
            cluster: datum.optional(|datum| datum.text().map(Into::into))?,
            group: datum.text()?.into(),
            changelog: datum.optional(topic_id)?,
            partitions: datum.int("partitions")?,
            replaces: datum.optional(topic_id)?,
            rebuilt_up_to: datum.optional(|datum| datum.text().map(Into::into))?,
            copies: datum.optional(|datum| datum.text().map(Into::into))?,
            replaced_by: datum.optional(replacement)?,
            earlier: datum.array(topic_id)?,
        })
    };
    Ok(Meta {
        offsets: datum.array(offset)?,
        committed_at: datum.time()?,
        owner: datum.optional(owner)?,
    })
}

pub(super) fn endpoint(datum: &mut Datum<'_>) -> Result<EndpointState> {
    let disabled = |datum: &mut Datum<'_>| {
        Ok(Disabled {
            at: datum.time()?,
            cause: match datum.long()? {
                0 => DisableCause::Gone,
                1 => DisableCause::Failing,
                _ => return Err(RowError::Invalid("cause")),
            },
        })
    };
    Ok(EndpointState {
        failing_since: datum.optional(Datum::time)?,
        held_until: datum.optional(Datum::time)?,
        disabled: datum.optional(disabled)?,
        reported: datum
            .optional(|datum| Ok(Reported { kind: finding_kind(datum)?, at: datum.time()? }))?,
        notices: datum.optional(notices)?.unwrap_or_default(),
    })
}

fn notices(datum: &mut Datum<'_>) -> Result<Notices> {
    Ok(Notices {
        failing: datum.optional(Datum::time)?,
        held: datum.optional(Datum::time)?,
        disabled: datum.optional(Datum::time)?,
        dead_letters: datum.optional(Datum::time)?,
        recovered: datum.optional(Datum::time)?,
        open: datum.optional(finding_kind)?,
        letters: datum
            .optional(|datum| Ok(Letters { count: datum.int("count")?, since: datum.time()? }))?,
    })
}

fn finding_kind(datum: &mut Datum<'_>) -> Result<FindingKind> {
    let number: usize = datum.int("kind")?;
    FindingKind::ALL.get(number).copied().ok_or(RowError::Invalid("kind"))
}

fn collected(datum: &mut Datum<'_>) -> Result<Collected> {
    Ok(Collected {
        account: account(datum)?,
        sms: sms(datum)?,
        class: match datum.long()? {
            0 => StatusClass::Intermediate,
            1 => StatusClass::Final,
            _ => return Err(RowError::Invalid("class")),
        },
        seen: datum.array(|datum| datum.fixed().map(u64::from_be_bytes))?,
        body: datum.optional(Datum::bytes)?,
        raw: datum.optional(Datum::bytes)?,
        sent: datum.boolean()?,
        source: source(datum)?,
        expires_at: datum.optional(Datum::time)?,
        status: datum
            .since(Version::Second, |datum| datum.optional(|datum| datum.text().map(Into::into)))?,
        headers: datum.since(Version::Third, |datum| datum.array(header))?.into(),
    })
}

fn header(datum: &mut Datum<'_>) -> Result<Header> {
    Ok(Header { name: datum.text()?.into(), value: datum.optional(Datum::bytes)? })
}

fn source(datum: &mut Datum<'_>) -> Result<Source> {
    Ok(Source {
        topic: datum.text()?.into(),
        partition: datum.int("partition")?,
        offset: datum.long()?,
        timestamp: datum.time()?,
        index: datum.since(Version::Fifth, |datum| datum.optional(|datum| datum.int("index")))?,
        trace: datum.since(Version::Newest, |datum| datum.optional(trace))?.map(Arc::new),
    })
}

fn trace(datum: &mut Datum<'_>) -> Result<TraceContext> {
    let (trace_id, span_id) = (datum.fixed()?, datum.fixed()?);
    let (trace_id, span_id) = (u128::from_be_bytes(trace_id), u64::from_be_bytes(span_id));
    let flags = datum.int("flags")?;
    let state = datum.optional(|datum| datum.text().map(Into::into))?;
    TraceContext::new(trace_id, span_id, flags, state).ok_or(RowError::Invalid("trace"))
}

fn flow(datum: &mut Datum<'_>) -> Result<Flow> {
    Ok(Flow {
        identity: identity(datum)?,
        accepted_at: datum.time()?,
        source: source(datum)?,
        webhook: match datum.version {
            Version::First => webhook(datum).map(Some)?,
            Version::Second
            | Version::Third
            | Version::Fourth
            | Version::Fifth
            | Version::Newest => datum.optional(webhook)?,
        },
        keys: datum.optional(Datum::bytes)?,
        sms: datum.optional(|datum| datum.array(sms))?,
        reports: datum.array(collected)?,
        collection: collection(datum)?,
        record: datum.since(Version::Second, |datum| datum.optional(Datum::bytes))?,
        // Flows that did not enable their webhooks were not kept.
        enabled: datum.since(Version::Fifth, |datum| datum.boolean().map(Some))?.unwrap_or(true),
        spelling: datum
            .since(Version::Fifth, |datum| datum.optional(|datum| datum.text().map(Into::into)))?,
        gathers_until: datum.since(Version::Fifth, |datum| datum.optional(Datum::time))?,
    })
}

fn mapped(datum: &mut Datum<'_>) -> Result<Mapped> {
    Ok(Mapped { save_in: datum.text()?.into(), value: datum.text()?.into() })
}

fn rendering(datum: &mut Datum<'_>) -> Result<Rendering> {
    Ok(match datum.long()? {
        0 => Rendering::Fixed,
        1 => {
            Rendering::Done(Rendered { content_type: content_type(datum)?, values: datum.bytes()? })
        }
        2 => {
            let facts = Arc::new(Facts {
                record: datum.optional(Datum::bytes)?,
                reports: datum.array(Datum::bytes)?,
                mapped: datum.array(mapped)?,
            });
            let after = datum.array(|datum| datum.fixed().map(DeliveryId::from_bytes))?;
            let outcome_of = datum.since(Version::Fifth, |datum| datum.array(webhook))?;
            Rendering::Pending(Box::new(Pending { facts, after, outcome_of }))
        }
        _ => return Err(RowError::Invalid("rendering")),
    })
}

/// Earlier versions stored the number of one of the four kinds of bodies.
fn content_type(datum: &mut Datum<'_>) -> Result<ContentType> {
    match datum.version {
        Version::First | Version::Second | Version::Third => {
            let number: usize = datum.int("kind")?;
            content::of_number(number).ok_or(RowError::Invalid("kind"))
        }
        Version::Fourth | Version::Fifth | Version::Newest => {
            datum.optional(|datum| datum.text().map(|text| content::shared(text)))
        }
    }
}

fn collection(datum: &mut Datum<'_>) -> Result<Collection> {
    match datum.long()? {
        0 => Ok(Collection::Open { until: datum.time()? }),
        1 => match datum.long()? {
            0 => Ok(Collection::Complete),
            1 => Ok(Collection::TimedOut),
            2 => Ok(Collection::NotWanted),
            _ => Err(RowError::Invalid("collection")),
        },
        _ => Err(RowError::Invalid("collection")),
    }
}

fn identity(datum: &mut Datum<'_>) -> Result<FlowIdentity> {
    Ok(FlowIdentity {
        account: account(datum)?,
        flow: datum.optional(|datum| datum.long().map(FlowId))?,
        content: datum.fixed().map(u64::from_be_bytes)?,
    })
}

fn delivery(datum: &mut Datum<'_>) -> Result<Delivery> {
    Ok(Delivery {
        id: datum.fixed().map(DeliveryId::from_bytes)?,
        phase: match datum.long()? {
            0 => Phase::One,
            1 => Phase::Two,
            2 => Phase::Rule,
            _ => return Err(RowError::Invalid("phase")),
        },
        account: account(datum)?,
        webhook: webhook(datum)?,
        body: datum.bytes()?,
        source: source(datum)?,
        scheduled_at: datum.time()?,
        due: datum.optional(Datum::time)?.map_or(Due::Waiting, Due::At),
        attempts: datum.int("attempts")?,
        replays: datum.int("replays")?,
        first_attempt_at: datum.optional(Datum::time)?,
        last_attempt_at: datum.optional(Datum::time)?,
        last_outcome: datum.optional(|datum| outcome(datum).map(Box::new))?,
        rendering: datum.since(Version::Second, rendering)?,
        sms: datum.since(Version::Fifth, |datum| datum.array(sms))?.into(),
    })
}

fn outcome(datum: &mut Datum<'_>) -> Result<Outcome> {
    Ok(Outcome {
        verdict: match datum.long()? {
            0 => Verdict::Delivered,
            1 => Verdict::Retry,
            2 => Verdict::GiveUp,
            _ => return Err(RowError::Invalid("verdict")),
        },
        status: datum.optional(|datum| datum.int("status"))?,
        duration_ms: datum.long()?.cast_unsigned(),
        response: datum.bytes()?,
        response_truncated: datum.boolean()?,
        retry_after_ms: None,
        disables: false,
        mapped: SharedList::default(),
        reason: datum.optional(error_reason)?,
        error: datum.optional(|datum| datum.text().map(Into::into))?,
    })
}

fn account(datum: &mut Datum<'_>) -> Result<AccountId> {
    datum.long().map(AccountId)
}

fn sms(datum: &mut Datum<'_>) -> Result<SmsId> {
    SmsId::new(datum.text()?).ok_or(RowError::Invalid("sms"))
}

fn webhook(datum: &mut Datum<'_>) -> Result<WebhookName> {
    WebhookName::new(datum.text()?).ok_or(RowError::Invalid("webhook"))
}

fn ignore_reason(datum: &mut Datum<'_>) -> Result<IgnoreReason> {
    Ok(match datum.long()? {
        0 => IgnoreReason::Duplicate,
        1 => IgnoreReason::Regressed,
        2 => IgnoreReason::Conflicting,
        3 => IgnoreReason::AccountMismatch,
        4 => IgnoreReason::Late,
        5 => IgnoreReason::Unlisted,
        6 => IgnoreReason::NotifyOff,
        7 => IgnoreReason::NoDefaultWebhook,
        8 => IgnoreReason::WebhookDisabled,
        _ => return Err(RowError::Invalid("reason")),
    })
}

fn error_reason(datum: &mut Datum<'_>) -> Result<ErrorReason> {
    Ok(match datum.long()? {
        0 => ErrorReason::AuthenticationFailure,
        1 => ErrorReason::Timeout,
        2 => ErrorReason::InvalidFlowVar,
        3 => ErrorReason::InvalidRequest,
        4 => ErrorReason::InvalidResponse,
        5 => ErrorReason::InvalidResponseMap,
        6 => ErrorReason::Unreachable,
        7 => ErrorReason::BlockedAddress,
        8 => ErrorReason::Refused,
        _ => return Err(RowError::Invalid("reason")),
    })
}
