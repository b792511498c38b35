//! What does not fit together in topics, store and receivers' logs: the reading that [`crate::verify`] judges, and its answer.

mod read;
pub(super) mod receiver;
mod store;

pub use read::verify;

use crate::codec::event::rfc3339;
use crate::store::Aside;
use crate::verify::{Counts, Report, Violation};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The logs of receivers.
    pub receiver_logs: Vec<PathBuf>,
    /// Whether nothing may wait that could be done.
    pub at_rest: bool,
    /// How many requests more than attempts a receiver may have seen.
    pub repeats_max: Option<u64>,
}

/// What was found.
pub struct Verification {
    /// The violations, and how much was looked at.
    pub report: Report,
    /// The stores that were set aside.
    pub set_aside: Vec<Aside>,
}

/// A verification as it serialises.
#[derive(Debug, Serialize)]
pub struct VerificationView<'a> {
    /// The violations, sorted.
    pub violations: Vec<ViolationView<'a>>,
    /// How many more there are, which were not kept.
    pub more: u64,
    /// The stores that were set aside.
    pub set_aside: Vec<AsideView<'a>>,
    /// What could not be seen or judged. It is no violation.
    pub notes: &'a [String],
    /// How much was looked at.
    pub counts: &'a Counts,
}

/// A violation.
#[derive(Debug, Serialize)]
pub struct ViolationView<'a> {
    /// Which invariant.
    pub what: &'static str,
    /// The phonon-uuid.
    pub uuid: Option<&'a str>,
    /// The delivery.
    pub webhook_id: Option<String>,
    /// The topic.
    pub topic: Option<&'a str>,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// What was seen, and what should have been.
    pub says: &'a str,
}

/// A store that was set aside.
#[derive(Debug, Serialize)]
pub struct AsideView<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Why it was set aside.
    pub why: &'static str,
    /// When: RFC 3339.
    pub at: String,
}

impl Verification {
    /// The verification as it serialises.
    #[must_use]
    pub fn view(&self) -> VerificationView<'_> {
        let Self { report, set_aside } = self;
        VerificationView {
            violations: report.violations.iter().map(ViolationView::of).collect(),
            more: report.more,
            set_aside: set_aside.iter().map(AsideView::of).collect(),
            notes: &report.notes,
            counts: &report.counts,
        }
    }
}

impl<'a> ViolationView<'a> {
    fn of(violation: &'a Violation) -> Self {
        Self {
            what: violation.what.as_str(),
            uuid: violation.uuid.as_deref(),
            webhook_id: violation.webhook_id.map(|id| id.to_string()),
            topic: violation.topic.as_deref(),
            partition: violation.partition,
            offset: violation.offset,
            says: &violation.says,
        }
    }
}

impl<'a> AsideView<'a> {
    fn of(Aside { path, why, at }: &'a Aside) -> Self {
        Self { path, why: why.as_str(), at: rfc3339(*at) }
    }
}
