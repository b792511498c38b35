//! Log lines about many similar events: the first events of a minute get a line each, the rest one line together.

use crate::clock;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Counted events are logged after this time.
const WINDOW: Duration = Duration::from_secs(60);

/// The subject of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// Records that became dead letters.
    Record,
    /// Deliveries that became dead letters.
    Delivery,
    /// Rules whose conditions could not be evaluated.
    Rule,
    /// Deliveries that are sent again.
    Replay,
    /// Reports that did not arrive in time.
    Timeout,
    /// Reports whose unknown status was named before.
    Status,
}

impl About {
    /// Returns how many events of a minute get a line each.
    const fn single_max(self) -> u32 {
        match self {
            // One faulty producer would fill the log.
            Self::Record | Self::Rule => 1,
            Self::Delivery | Self::Replay | Self::Timeout => 5,
            // The first report of each word has a line.
            Self::Status => 0,
        }
    }

    /// Returns the text of the line about the other events.
    const fn happened(self) -> &'static str {
        match self {
            Self::Record => {
                "more records became dead letters; `ringback dead-letter list` shows them"
            }
            Self::Delivery => {
                "more deliveries became dead letters; `ringback dead-letter list` shows them"
            }
            Self::Rule => "more rules were skipped, so that their webhooks are not sent",
            Self::Replay => "more dead letters are sent again",
            Self::Timeout => "more flows whose delivery reports did not arrive in time",
            Self::Status => {
                "more delivery reports have unknown statuses; ringback_unknown_status_words_total counts them by word"
            }
        }
    }
}

/// The events of one subject and reason in one minute.
struct Burst {
    since: Instant,
    single: u32,
    more: u64,
}

/// The counts of events, by subject and reason.
#[derive(Default)]
pub(super) struct Bursts(RefCell<BTreeMap<(About, &'static str), Burst>>);

impl Bursts {
    /// Counts an event. Returns whether it gets its own line.
    pub(super) fn is_single(&self, about: About, reason: &'static str) -> bool {
        self.is_single_at(clock::instant(), about, reason)
    }

    fn is_single_at(&self, now: Instant, about: About, reason: &'static str) -> bool {
        let mut bursts = self.0.borrow_mut();
        let burst =
            bursts.entry((about, reason)).or_insert(Burst { since: now, single: 0, more: 0 });
        let is_single = burst.single < about.single_max();
        if is_single {
            burst.single += 1;
        } else {
            burst.more += 1;
        }
        is_single
    }

    /// Takes the counts of minutes that are over.
    fn over(&self, now: Instant) -> Vec<(About, &'static str, u64)> {
        let mut over = Vec::new();
        self.0.borrow_mut().retain(|(about, reason), burst| {
            if now.saturating_duration_since(burst.since) < WINDOW {
                return true;
            }
            if burst.more == 0 {
                return false;
            }
            over.push((*about, *reason, burst.more));
            // While such events continue, they get one line a minute.
            *burst = Burst { since: now, single: about.single_max(), more: 0 };
            true
        });
        over
    }

    /// Logs the counts of minutes that are over.
    pub(super) fn report(&self) {
        for (about, reason, count) in self.over(clock::instant()) {
            say(about, reason, count);
        }
    }

    /// Logs all counts, because the process ends.
    pub(super) fn finish(&self) {
        for ((about, reason), burst) in self.0.take() {
            if burst.more > 0 {
                say(about, reason, burst.more);
            }
        }
    }
}

fn say(about: About, reason: &str, count: u64) {
    match about {
        About::Record | About::Delivery | About::Rule => {
            tracing::warn!(reason, count, "{}", about.happened());
        }
        About::Status => tracing::warn!(count, "{}", about.happened()),
        About::Replay | About::Timeout => tracing::info!(count, "{}", about.happened()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_events_get_a_line_each_and_the_rest_one_line_a_minute() {
        let (bursts, start) = (Bursts::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let single =
            (0..1000).filter(|_| bursts.is_single_at(start, About::Delivery, "refused")).count();
        assert_eq!(single, 5);
        assert!(bursts.is_single_at(start, About::Record, "undecodable"));
        assert!(!bursts.is_single_at(after(59), About::Record, "undecodable"));
        assert!(bursts.is_single_at(after(59), About::Record, "no_uuid"), "another reason");
        assert!(bursts.over(after(59)).is_empty());
        let over = bursts.over(after(60));
        assert_eq!(over, [(About::Record, "undecodable", 1), (About::Delivery, "refused", 995)]);
        // The events continue: they get no line each, but one a minute.
        assert!(!bursts.is_single_at(after(61), About::Record, "undecodable"));
        assert!(bursts.over(after(119)).is_empty());
        assert_eq!(bursts.over(after(120)), [(About::Record, "undecodable", 1)]);
        // After a minute without events, the next one gets its own line.
        assert!(bursts.over(after(180)).is_empty());
        assert!(bursts.is_single_at(after(181), About::Record, "undecodable"));
    }
}
