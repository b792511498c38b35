//! Follows accepted reports to their end by the events alone. Tests compare this with the state.
//!
//! An accepted report ends in a webhook (of phase 2 or of a rule), in a newer report of its SMS, in `record_ignored`,
//! in a dead letter, or in `report_timed_out`.

use super::{AccountId, Correlation, Event, IgnoredRecord, SmsId, Source, State};
use std::collections::BTreeMap;

/// The accepted reports of one uuid that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fates(BTreeMap<(AccountId, SmsId), Source>);

impl Fates {
    /// Applies the events of one decision, which led to `state`. Returns a message for each contradiction.
    pub(crate) fn decided(&mut self, events: &[Event], state: &State) -> Vec<String> {
        let mut faults: Vec<String> =
            events.iter().filter_map(|event| self.happened(event)).collect();
        match &state.correlation {
            Correlation::AwaitingFlow(_) | Correlation::Open(_) => {}
            Correlation::Unknown | Correlation::Silent { .. } | Correlation::Ended { .. } => {
                faults.extend(self.lost("the correlation is over"));
            }
        }
        faults
    }

    fn happened(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::ReportAccepted { report, .. } => {
                let of = (report.account, report.sms.clone());
                self.0.insert(of, report.source.clone());
                None
            }
            Event::RecordIgnored(IgnoredRecord { waited: true, account, sms, .. }) => {
                self.ended(Some(*account), sms.as_ref(), "ignored")
            }
            Event::RecordDeadLettered { record, .. } if record.sms.is_some() => {
                self.ended(record.account, record.sms.as_ref(), "given up")
            }
            Event::DeliveryScheduled { delivery, sms } => {
                self.0
                    .retain(|(account, own), _| *account != delivery.account || !sms.contains(own));
                None
            }
            Event::ReportTimedOut { .. } => {
                self.0.clear();
                None
            }
            Event::CorrelationEnded => self.lost("correlation_ended"),
            Event::FlowStarted { .. }
            | Event::FlowAccepted(_)
            | Event::FlowSilenced { .. }
            | Event::ReportAdopted { .. }
            | Event::RecordIgnored(_)
            | Event::RecordDeadLettered { .. }
            | Event::DeliveryRendered { .. }
            | Event::CollectionClosed(_)
            | Event::Gathering(_)
            | Event::AttemptFailed { .. }
            | Event::Delivered { .. }
            | Event::DeadLettered { .. }
            | Event::Replayed { .. }
            | Event::RuleSkipped(_)
            | Event::RuleDeferred(_)
            | Event::RuleJudged(_)
            | Event::OutcomeKept { .. }
            | Event::MarkerKept { .. }
            | Event::MarkerExpired
            | Event::StartExpired => None,
        }
    }

    fn ended(
        &mut self,
        account: Option<AccountId>,
        sms: Option<&SmsId>,
        how: &str,
    ) -> Option<String> {
        let of = (account?, sms?.clone());
        let says = format!("the report of {} is {how}, but is unknown or has ended before", of.1);
        self.0.remove(&of).is_none().then_some(says)
    }

    fn lost(&mut self, at: &str) -> Option<String> {
        let left = std::mem::take(&mut self.0);
        let says = || format!("{at}, but these accepted reports have not ended: {left:?}");
        (!left.is_empty()).then(says)
    }
}
