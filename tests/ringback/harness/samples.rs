//! Source records that are made from the samples.

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The samples, byte for byte.
pub(crate) const FLOW: &str = include_str!("../samples/flow-complete.json");
pub(crate) const REPORT: &str = include_str!("../samples/sms-delivery-report.json");
pub(crate) const PHASE_1: &str = include_str!("../samples/webhook-phase-1.json");
pub(crate) const PHASE_2: &str = include_str!("../samples/webhook-phase-2.json");

/// The phonon-uuid of the samples.
pub(crate) const UUID: &str = "bd706f90-aa14-47ea-9844-3d1e1123f4ee";

/// The account of the samples.
pub(crate) const ACCOUNT: i64 = 28;

/// Returns a flow complete record of `uuid` that lists `sms`.
pub(crate) fn flow(uuid: &str, sms: &[&str]) -> Value {
    let mut flow: Value = serde_json::from_str(FLOW).expect("the sample is JSON");
    flow["phononUuid"] = json!(uuid);
    flow["sms"] = json!(sms);
    flow
}

/// Returns a delivery report about `sms` of `uuid`.
pub(crate) fn report(uuid: &str, sms: &str, status: &str) -> Value {
    let mut report: Value = serde_json::from_str(REPORT).expect("the sample is JSON");
    report["phononUuid"] = json!(uuid);
    report["attemptDetail"] = json!(format!("{uuid}##1"));
    report["id"] = json!(sms);
    report["deliveryStatus"] = json!(status);
    report
}

/// Returns the record with `field` changed, or without the field if `value` is null.
pub(crate) fn with(mut record: Value, field: &str, value: Value) -> Value {
    let fields = record.as_object_mut().expect("a record is an object");
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    record
}

/// Returns the body that phase 1 of `flow` must have.
pub(crate) fn phase_1(flow: &Value) -> Value {
    let mut body = json!({
        "callDetails": flow.get("callDetails").cloned().unwrap_or_else(|| json!([])),
        "keys": flow.get("keys").cloned().unwrap_or_else(|| json!([])),
        "phonon-uuid": flow["phononUuid"],
    });
    if let Some(recordings) = flow.get("recordingUrls") {
        body["recordingUrls"] = recordings.clone();
    }
    body
}

/// Returns the body that phase 2 of `flow` must have with these reports and the flow's keys.
pub(crate) fn phase_2(flow: &Value, details: &[Value]) -> Value {
    let keys = flow.get("keys").cloned().unwrap_or_else(|| json!([]));
    json!({"phonon-uuid": flow["phononUuid"], "smsDetails": details, "keys": keys})
}

/// A random generator (SplitMix64) that gives the same numbers and ids for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// Starts from this seed, and prints it for the output of a failed test.
    pub(crate) fn seeded(seed: u64) -> Self {
        println!("seed {seed}");
        Self(seed)
    }

    /// Starts from another seed each time, unless `RINGBACK_SEED` names one.
    pub(crate) fn fresh() -> Self {
        let seed = std::env::var("RINGBACK_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Self::seeded(seed.unwrap_or_else(|| now().subsec_micros().into()))
    }

    /// Returns the next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number of `range`.
    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Returns the items in random order.
    pub(crate) fn shuffled<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let mut all = all.to_vec();
        for end in (1..all.len()).rev() {
            let other = self.within(0..end as u64 + 1);
            all.swap(end, usize::try_from(other).expect("small"));
        }
        all
    }

    /// Returns a version 4 UUID, like the platform's ids.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (d, e) = (0x8000 | (low >> 48 & 0x3fff), low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// Returns `count` UUIDs.
    pub(crate) fn uuids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.uuid()).collect()
    }
}
