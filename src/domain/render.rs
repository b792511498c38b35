//! Webhooks beyond the predefined bodies: the facts that they are rendered from, and the results.

use super::{DeliveryId, ErrorReason, Mapped, Outcome, WebhookName};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The parts of a delivery's request beside its body.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Rendering {
    /// The body is predefined, and no other part varies.
    #[default]
    Fixed,
    /// The delivery is rendered.
    Done(Rendered),
    /// The delivery is not rendered yet.
    Pending(Box<Pending>),
}

impl Rendering {
    /// Returns the rendered parts, or `None` if nothing is rendered.
    #[must_use]
    pub const fn rendered(&self) -> Option<&Rendered> {
        match self {
            Self::Done(rendered) => Some(rendered),
            Self::Fixed | Self::Pending(_) => None,
        }
    }
}

/// The rendered parts beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The content type of the body.
    pub content_type: ContentType,
    /// The values of the variables in URL, query and headers, as a JSON object.
    pub values: Bytes,
}

/// The content type of a body; `None` if there is no body.
pub type ContentType = Option<Cow<'static, str>>;

/// The input of a later rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The facts, which deliveries and rules of one occasion share.
    pub facts: Arc<Facts>,
    /// The deliveries to wait for. They may give values to the variables, or must be sent first.
    pub after: Vec<DeliveryId>,
    /// The webhooks whose outcome the variables of [`OUTCOME_VARIABLES`] have: of these, the one that ended last.
    pub outcome_of: Vec<WebhookName>,
}

impl Pending {
    /// Returns the input of a rendering that waits for nothing.
    #[must_use]
    pub fn of(facts: impl Into<Arc<Facts>>) -> Self {
        Self { facts: facts.into(), after: Vec::new(), outcome_of: Vec::new() }
    }
}

/// The variables that have the outcome of the webhook after which another one comes. The platform sets them when a
/// webhook has ended.
pub const OUTCOME_VARIABLES: [&str; 7] = [
    "$flow.key.response_status",
    "$flow.key.response_status_code",
    "$flow.key.response_status_type",
    "$flow.key.response_duration",
    "$flow.key.response_raw",
    "$flow.key.response_error",
    "$flow.key.error_reason",
];

/// Everything that is known when a webhook is rendered or a condition judged.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    /// The flow complete record, or the call begin record, as compact JSON.
    pub record: Option<Bytes>,
    /// The reports of the occasion, as JSON.
    pub reports: Vec<Bytes>,
    /// The values from answers to earlier webhooks of the same uuid.
    pub mapped: Vec<Mapped>,
}

impl Facts {
    /// Returns the facts together with the newer values of `mapped`.
    #[must_use]
    pub fn with(mut self, mapped: &[Mapped]) -> Self {
        merge(&mut self.mapped, mapped);
        self
    }

    /// Returns the facts with the values of an outcome, which replace those of any other outcome.
    #[must_use]
    pub fn with_outcome(mut self, values: &[Mapped]) -> Self {
        self.mapped.retain(|known| !OUTCOME_VARIABLES.contains(&&*known.save_in));
        self.mapped.extend_from_slice(values);
        self
    }
}

/// Adds `newer` to `mapped`. The last value of a variable counts.
pub(super) fn merge(mapped: &mut Vec<Mapped>, newer: &[Mapped]) {
    for value in newer {
        mapped.retain(|known| known.save_in != value.save_in);
        mapped.push(value.clone());
    }
}

/// The configured webhooks' bodies, requests and answers: the part of the definition language that decisions need. All
/// methods are pure.
pub trait Definitions: fmt::Debug + Send + Sync {
    /// Returns the predefined body of phase 2, from the uuid, the reports as JSON, and the flow's keys as JSON.
    fn phase2(&self, uuid: &str, sms_details: &[Bytes], keys: Option<&Bytes>) -> Bytes;

    /// Returns the entry of phase 2 for an SMS without a report.
    fn unknown(&self, sms: &str) -> Bytes;

    /// Returns whether `webhook` is configured.
    fn contains(&self, webhook: &WebhookName) -> bool;

    /// Returns the reports in the predefined body of a delivery, as JSON. A body without reports has none.
    fn reports(&self, predefined: &Bytes) -> Vec<Bytes>;

    /// Returns whether requests of `webhook` have the predefined body of their occasion.
    fn has_predefined_body(&self, webhook: &WebhookName) -> bool;

    /// Returns whether requests of `webhook` must be rendered. Otherwise their body is predefined, and no other part
    /// varies.
    fn is_rendered(&self, webhook: &WebhookName) -> bool;

    /// Returns whether `webhook` uses `variable`, spelt like `$flow.key.reqID`. `$flow.key.*` means any of the family.
    fn uses(&self, webhook: &WebhookName, variable: &str) -> bool;

