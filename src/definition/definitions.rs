//! The definitions of all webhooks, as decisions use them.

use super::facts::Facts as Values;
use super::template::{Values as _, Variable};
use super::{Definition, body, catalogue, outcome};
use crate::domain::{
    Definitions, ErrorReason, Facts, Mapped, Outcome, Reading, Rendered, WebhookEnd, WebhookName,
};
use bytes::Bytes;
use imbl::OrdMap;
use std::sync::Arc;

/// The definitions of the configured webhooks, and the variables that the answers of each save.
#[derive(Clone, Debug, Default)]
pub struct Defined {
    webhooks: OrdMap<WebhookName, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    definition: Definition,
    saves: Vec<Box<str>>,
}

impl Defined {
    /// Adds a webhook. `saves` are the variables to which its answers may give a value.
    pub fn insert(&mut self, webhook: WebhookName, definition: Definition, saves: Vec<Box<str>>) {
        self.webhooks.insert(webhook, Arc::new(Entry { definition, saves }));
    }

    /// Takes the definition of `webhook` from `other`, or removes it if `other` has none.
    pub fn take_from(&mut self, other: &Self, webhook: &WebhookName) {
        match other.webhooks.get(webhook) {
            Some(entry) => drop(self.webhooks.insert(webhook.clone(), entry.clone())),
            None => drop(self.webhooks.remove(webhook)),
        }
    }

    /// Returns the definition of `webhook` if it has to be rendered.
    fn rendered(&self, webhook: &WebhookName) -> Option<&Definition> {
        let definition = &self.webhooks.get(webhook)?.definition;
        (!definition.is_fixed()).then_some(definition)
    }
}

impl Definitions for Defined {
    fn phase2(&self, uuid: &str, sms_details: &[Bytes], keys: Option<&Bytes>) -> Bytes {
        body::render_phase2(uuid, sms_details, keys)
    }

    fn unknown(&self, sms: &str) -> Bytes {
        body::render_unknown(sms)
    }

    fn contains(&self, webhook: &WebhookName) -> bool {
        self.webhooks.contains_key(webhook)
    }

    fn reports(&self, predefined: &Bytes) -> Vec<Bytes> {
        body::reports(predefined)
    }

    fn has_predefined_body(&self, webhook: &WebhookName) -> bool {
        self.webhooks.get(webhook).is_none_or(|entry| entry.definition.has_predefined_body())
    }

    fn is_rendered(&self, webhook: &WebhookName) -> bool {
        self.rendered(webhook).is_some()
    }

    fn uses(&self, webhook: &WebhookName, variable: &str) -> bool {
        self.rendered(webhook).is_some_and(|definition| definition.uses(variable))
    }

    fn saves(&self, webhook: &WebhookName) -> &[Box<str>] {
        self.webhooks.get(webhook).map_or(&[], |entry| &entry.saves)
    }

    fn takes_outcome(&self, webhook: &WebhookName) -> bool {
        self.rendered(webhook).is_some_and(|definition| definition.takes_outcome)
    }

    fn outcome(
        &self,
        end: WebhookEnd,
        outcome: Option<&Outcome>,
        reason: Option<ErrorReason>,
    ) -> Vec<Mapped> {
        outcome::values(end, outcome, reason)
    }

    fn read<'f>(&'f self, facts: &'f Facts) -> Box<dyn Reading + 'f> {
        let values = Values::of(facts, catalogue::nested());
        Box::new(Read { defined: self, facts, values })
    }
}

/// The facts for one decision. Each part is parsed once, when the first variable needs it.
struct Read<'r, 'f> {
    defined: &'r Defined,
    facts: &'r Facts,
    values: Values<'r, 'f>,
}

impl Reading for Read<'_, '_> {
    /// Returns the content of a string, and the JSON text of any other value.
    fn text(&self, variable: &str) -> Option<String> {
        let variable = Variable::of_key(variable)?;
        let json = self.values.get(&variable)?;
        if json.starts_with('"') {
            return serde_json::from_str(&json).ok();
        }
        Some(json.into_owned())
    }

    fn render(
        &self,
        webhook: &WebhookName,
        predefined: &Bytes,
    ) -> Result<(Bytes, Rendered), Box<str>> {
        let entry = self.defined.webhooks.get(webhook);
        let entry = entry.ok_or_else(|| format!("the webhook {webhook} is not configured"))?;
        entry.definition.render(predefined, self.facts, &self.values)
    }

    fn with_reports<'r>(&'r self, facts: &'r Facts) -> Box<dyn Reading + 'r> {
        let values = self.values.with_reports(&facts.reports);
        Box::new(Read { defined: self.defined, facts, values })
    }
}
