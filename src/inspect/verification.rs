//! Reads the topics, the store and receivers' logs for [`crate::verify`], and returns its findings as an answer.

mod read;
pub(super) mod receiver;
mod store;

pub use read::verify;

use crate::codec::event::rfc3339;
use crate::store::Aside;
use crate::verify::{Counts, Report, Violation};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The options of a verification.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The files with receivers' logs.
    pub receiver_logs: Vec<PathBuf>,
    /// Whether the inputs must be read to their ends and no due work may wait.
    pub at_rest: bool,
    /// The number of requests beyond the attempts that receivers may have seen. `None` allows any number.
    pub repeats_max: Option<u64>,
}

/// The result of `ringback verify`.
pub struct Verification {
    /// The violations, notes and counts.
    pub report: Report,
    /// The stores that were set aside.
    pub set_aside: Vec<Aside>,
}

/// A verification that can be serialised.
#[derive(Debug, Serialize)]
pub struct VerificationView<'a> {
    pub violations: Vec<ViolationView<'a>>,
    /// The number of further violations, which were counted but not kept.
    pub more: u64,
    /// The stores that were set aside.
    pub set_aside: Vec<AsideView<'a>>,
    /// Data that could not be read or judged. Notes are not violations.
    pub notes: &'a [String],
    /// The amounts of data that were checked.
    pub counts: &'a Counts,
}

/// A violation that can be serialised.
#[derive(Debug, Serialize)]
pub struct ViolationView<'a> {
    /// The kind of violation, such as `lost`.
    pub what: &'static str,
    /// The phonon-uuid, if the violation is about one.
    pub uuid: Option<&'a str>,
    /// The id of the delivery, if the violation is about one.
    pub webhook_id: Option<String>,
    /// The topic of the place, where it is known.
    pub topic: Option<&'a str>,
    /// The partition of the place, where it is known.
    pub partition: Option<i32>,
    /// The offset of the place, where it is known.
    pub offset: Option<i64>,
    /// A description of the contradiction.
    pub says: &'a str,
}

/// A store that was set aside.
#[derive(Debug, Serialize)]
pub struct AsideView<'a> {
    /// The directory of the copy.
    pub path: &'a Path,
    /// The reason why it was set aside.
    pub why: &'static str,
    /// When it was set aside (RFC 3339).
    pub at: String,
}

impl Verification {
    /// Returns the verification in the form that is serialised.
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
