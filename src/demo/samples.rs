//! The platform's sample records, and the webhooks that they must become.

use ring::rand::{SecureRandom as _, SystemRandom};

const FLOW: &str = include_str!("../../config/examples/flow-complete.json");
const REPORT: &str = include_str!("../../config/examples/sms-delivery-report.json");
const PHASE_1: &str = include_str!("../../config/examples/webhook-phase-1.json");
const PHASE_2: &str = include_str!("../../config/examples/webhook-phase-2.json");
const UUID: &str = "bd706f90-aa14-47ea-9844-3d1e1123f4ee";
const ACCOUNT: &str = "\"accountID\": 28";

/// The records and webhooks of one execution of a flow. They equal the samples byte by byte, except for the phonon-uuid
/// and the account, because webhooks pass records on as they were spelt.
pub struct Sample {
    /// The phonon-uuid.
    pub uuid: String,
    /// The flow complete record.
    pub flow: String,
    /// The delivery report of its SMS.
    pub report: String,
    pub(super) phase_1: String,
    pub(super) phase_2: String,
}

impl Sample {
    /// Returns the samples unchanged.
    pub(super) fn original() -> Self {
        Self::of(UUID.to_owned())
    }

    /// Returns another execution of the same flow. `None` if the system provides no random bytes.
    #[must_use]
    pub fn fresh() -> Option<Self> {
        Some(Self::of(random_uuid()?))
    }

    fn of(uuid: String) -> Self {
        let renamed = |text: &str| text.replace(UUID, &uuid);
        Self {
            flow: renamed(FLOW),
            report: renamed(REPORT),
            phase_1: renamed(PHASE_1.trim_end()),
            phase_2: renamed(PHASE_2.trim_end()),
            uuid,
        }
    }

    /// Changes the account of the records. The webhooks stay as they are.
    #[must_use]
    pub fn of_account(self, id: i64) -> Self {
        let of = |record: &str| record.replace(ACCOUNT, &format!("\"accountID\": {id}"));
        Self { flow: of(&self.flow), report: of(&self.report), ..self }
    }
}

fn random_uuid() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    let random = u128::from_be_bytes(bytes);
    // UUID version 4, variant 1.
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = format!("{bits:032x}");
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_the_samples_of_the_tests() {
        for (example, sample) in [
            (FLOW, include_str!("../../tests/ringback/samples/flow-complete.json")),
            (REPORT, include_str!("../../tests/ringback/samples/sms-delivery-report.json")),
            (PHASE_1, include_str!("../../tests/ringback/samples/webhook-phase-1.json")),
            (PHASE_2, include_str!("../../tests/ringback/samples/webhook-phase-2.json")),
        ] {
            assert_eq!(example, sample);
        }
    }

    #[test]
    fn a_fresh_sample_differs_only_in_its_uuid() {
        let (original, fresh) = (Sample::original(), Sample::fresh().unwrap());
        assert_ne!(fresh.uuid, original.uuid);
        assert_eq!(fresh.uuid.len(), 36);
        assert_eq!(fresh.uuid.get(14..15), Some("4"));
        for (one, other) in [
            (&original.flow, &fresh.flow),
            (&original.report, &fresh.report),
            (&original.phase_1, &fresh.phase_1),
            (&original.phase_2, &fresh.phase_2),
        ] {
            assert_ne!(one, other);
            assert_eq!(one, &other.replace(&fresh.uuid, &original.uuid));
        }
        let other = Sample::original().of_account(29);
        for record in [other.flow, other.report] {
            assert!(record.contains("\"accountID\": 29") && !record.contains(ACCOUNT), "{record}");
        }
    }
}
