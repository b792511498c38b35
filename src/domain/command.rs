//! What may be asked of a correlation. Every change enters as one of these.

use super::{
    DeadLetterReason, Delivery, DeliveryId, DeliveryReport, FlowComplete, FlowStarted, Outcome,
    PhononUuid, Source,
};

/// One input to [`super::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A call begin record came.
    AcceptStart(Box<FlowStarted>, Source),
    /// A flow complete record came.
    AcceptFlow(Box<FlowComplete>, Source),
    /// A delivery report came.
    AcceptReport(Box<DeliveryReport>, Source),
    /// An attempt ended.
    RecordOutcome {
        /// Whose attempt.
        delivery: DeliveryId,
        /// Which one; the first is 1.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// A delivery is given up without another attempt.
    GiveUp {
        /// Which.
        delivery: DeliveryId,
        /// Why.
        reason: DeadLetterReason,
    },
    /// The time of [`super::State::timer`] has come.
    FireTimer(PhononUuid),
    /// An operator wants a delivery that was given up to be sent after all: the delivery as its dead letter tells it.
    Replay(Box<Delivery>),
}
