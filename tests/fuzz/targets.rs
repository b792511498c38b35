//! The targets, one module per kind of foreign bytes. Add a new target to the table below.

mod answer;
mod command;
mod config;
mod delivery;
mod event;
mod facts;
pub(crate) mod record;
mod replay;
mod row;
pub(crate) mod sample;
mod schema;
mod status;
mod store;
mod template;
mod trace;

use crate::target::{Seen, Target};
use std::fmt::Debug;

/// All targets.
pub(crate) static TARGETS: &[Target] = &[
    record::FLOW,
    record::REPORT,
    record::ENVELOPE,
    row::STATE,
    row::ENDPOINT,
    row::META,
    command::REPLAY,
    command::ENDPOINT,
    command::LETTER,
    schema::ANSWER,
    schema::SCHEMA,
    store::KEY,
    store::CHECKPOINT,
    event::NOTICE,
    event::FACT,
    event::OUTCOME,
    event::MASK,
    replay::AGE,
    replay::TARGET,
    replay::NOTE,
    delivery::RETRY,
    delivery::ADDRESS,
    delivery::SECRET,
    delivery::SIGNED_TEXT,
    delivery::BODY_SECRETS,
    delivery::PROXY,
    config::SETTINGS,
    config::ACCOUNTS,
    config::VARIABLES,
    config::URL,
    config::CATALOGUE,
    answer::JSON_MAP,
    answer::XML_MAP,
    answer::EXAMPLE,
    answer::NAMED,
    template::JSON,
    template::XML,
    template::FORM,
    template::MULTIPART,
    template::URL,
    facts::FACTS,
    facts::KEPT,
    record::START,
    status::STATUS,
    trace::CONTEXT,
];

fn seen(what: impl Debug + 'static) -> Seen {
    Box::new(what)
}

/// Splits an input at its first empty line.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.windows(2).position(|two| two == b"\n\n");
    end.map_or((input, &[]), |at| (&input[..at], &input[at + 2..]))
}

/// The samples of `config/examples`.
const FLOW: &str = include_str!("../../config/examples/flow-complete.json");
const REPORT: &str = include_str!("../../config/examples/sms-delivery-report.json");

/// Words of records, commands and dead letters.
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
