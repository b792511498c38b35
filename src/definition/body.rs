//! The predefined bodies. Each is written into one buffer.

use crate::json;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Writes the predefined body of phase 2 from the uuid, the reports as JSON, and the flow's keys as JSON.
#[must_use]
pub fn render_phase2(uuid: &str, sms_details: &[Bytes], keys: Option<&Bytes>) -> Bytes {
    let details: usize = sms_details.iter().map(|report| report.len() + 1).sum();
    let mut out = Vec::with_capacity(64 + uuid.len() + details + keys.map_or(0, Bytes::len));
    out.extend_from_slice(br#"{"phonon-uuid":"#);
    json::write_string(&mut out, uuid);
    out.extend_from_slice(br#","smsDetails":["#);
    for (index, report) in sms_details.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(report);
    }
    out.push(b']');
    if let Some(keys) = keys {
        out.extend_from_slice(br#","keys":"#);
        out.extend_from_slice(keys);
    }
    out.push(b'}');
    Bytes::from(out)
}

/// Writes the entry in phase 2 for an SMS without any report.
#[must_use]
pub fn render_unknown(sms: &str) -> Bytes {
    let mut out = Vec::with_capacity(48 + sms.len());
    out.extend_from_slice(br#"{"id":"#);
    json::write_string(&mut out, sms);
    out.extend_from_slice(br#","deliveryStatus":"UNKNOWN"}"#);
    Bytes::from(out)
}

/// Returns the reports in a predefined body, as they are spelt there. The body of phase 1 has none.
#[must_use]
pub fn reports(predefined: &Bytes) -> Vec<Bytes> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(rename = "smsDetails", borrow, default)]
        sms_details: Vec<&'a RawValue>,
    }
    let details = serde_json::from_slice::<Body<'_>>(predefined).map(|body| body.sms_details);
    let slice = |report: &RawValue| predefined.slice_ref(report.get().as_bytes());
    details.unwrap_or_default().into_iter().map(slice).collect()
}

#[cfg(test)]
mod tests {
    use super::{render_phase2, render_unknown, reports};
    use bytes::Bytes;

    #[test]
    fn bodies_have_the_shape_that_the_rules_expect() {
        let reports = [render_unknown("a\"b"), Bytes::from_static(b"{\"id\":\"2\"}")];
        assert_eq!(
            render_phase2("u", &reports, None),
            br#"{"phonon-uuid":"u","smsDetails":[{"id":"a\"b","deliveryStatus":"UNKNOWN"},{"id":"2"}]}"#
                .as_slice()
        );
        assert_eq!(
            render_phase2("u", &[], Some(&Bytes::from_static(b"[]"))),
            br#"{"phonon-uuid":"u","smsDetails":[],"keys":[]}"#.as_slice()
        );
    }

    #[test]
    fn the_reports_of_a_body_are_those_that_it_was_written_from() {
        let given = [render_unknown("a\"b"), Bytes::from_static(b"{\"cost\":{\"amount\":0.10}}")];
        let keys = Bytes::from_static(b"[{\"name\":\"smsDetails\"}]");
        assert_eq!(reports(&render_phase2("u", &given, Some(&keys))), given);
        for none in [&b"{\"callDetails\":[]}"[..], b"no JSON"] {
            assert!(reports(&Bytes::from_static(none)).is_empty());
        }
    }
}