    /// Returns the variables to which answers of `webhook` may give a value. `$flow.key.*` means a whole family.
    fn saves(&self, webhook: &WebhookName) -> &[Box<str>];

    /// Returns whether `webhook` names one of [`OUTCOME_VARIABLES`].
    fn takes_outcome(&self, webhook: &WebhookName) -> bool;

    /// Returns the values of [`OUTCOME_VARIABLES`] after a delivery has ended. `outcome` is that of its last attempt, if
    /// there was one. Variables that do not apply are left out.
    fn outcome(
        &self,
        end: WebhookEnd,
        outcome: Option<&Outcome>,
        reason: Option<ErrorReason>,
    ) -> Vec<Mapped>;

    /// Reads `facts` for all questions of one decision. Each part is read once, when it is first needed.
    fn read<'f>(&'f self, facts: &'f Facts) -> Box<dyn Reading + 'f>;
}

/// Facts whose variables can be read.
pub trait Reading {
    /// Returns the value of a variable as text, or `None` if it has no value.
    fn text(&self, variable: &str) -> Option<String>;

    /// Renders `webhook`: the body, and the other parts of the request. `predefined` is the body of a webhook that
    /// defines none.
    ///
    /// # Errors
    /// Something that the webhook needs has no value. The text says what, for operators.
    fn render(
        &self,
        webhook: &WebhookName,
        predefined: &Bytes,
    ) -> Result<(Bytes, Rendered), Box<str>>;

    /// Reads `facts`, which differ from these in their reports only. All other parts are read once for both.
    fn with_reports<'r>(&'r self, facts: &'r Facts) -> Box<dyn Reading + 'r>;
}

/// A rule: when a webhook beside the two phases is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The triggers. Any of them is enough.
    pub on: Vec<Trigger>,
    /// The conditions. All of them must hold.
    pub when: Vec<Condition>,
    pub webhook: WebhookName,
    /// The webhook that must have ended before. Its outcome is at hand.
    pub after: Option<WebhookName>,
    /// Whether the rule also applies to flows that do not enable their webhooks.
    pub any_flow: bool,
}

impl Rule {
    /// Returns the triggers about the end of `webhook`.
    pub(super) fn upon_end_of(&self, webhook: &WebhookName) -> impl Iterator<Item = &Trigger> {
        self.on.iter().filter(move |on| matches!(on, Trigger::Webhook(name, _) if name == webhook))
    }
}

/// What triggers a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The call begin record.
    FlowStarted,
    /// The flow complete record.
    FlowComplete,
    /// A report with this status, in capitals.
    Sms(Box<str>),
    /// A report with a final status.
    SmsFinal,
    /// Not all reports came in time.
    ReportTimedOut,
    /// A delivery of this webhook ended in this way.
    Webhook(WebhookName, WebhookEnd),
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookEnd {
    /// The endpoint accepted it.
    Delivered,
    /// It became a dead letter.
    Failed,
}

impl WebhookEnd {
    /// Both ends.
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Failed];

    /// Returns the word that triggers use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl Trigger {
    /// Returns the webhook whose end triggers the rule, or `None` if something else does.
    #[must_use]
    pub const fn webhook(&self) -> Option<&WebhookName> {
        match self {
            Self::Webhook(name, _) => Some(name),
            Self::FlowStarted
            | Self::FlowComplete
            | Self::Sms(_)
            | Self::SmsFinal
            | Self::ReportTimedOut => None,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlowStarted => f.write_str("flow_started"),
            Self::FlowComplete => f.write_str("flow_complete"),
            Self::Sms(status) => write!(f, "sms:{status}"),
            Self::SmsFinal => f.write_str("sms:final"),
            Self::ReportTimedOut => f.write_str("report_timed_out"),
            Self::Webhook(name, end) => write!(f, "webhook:{name}:{}", end.as_str()),
        }
    }
}

/// A condition of a rule. Values are compared as text: the number 5 equals the text 5, and 5.0 does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The variable's key, such as `$flow.key.department`.
    pub variable: Box<str>,
    pub test: Test,
}

/// The test of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The value is one of these.
    OneOf(Vec<Box<str>>),
    /// The variable has a value (`true`), or has none (`false`).
    Present(bool),
}

impl Condition {
    /// Returns whether `saved`, a variable of an answer or a family such as `$flow.key.*`, gives it a value.
    #[must_use]
    pub fn is_about(&self, saved: &str) -> bool {
        match saved.strip_suffix('*') {
            Some(family) => self.variable.starts_with(family),
            None => *saved == *self.variable,
        }
    }

    /// Returns whether the condition holds for `value`.
    pub(super) fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::OneOf(wanted) => {
                value.is_some_and(|value| wanted.iter().any(|it| **it == *value))
            }
            Test::Present(wanted) => value.is_some() == *wanted,
        }
    }
}
