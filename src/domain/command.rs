//! The commands to a correlation. Every change begins with one of them.

use super::{
    DeadLetterReason, Delivery, DeliveryId, DeliveryReport, FlowComplete, FlowStarted, Outcome,
    PhononUuid, Source,
};

/// An input to [`super::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A call begin record arrived.
    AcceptStart(Box<FlowStarted>, Source),
    /// A flow complete record arrived.
    AcceptFlow(Box<FlowComplete>, Source),
    /// A delivery report arrived.
    AcceptReport(Box<DeliveryReport>, Source),
    RecordOutcome {
        delivery: DeliveryId,
        /// The number of the attempt; the first is 1.
        attempt: u32,
        outcome: Outcome,
    },
    /// A delivery becomes a dead letter without another attempt.
    GiveUp { delivery: DeliveryId, reason: DeadLetterReason },
    /// The time of [`super::State::timer`] has come.
    FireTimer(PhononUuid),
    /// An operator sends a dead letter again. The delivery is the one that the dead letter contains.
    Replay(Box<Delivery>),
    /// The owner of an endpoint gets a notice. It belongs to no flow.
    Notify(Box<Delivery>),
}
