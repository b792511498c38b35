//! The index entries and the tally's part that are derived from a state.

use super::key::DueKey;
use crate::domain::{Collection, Correlation, Due, State, Timestamp, WebhookName};

/// The stage of a uuid in the tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Stage {
    #[default]
    Unknown,
    AwaitingFlow,
    Open,
    Silent,
    Ended,
}

/// The index entries and the tally's part that are derived from a state. The default is that of a uuid without a row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Derived {
    pub(super) stage: Stage,
    /// Deliveries that wait for phase 1.
    pub(super) held: u64,
    pub(super) timer: Option<Timestamp>,
    /// When the flow was accepted, if it waits for reports.
    pub(super) awaiting: Option<Timestamp>,
    pub(super) due: Vec<(WebhookName, DueKey)>,
}

impl Derived {
    /// Derives them from `state`.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let held = state.deliveries.iter().filter(|row| row.due == Due::Waiting).count();
        Self {
            stage: match &state.correlation {
                Correlation::Unknown => Stage::Unknown,
                Correlation::AwaitingFlow(_) => Stage::AwaitingFlow,
                Correlation::Open(_) => Stage::Open,
                Correlation::Silent { .. } => Stage::Silent,
                Correlation::Ended { .. } => Stage::Ended,
            },
            held: held as u64,
            timer: state.timer(),
            awaiting: state.awaits_reports_since(),
            due: state.due_keys().map(|(webhook, key)| (webhook.clone(), key)).collect(),
        }
    }

    /// Returns whether they are derived from an existing row.
    pub(super) fn is_of_a_row(&self) -> bool {
        // A call begin record alone leads to a timer.
        self.stage != Stage::Unknown
            || self.held > 0
            || !self.due.is_empty()
            || self.timer.is_some()
    }
}

impl State {
    /// Returns when the flow was accepted, if it waits for reports.
    pub(crate) fn awaits_reports_since(&self) -> Option<Timestamp> {
        let Correlation::Open(flow) = &self.correlation else { return None };
        matches!(flow.collection, Collection::Open { .. }).then_some(flow.accepted_at)
    }

    /// Returns the positions of its deliveries in their lanes. A delivery that waits for phase 1 has none.
    pub fn due_keys(&self) -> impl Iterator<Item = (&WebhookName, DueKey)> {
        self.deliveries.iter().filter_map(|row| match row.due {
            Due::At(due) => Some((&row.webhook, DueKey { class: row.class(), due, id: row.id })),
            Due::Waiting => None,
        })
    }
}
