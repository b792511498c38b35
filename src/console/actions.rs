//! Changes that operators make to webhooks.

use super::Console;
use super::failure::Failure;
use super::fields::Fields;
use super::figures::no_webhook;
use super::visitor::Visitor;
use crate::codec::command::{COMMAND_HEADER, ENABLE_ENDPOINT, write_enable_endpoint};
use crate::codec::event::OperatorAction;
use crate::delivery::{Trial, Webhook};
use crate::domain::{Phase, WebhookName};
use crate::inspect::trial::{Prepared, TrialView};
use crate::log::{self, BroadcastError};
use crate::telemetry::with_causes;
use std::sync::Arc;

impl Console {
    /// Takes the phase of a test message.
    pub(super) fn phase(fields: &mut Fields) -> Result<Phase, Failure> {
        let phase = fields.parsed("phase", |text| match text {
            "1" => Ok(Phase::One),
            "2" => Ok(Phase::Two),
            _ => Err("it is neither 1 nor 2"),
        });
        Ok(phase?.unwrap_or(Phase::One))
    }

    fn find(&self, name: &str) -> Result<(super::Current, Arc<Webhook>), Failure> {
        let current = self.current()?;
        let known = WebhookName::new(name).and_then(|name| current.accounts.webhooks.get(&name));
        let webhook = known.map(|(webhook, _)| webhook.clone());
        let webhook = webhook.ok_or_else(|| no_webhook(&current, name))?;
        Ok((current, webhook))
    }

    /// Enables an endpoint on all instances. Returns the number of partitions whose instances get the command.
    pub(super) async fn enable(&self, visitor: &Visitor, name: &str) -> Result<u32, Failure> {
        let (_, webhook) = self.find(name)?;
        let (action, name) = (OperatorAction::EndpointEnabled, webhook.name.clone());
        self.audit(visitor, action, Some(name.as_str()), "").await?;
        let (kafka, topic) = (self.kafka.clone(), self.topics.inbox.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let mut value = Vec::new();
            write_enable_endpoint(&mut value, &name);
            let headers = [(COMMAND_HEADER, ENABLE_ENDPOINT.to_owned())];
            log::broadcast(&kafka, &topic, name.as_str().as_bytes(), &value, &headers)
        });
        let sent = sent.await.map_err(|error| Failure::of_task(&error))?;
        sent.map_err(|error| match error {
            BroadcastError::NoTopic(_) => Failure::Missing(error.to_string()),
            BroadcastError::Kafka(_) => Failure::Unavailable(with_causes(&error)),
        })
    }

    /// Sends a test message to a webhook, and passes the result to `show`.
    pub(super) async fn test<T>(
        &self,
        visitor: &Visitor,
        name: &str,
        phase: Phase,
        show: impl FnOnce(&TrialView<'_>) -> T,
    ) -> Result<T, Failure> {
        let (current, webhook) = self.find(name)?;
        let attach_keys = current.accounts.accounts.get(&webhook.account);
        let attach_keys = attach_keys.is_some_and(|account| account.attach_flow_keys);
        let definitions = &current.accounts.definitions;
        let prepared = Prepared::new(&webhook, definitions, attach_keys, phase)
            .map_err(|error| Failure::Conflict(error.to_string()))?;
        let detail = format!("phase {}, {}", phase.number(), prepared.message.id());
        self.audit(visitor, OperatorAction::TestSent, Some(name), &detail).await?;
        let made = Trial::make(
            &webhook,
            &current.trust,
            &current.addresses,
            &current.names,
            &prepared.message,
        )
        .await;
        let trial = made.map_err(|error| Failure::Conflict(with_causes(&error)))?;
        Ok(show(&TrialView::of(&webhook, &webhook.shown_url(), &prepared, &trial)))
    }
}
