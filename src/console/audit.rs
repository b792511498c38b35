//! The events of what operators change. Each one is in Kafka before the change is made, so that no change lacks its event.

use super::Console;
use super::failure::Failure;
use super::visitor::Visitor;
use crate::clock;
use crate::codec::event::{OperatorAction, OperatorEvent, write_operator_event};
use crate::log::Sender;

impl Console {
    /// Writes the event of a change.
    ///
    /// # Errors
    /// Kafka does not acknowledge the event. Then the change must not be made.
    pub(super) async fn audit(
        &self,
        visitor: &Visitor,
        action: OperatorAction,
        webhook: Option<&str>,
        detail: &str,
    ) -> Result<(), Failure> {
        let event = OperatorEvent {
            action,
            operator: visitor.operator.to_string(),
            address: visitor.address.map(|address| address.to_string()),
            webhook: webhook.map(str::to_owned),
            detail: detail.to_owned(),
        };
        let instance = self.kafka.instance_id.clone();
        let mut value = Vec::new();
        write_operator_event(&mut value, clock::wall(), &instance, &event);
        tracing::info!(
            operator = %event.operator,
            address = event.address.as_deref().unwrap_or("unknown"),
            webhook = event.webhook.as_deref().unwrap_or(""),
            detail = %event.detail,
            "an operator requests a change: {}",
            action.as_str()
        );
        let (kafka, topic) = (self.kafka.clone(), self.topics.events.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let sender = Sender::open(&kafka, std::slice::from_ref(&topic))?;
            sender.send(&topic, Some(&instance), &value)?;
            sender.finish()
        });
        Ok(sent.await.map_err(|error| Failure::of_task(&error))??)
    }
}
