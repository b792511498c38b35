//! Remembers the schema ids that the registry did not know a moment ago.
//!
//! The answer holds for each record that waited for it. For later records it holds only for a moment. So invalid ids do
//! not cause one request per record, and a schema that is registered meanwhile is found.

use crate::codec::source::SchemaId;
use crate::domain::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time for which an answer holds for records that existed when the registry was asked.
const AGE_MAX: Duration = Duration::from_secs(2);
/// The time for which an answer holds for any record. A record that was produced after the request may be a replayed
/// one, whose schema is registered now.
const ANY_AGE_MAX: Duration = Duration::from_millis(100);
/// The limit of remembered ids, so that invalid ids can't fill the memory.
const IDS_MAX: usize = 10_000;

/// The times of a request for an unknown id and of its answer.
#[derive(Clone, Copy)]
struct Answer {
    asked_at: Timestamp,
    answered_at: Instant,
}

/// The ids that the registry does not know.
#[derive(Default)]
pub(super) struct Missing(BTreeMap<SchemaId, Answer>);

impl Missing {
    /// Records that the registry was asked at `asked_at` and answered at `now` that it has no such schema.
    pub(super) fn insert(&mut self, id: SchemaId, asked_at: Timestamp, now: Instant) {
        if self.0.len() >= IDS_MAX {
            self.0.retain(|_, answer| age(*answer, now) < AGE_MAX);
        }
        if self.0.len() >= IDS_MAX {
            self.0.clear();
        }
        self.0.insert(id, Answer { asked_at, answered_at: now });
    }

    /// Returns whether the answer holds for a record that was produced at `produced_at`.
    pub(super) fn holds_for(&self, id: SchemaId, produced_at: Timestamp, now: Instant) -> bool {
        self.0.get(&id).is_some_and(|answer| {
            let age = age(*answer, now);
            age < ANY_AGE_MAX || (age < AGE_MAX && produced_at <= answer.asked_at)
        })
    }
}

fn age(answer: Answer, now: Instant) -> Duration {
    now.saturating_duration_since(answer.answered_at)
}

#[cfg(test)]
mod tests {
    use super::{IDS_MAX, Missing};
    use crate::codec::source::SchemaId::Id;
    use crate::domain::Timestamp;
    use std::time::{Duration, Instant};

    #[test]
    fn an_answer_holds_for_a_moment_and_shorter_for_records_produced_since() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let (before, since) = (Timestamp::from_ms(900), Timestamp::from_ms(1001));
        missing.insert(Id(7), Timestamp::from_ms(1000), start);
        assert!(missing.holds_for(Id(7), before, start) && missing.holds_for(Id(7), since, start));
        assert!(missing.holds_for(Id(7), before, after(1999)));
        assert!(
            !missing.holds_for(Id(7), since, after(100)),
            "its schema may be registered by now"
        );
        assert!(!missing.holds_for(Id(7), before, after(2000)));
        assert!(!missing.holds_for(Id(8), before, start), "this id was not requested");
    }

    #[test]
    fn unknown_ids_do_not_fill_the_memory() {
        let (mut missing, now) = (Missing::default(), Instant::now());
        for id in 0..3 * u32::try_from(IDS_MAX).unwrap() {
            missing.insert(Id(id), Timestamp::from_ms(0), now);
            assert!(missing.0.len() <= IDS_MAX);
        }
    }
}
