//! The dead letters of events whose documents the database refuses.

use super::batch::Answer;
use super::writer::Refused;
use crate::codec::event::record_headers;
use crate::domain::{DeadLetterReason, Source};
use crate::log::{Outgoing, TopicNames};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest part of the database's text in a dead letter, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// The dead letter of one event: the event itself as the record that failed.
pub(super) struct Letter {
    answer: Arc<Answer>,
    headers: Vec<(&'static str, String)>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// The first refused document and the database's reason.
    pub(super) detail: String,
}

impl Letter {
    pub(super) fn outgoing<'a>(&'a self, topic: &'a str) -> Outgoing<'a> {
        let event = &self.answer.event;
        Outgoing {
            topic,
            key: event.key.as_deref(),
            value: Some(&event.value),
            headers: &self.headers,
            ..Outgoing::default()
        }
    }
}

/// Returns one letter for each event with refused documents, in the order of the events.
pub(super) fn of(refused: &[Refused], topics: &TopicNames) -> Vec<Letter> {
    let mut by_event: BTreeMap<(i32, i64), (&Refused, usize)> = BTreeMap::new();
    for one in refused {
        let event = &one.update.answer.event;
        by_event.entry((event.partition, event.offset)).or_insert((one, 0)).1 += 1;
    }
    let letter = |((partition, offset), (first, count)): ((i32, i64), (&Refused, usize))| {
        let answer = first.update.answer.clone();
        let source = Source {
            topic: topics.events.as_str().into(),
            partition,
            offset,
            timestamp: answer.event.timestamp,
            index: None,
            trace: None,
        };
        let more = match count - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        // The text may quote the document.
        let text = first.text.get(..first.text.floor_char_boundary(TEXT_BYTES_MAX));
        let (sms, code, text) = (&first.update.sms, first.code, text.unwrap_or_default());
        let detail = format!("the document of SMS {sms}: code {code}: {text}{more}");
        let reason = DeadLetterReason::SinkRefused;
        let headers = record_headers(&source, reason, answer.event.account, &detail);
        Letter { answer, headers, partition, offset, detail }
    };
    by_event.into_iter().map(letter).collect()
}
