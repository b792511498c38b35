//! The choice of the traces that are recorded.

/// Records a part of all traces: those whose id is low enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    /// Ids whose compared bits are below are recorded. At most 2^56.
    limit: u64,
}

/// The number of bits of an id that W3C Trace Context expects to be random: the last 7 bytes.
const RANDOM_BITS: u32 = 56;

impl Sampler {
    /// Returns the sampler that records the share `ratio` of all traces, from 0 (none) to 1 (all).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the product is between 0 and 2^56, and a ratio needs no more than the 53 bits of a float"
    )]
    pub(super) fn new(ratio: f64) -> Self {
        Self { limit: (ratio.clamp(0.0, 1.0) * (1_u64 << RANDOM_BITS) as f64) as u64 }
    }

    pub(super) fn is_sampled(self, trace_id: u128) -> bool {
        let [.., a, b, c, d, e, f, g] = trace_id.to_be_bytes();
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::Sampler;
    use crate::domain::{DeliveryId, PhononUuid};

    #[test]
    fn a_ratio_of_0_records_nothing_and_1_everything() {
        for id in [1, u128::MAX, 1 << 55, 1 << 56] {
            assert!(!Sampler::new(0.0).is_sampled(id));
            assert!(Sampler::new(1.0).is_sampled(id));
        }
    }

    #[test]
    fn the_traces_of_deliveries_are_recorded_in_the_ratio() {
        let uuid = |number: u32| PhononUuid::new(&format!("uuid-{number}")).unwrap();
        let traces = (0..4000).map(|it| DeliveryId::derive(&uuid(it), 1, []).trace_id());
        let traces: Vec<u128> = traces.collect();
        let counted = |ratio| {
            let sampler = Sampler::new(ratio);
            traces.iter().filter(|id| sampler.is_sampled(**id)).count()
        };
        assert!((900..1100).contains(&counted(0.25)), "{}", counted(0.25));
        // A higher ratio records the same traces and more.
        let (few, many) = (Sampler::new(0.1), Sampler::new(0.5));
        assert!(traces.iter().all(|id| !few.is_sampled(*id) || many.is_sampled(*id)));
    }
}
