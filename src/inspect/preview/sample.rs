//! The input of a rendering outside of the engine: given records, or a sample that is marked as a test.

use crate::codec::source::{Decoded, Decoder, Unwrap};
use crate::definition::body::render_phase2;
use crate::domain::{
    AccountId, Definitions, Facts, FlowComplete, Phase, RecordKind, Rendered, WebhookName,
};
use bytes::Bytes;

/// No execution has this uuid: those of the platform are random.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

/// The input of a rendering, made from records of the gateways.
pub struct Sample {
    pub body: Bytes,
    /// The facts from which variables get their values.
    pub facts: Facts,
}

/// Returns the test message of `phase`; `at` is RFC 3339. Returns `None` if the built-in records can't be decoded.
#[must_use]
pub fn sample(phase: Phase, account: AccountId, attach_keys: bool, at: &str) -> Option<Sample> {
    let filled = |record: &str| {
        let record = record.replace("{uuid}", UUID).replace("{at}", at);
        record.replace("{account}", &account.to_string())
    };
    let report = (phase == Phase::Two).then(|| filled(REPORT));
    let report = report.as_deref().map(str::as_bytes);
    of_records(Unwrap::default(), filled(FLOW).as_bytes(), report, attach_keys).ok()
}

/// Creates a sample from a flow complete record, and for phase 2 from one of its delivery reports. Takes both out of the
/// envelopes `unwrap`.
///
/// # Errors
/// A record can't be decoded. The error says which one, and why.
pub fn of_records(
    unwrap: Unwrap,
    flow: &[u8],
    report: Option<&[u8]>,
    attach_keys: bool,
) -> Result<Sample, (RecordKind, String)> {
    let mut decoder = Decoder::unwrapping(unwrap, false);
    let bad = |kind, decoded: Decoded| match decoded {
        Decoded::Bad(bad) => (kind, bad.detail),
        Decoded::Start(_) | Decoded::Flow(_) | Decoded::Report(_) | Decoded::NeedsSchema(_) => {
            (kind, "it needs a schema of a registry; write it as JSON".to_owned())
        }
        Decoded::Items(_) => {
            (kind, "it is an array of reports; write one of them to the file".to_owned())
        }
        Decoded::Skipped => {
            (kind, "it is a change event that brings no new status, and is skipped".to_owned())
        }
    };
    let decoded = decoder.decode(RecordKind::Flow, flow);
    let Decoded::Flow(flow) = decoded else { return Err(bad(RecordKind::Flow, decoded)) };
    let FlowComplete { uuid, body, keys, record, .. } = *flow;
    let facts = Facts { record: Some(record), ..Facts::default() };
    let Some(report) = report else { return Ok(Sample { body, facts }) };
    let decoded = decoder.decode(RecordKind::Report, report);
    let Decoded::Report(report) = decoded else { return Err(bad(RecordKind::Report, decoded)) };
    let keys = attach_keys.then(|| body.slice(keys));
    let reports = vec![report.body];
    let body = render_phase2(uuid.as_str(), &reports, keys.as_ref());
    Ok(Sample { body, facts: Facts { reports, ..facts } })
}

impl Sample {
    /// Returns the body of the webhook `name`, and the other rendered parts of its request. `None` if it has no
    /// definition.
    ///
    /// # Errors
    /// A variable that is needed has no value. The text names it.
    pub fn rendered(
        &self,
        definitions: &dyn Definitions,
        name: &WebhookName,
    ) -> Result<(Bytes, Option<Rendered>), Box<str>> {
        if !definitions.is_rendered(name) {
            return Ok((self.body.clone(), None));
        }
        let (body, rendered) = definitions.read(&self.facts).render(name, &self.body)?;
        Ok((body, Some(rendered)))
    }
}

const FLOW: &str = r#"{
  "phononUuid": "{uuid}",
  "accountID": {account},
  "flowId": 0,
  "callDetails": [
    {"calleeNumber": "910000000000", "calleeType": "VISITOR", "cdrId": "{uuid}##test", "connectTime": "{at}",
     "didNumber": "910000000001", "duration": "0", "endTime": "{at}", "hangupCause": "16", "incoming": false,
     "remoteHangup": false, "startTime": "{at}"}
  ],
  "keys": [
    {"name": "$flow.key.test", "value": "A test message of `ringback webhook test`: there was no call, and no SMS."}
  ],
  "sms": ["{uuid}"]
}"#;

const REPORT: &str = r#"{
  "id": "{uuid}",
  "attemptDetail": "{uuid}##1",
  "phononUuid": "{uuid}",
  "flowId": 0,
  "accountID": {account},
  "length": 60,
  "cost": {"currency": {"currencyID": 1, "currencyName": "INR"}, "amount": 0.00, "serviceCategory": "test",
   "serviceChargeType": "Unit", "smsUnit": 1},
  "nonEnglishChars": false,
  "smsType": "NORMAL",
  "text": "A test message of `ringback webhook test`: there was no SMS.",
  "to": "910000000000",
  "from": "TEST",
  "sendTime": "{at}",
  "deliveryStatus": "DELIVERED",
  "deliveryTime": "{at}"
}"#;

#[cfg(test)]
mod tests {
    use super::{UUID, sample};
    use crate::domain::{AccountId, Phase};
    use serde_json::Value;

    #[test]
    fn both_bodies_have_the_shape_of_the_examples_and_say_that_they_are_tests() {
        let phases = [
            (Phase::One, include_str!("../../../config/examples/webhook-phase-1.json")),
            (Phase::Two, include_str!("../../../config/examples/webhook-phase-2.json")),
        ];
        for (phase, example) in phases {
            let body = sample(phase, AccountId(28), true, "2026-01-02T03:04:05.678Z").unwrap().body;
            let text = std::str::from_utf8(&body).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let example: Value = serde_json::from_str(example).unwrap();
            let names =
                |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            let mut wanted = names(&example);
            wanted.retain(|name| name != "recordingUrls");
            assert_eq!(names(&body), wanted);
            assert_eq!(body["phonon-uuid"], UUID);
            let list = if phase == Phase::One { "callDetails" } else { "smsDetails" };
            assert_eq!(names(&body[list][0]), names(&example[list][0]));
            assert!(
                text.contains("A test message") && !text.contains('\n') && !text.contains("{at}")
            );
        }
        let bare = sample(Phase::Two, AccountId(28), false, "").unwrap().body;
        assert!(!String::from_utf8_lossy(&bare).contains("\"keys\""));
    }
}
