//! Finds everything that comes too early or too late by the world's own time, although the clocks of its instances
//! jump.

use super::world::EPOCH_MS;
use crate::delivery::Job;
use crate::domain::{Command, DeadLetterReason, Event, Policy, State, Timestamp};

/// An instance's time may differ from the world's by this, and by a hundredth of the time that has passed.
const SLACK_MS: u64 = 1000;
const SLACK_PARTS: u64 = 100;
/// If only clocks are wrong, due work happens within this time: endpoints ask for pauses of at most ten seconds.
const LATE_MS: u64 = 60_000;

/// Descriptions of early and late work.
#[derive(Default)]
pub(super) struct Timing {
    pub(super) early: Vec<String>,
    pub(super) late: Vec<String>,
}

impl Timing {
    fn check(&mut self, what: &str, due: Timestamp, world_ms: i64) {
        let now = Timestamp::from_ms(world_ms);
        let slack_ms = now.ms_since(Timestamp::from_ms(EPOCH_MS)) / SLACK_PARTS + SLACK_MS;
        let (early_ms, late_ms) = (due.ms_since(now), now.ms_since(due));
        if early_ms > slack_ms {
            self.early.push(format!("{what} came {early_ms} ms too early"));
        }
        if late_ms > LATE_MS + slack_ms {
            self.late.push(format!("{what} came {late_ms} ms too late"));
        }
    }

    /// Checks an attempt that begins.
    pub(super) fn begun(&mut self, job: &Job, world_ms: i64) {
        if job.attempt > 1 {
            self.check(&format!("attempt {} of {}", job.attempt, job.id), job.due, world_ms);
        }
    }

    /// Checks committed `events`, which `command` caused in `state`.
    pub(super) fn committed(
        &mut self,
        state: &State,
        command: &Command,
        events: &[Event],
        policy: &Policy,
        world_ms: i64,
    ) {
        // A timer that was postponed fires without events.
        if let (Command::FireTimer(uuid), Some(due), true) =
            (command, state.timer(), !events.is_empty())
        {
            self.check(&format!("the timer of {uuid}"), due, world_ms);
        }
        for event in events {
            if let Event::DeadLettered { delivery, reason: DeadLetterReason::AgeExceeded, .. } =
                event
            {
                // A delivery may end early if its next attempt would come too late.
                let policy = policy.webhook(&delivery.webhook);
                let longest_ms = policy.retry.intervals_ms.iter().max().copied().unwrap_or(0) * 2;
                let longest_ms = longest_ms.max(policy.retry_after_max_ms);
                let old_ms = policy.age_max_ms.saturating_sub(longest_ms);
                let due = delivery.scheduled_at.plus_ms(old_ms);
                let world_ms = world_ms.min(due.as_ms());
                self.check(&format!("the end of {} by its age", delivery.id), due, world_ms);
            }
        }
    }
}
