//! Traces as W3C Trace Context defines them: which trace a record and its deliveries belong to.
//!
//! All ids are derived, and nothing is drawn. So every instance gives a delivery the same trace, before and after a
//! restart, and a retry of hours later finds its parent.

use super::{DeliveryId, Source};
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;
/// The flags that W3C defines: sampled, and that the id of the trace is random.
const KNOWN_FLAGS: u8 = 3;

/// A place in a trace: what `traceparent` and `tracestate` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// The length of the longest `tracestate` that is kept, in bytes.
    pub const STATE_BYTES_MAX: usize = 512;

    /// Returns the context, or `None` if an id is 0, which W3C forbids. Unknown flags are left out.
    #[must_use]
    pub fn new(trace_id: u128, span_id: u64, flags: u8, state: Option<Arc<str>>) -> Option<Self> {
        let is_valid = trace_id != 0 && span_id != 0;
        is_valid.then_some(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS, state })
    }

    /// Returns the id of the trace; it is never 0.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the span; it is never 0.
    #[must_use]
    pub const fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Returns the trace flags.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Returns whether the trace is recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the value of `tracestate`, at most [`Self::STATE_BYTES_MAX`] bytes.
    #[must_use]
    pub const fn state(&self) -> Option<&Arc<str>> {
        self.state.as_ref()
    }

    /// Returns the context of an attempt for its endpoint.
    ///
    /// A delivery without a producer's trace has its own one, whose id is its `webhook-id`. `is_sampled` says whether
    /// its own trace is recorded; a producer decides that for its trace. A replay counts its attempts from 1 again, so
    /// the span contains the time too.
    #[must_use]
    pub fn of_attempt(
        producer: Option<&Self>,
        delivery: DeliveryId,
        attempt: u32,
        unix_seconds: i64,
        is_sampled: bool,
    ) -> Self {
        let [.., a, b, c, d] = unix_seconds.to_be_bytes();
        let [e, f, g, h] = attempt.max(1).to_be_bytes();
        let moment = [a, b, c, d, e, f, g, h];
        match producer {
            None => Self {
                trace_id: delivery.trace_id(),
                span_id: u64::from_be_bytes(moment),
                flags: if is_sampled { SAMPLED } else { 0 },
                state: None,
            },
            // Other deliveries of the same record are in this trace too, so the span contains the delivery.
            Some(producer) => {
                let mut parts = [0; 24];
                let (of_delivery, of_moment) = parts.split_at_mut(16);
                of_delivery.copy_from_slice(&delivery.to_bytes());
                of_moment.copy_from_slice(&moment);
                Self { span_id: xxh3_64(&parts).max(1), ..producer.clone() }
            }
        }
    }
}

/// Writes the value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl Source {
    /// Returns the id of the span of the record at this position. It is never 0.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        xxh3_64(&self.identity()).max(1)
    }

    /// Returns the id of the trace of a record that schedules no delivery: the producer's, or one of its own.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        let own = || xxh3_128(&self.identity()).max(1);
        self.trace.as_ref().map_or_else(own, |trace| trace.trace_id)
    }

    /// Returns the id of the trace of a delivery that this record has triggered.
    #[must_use]
    pub fn trace_id_of(&self, delivery: DeliveryId) -> u128 {
        self.trace.as_ref().map_or_else(|| delivery.trace_id(), |trace| trace.trace_id)
    }

    fn identity(&self) -> Vec<u8> {
        let mut identity = self.topic.as_bytes().to_vec();
        identity.extend(self.partition.to_be_bytes());
        identity.extend(self.offset.to_be_bytes());
        identity.extend(self.index.map(u32::to_be_bytes).into_iter().flatten());
        identity
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;
    use crate::domain::{DeliveryId, Source, Timestamp};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn producer() -> TraceContext {
        TraceContext::new(0x4bf9, 0x00f0, 0, Some("a=1".into())).unwrap()
    }

    #[test]
    fn a_traceparent_is_valid_for_every_input() {
        for (id, attempt, unix_seconds, wanted) in [
            ([7; 16], 1, 1_800_000_000, "00-07070707070707070707070707070707-6b49d20000000001-01"),
            ([7; 16], 2, 1_800_000_060, "00-07070707070707070707070707070707-6b49d23c00000002-01"),
            ([0; 16], 0, 0, "00-00000000000000000000000000000001-0000000000000001-01"),
            ([255; 16], u32::MAX, -1, "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01"),
        ] {
            let id = DeliveryId::from_bytes(id);
            let trace = TraceContext::of_attempt(None, id, attempt, unix_seconds, true);
            assert_eq!(trace.to_string(), wanted);
        }
    }

    #[test]
    fn attempts_in_a_producers_trace_have_spans_of_their_own_and_its_flags_and_state() {
        let producer = producer();
        let mut spans = BTreeSet::new();
        for id in [[1; 16], [2; 16]].map(DeliveryId::from_bytes) {
            for (attempt, unix_seconds) in [(1, 10), (2, 10), (1, 20)] {
                let of =
                    || TraceContext::of_attempt(Some(&producer), id, attempt, unix_seconds, true);
                let trace = of();
                assert_eq!(trace, of());
                assert_eq!(
                    (trace.trace_id(), trace.flags(), trace.state()),
                    (0x4bf9, 0, producer.state())
                );
                assert!(spans.insert(trace.span_id()));
            }
        }
    }

    #[test]
    fn the_span_of_a_record_is_that_of_its_position() {
        let source = |offset, index| Source {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp: Timestamp::from_ms(1),
            index,
            trace: None,
        };
        let places = [source(1, None), source(2, None), source(1, Some(0)), source(1, Some(1))];
        let spans: BTreeSet<u64> = places.iter().map(Source::span_id).collect();
        assert_eq!(spans.len(), places.len());
        let traced = Source { trace: Some(Arc::new(producer())), ..source(1, None) };
        assert_eq!(traced.span_id(), source(1, None).span_id());
        let delivery = DeliveryId::from_bytes([7; 16]);
        assert_eq!(traced.trace_id_of(delivery), 0x4bf9);
        assert_eq!(source(1, None).trace_id_of(delivery), delivery.trace_id());
    }
}
