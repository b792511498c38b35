//! The body of a test message: a sample that says what it is, made the way of all bodies.

use crate::codec::body::render_phase2;
use crate::codec::source::{Decoded, Decoder};
use crate::domain::{AccountId, FlowComplete, Phase, RecordKind};
use bytes::Bytes;

/// No execution has it: the platform's are random.
const UUID: &str = "00000000-0000-0000-0000-000000000000";

/// The sample's body of `phase`; `at` is RFC 3339. `None` if the samples were no records.
pub(super) fn body(phase: Phase, account: AccountId, attach_keys: bool, at: &str) -> Option<Bytes> {
    let mut decoder = Decoder::new(false);
    let filled = |record: &str| {
        let record = record.replace("{uuid}", UUID).replace("{at}", at);
        record.replace("{account}", &account.to_string())
    };
    let Decoded::Flow(flow) = decoder.decode(RecordKind::Flow, filled(FLOW).as_bytes()) else {
        return None;
    };
    let FlowComplete { body, keys, .. } = *flow;
    match phase {
        Phase::One => Some(body),
        Phase::Two => {
            let report = decoder.decode(RecordKind::Report, filled(REPORT).as_bytes());
            let Decoded::Report(report) = report else { return None };
            let keys = attach_keys.then(|| body.slice(keys));
            Some(render_phase2(UUID, &[report.body], keys.as_ref()))
        }
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
    use super::{UUID, body};
    use crate::domain::{AccountId, Phase};
    use serde_json::Value;

    #[test]
    fn both_bodies_have_the_shape_of_the_examples_and_say_that_they_are_tests() {
        let phases = [
            (Phase::One, include_str!("../../../config/examples/webhook-phase-1.json")),
            (Phase::Two, include_str!("../../../config/examples/webhook-phase-2.json")),
        ];
        for (phase, example) in phases {
            let body = body(phase, AccountId(28), true, "2026-01-02T03:04:05.678Z").unwrap();
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
        let bare = body(Phase::Two, AccountId(28), false, "").unwrap();
        assert!(!String::from_utf8_lossy(&bare).contains("\"keys\""));
    }
}
