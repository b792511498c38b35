//! The targets, a module per kind of foreign bytes. A new one goes into the table below.

mod command;
mod record;
mod row;
mod sample;

use crate::target::{Seen, Target};
use std::fmt::Debug;

/// All of them.
pub(crate) static TARGETS: &[Target] = &[
    record::FLOW,
    record::REPORT,
    row::STATE,
    row::ENDPOINT,
    row::META,
    command::REPLAY,
    command::ENDPOINT,
    command::LETTER,
];

fn seen(what: impl Debug + 'static) -> Seen {
    Box::new(what)
}

/// The samples of `config/examples`.
const FLOW: &str = include_str!("../../config/examples/flow-complete.json");
const REPORT: &str = include_str!("../../config/examples/sms-delivery-report.json");

/// What stands in records, commands and letters.
const JSON_WORDS: &[&str] = &[
    "\"phononUuid\":",
    "\"accountID\":",
    "\"flowId\":",
    "\"webhookEnabled\":",
    "\"callDetails\":",
    "\"keys\":",
    "\"recordingUrls\":",
    "\"sms\":",
    "\"id\":",
    "\"deliveryStatus\":",
    "\"phonon\\u0055uid\":",
    "null",
    "true",
    "[]",
    "{}",
    "[{",
    "}]",
    ",\"\":",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "DELIVERED",
    "1e400",
    "-0.0e-0",
];
