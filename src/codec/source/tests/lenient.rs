//! Spellings that say the same are read the same.

use super::{FLOW, PHASE_1, REPORT, flow, report};
use crate::domain::{AccountId, FlowId, PhononUuid, SmsId};

#[test]
fn uuids_are_compared_in_any_case_and_without_braces_and_bodies_keep_the_spelling() {
    const UUID: &str = "bd706f90-aa14-47ea-9844-3d1e1123f4ee";
    let plain = flow(FLOW).uuid;
    for spelling in
        [UUID.to_uppercase(), format!("{{{UUID}}}"), format!("{{{}}}", UUID.to_uppercase())]
    {
        let spelt = flow(FLOW.replace(UUID, &spelling));
        assert_eq!((&spelt.uuid, spelt.uuid.as_str()), (&plain, UUID));
        assert_eq!(spelt.uuid.spelling(), spelling);
        let body = std::str::from_utf8(&spelt.body).unwrap();
        assert_eq!(body, PHASE_1.replace(UUID, &spelling));
        assert_eq!(report(REPORT.replace(UUID, &spelling)).uuid, plain);
    }
    // Other texts are ids as they are.
    for (one, other) in [("ABC", "abc"), ("{abc}", "abc"), (&UUID[1..], &UUID.to_uppercase()[1..])]
    {
        assert_ne!(PhononUuid::spelt(one), PhononUuid::spelt(other));
        assert_eq!(PhononUuid::spelt(one).unwrap().spelling(), one);
    }
}

#[test]
fn ids_of_sms_are_compared_in_the_same_way() {
    let one = SmsId::new("290A4138-5729-475F-95E1-9FF30F851D67").unwrap();
    let other = SmsId::new("{290a4138-5729-475f-95e1-9ff30f851d67}").unwrap();
    assert_eq!(one, other);
    assert_eq!(one.as_str(), "290A4138-5729-475F-95E1-9FF30F851D67");
    assert_ne!(SmsId::new("S-1"), SmsId::new("s-1"));
    let twice = r#"{"phononUuid":"u","accountID":1,
        "sms":["290A4138-5729-475F-95E1-9FF30F851D67","290a4138-5729-475f-95e1-9ff30f851d67"]}"#;
    assert_eq!(flow(twice).sms, Some(vec![one]));
    // Few ids are compared with each other, and many are hashed.
    for count in [1, 15, 16, 17, 40] {
        let ids: Vec<String> =
            (0..count).map(|id| format!(r#""{id:08}-5729-475f-95e1-9ff30f851d67""#)).collect();
        let again: Vec<String> = ids.iter().map(|id| id.to_uppercase()).collect();
        let all = [ids.as_slice(), &again].concat().join(",");
        let sms = flow(format!(r#"{{"phononUuid":"u","accountID":1,"sms":[{all}]}}"#)).sms;
        assert_eq!(sms.map(|sms| sms.len()), Some(count), "{count}");
    }
}

#[test]
fn a_report_needs_no_flow_id_and_any_is_passed_on() {
    for flow_id in [r#""flowId":200,"#, r#""flowId":"b-7","#, r#""flowId":1.5,"#, ""] {
        let json = format!(
            r#"{{{flow_id}"id":"s","phononUuid":"u","accountID":28,"deliveryStatus":"SENT"}}"#
        );
        assert_eq!(report(&json).body, json.as_bytes());
    }
}

#[test]
fn numbers_with_a_fraction_of_zeros_are_integers_and_words_are_booleans() {
    for (account, enabled, expected) in
        [("101.0", r#""true""#, true), ("101.00", r#""False""#, false), (r#""101""#, "true", true)]
    {
        let flow = flow(format!(
            r#"{{"phononUuid":"u","accountID":{account},"flowId":2.0,"webhookEnabled":{enabled},"keys":[]}}"#
        ));
        assert_eq!((flow.account, flow.flow), (AccountId(101), Some(FlowId(2))));
        assert_eq!(flow.webhook_enabled, Some(expected));
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let marked = [b"\xef\xbb\xbf", REPORT.as_bytes()].concat();
    let read = report(&marked);
    assert_eq!(read.content, report(REPORT).content);
    assert_eq!(read.raw.as_deref(), Some(&marked[..]), "a dead letter keeps the record as it came");
}
