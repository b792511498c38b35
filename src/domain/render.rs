//! What webhooks say beyond the predefined bodies: the facts that they are rendered of, and what became of them.

use super::{DeliveryId, Mapped, WebhookName};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// What goes into a delivery's request beside its body.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Rendering {
    /// Nothing that varies: the body is a predefined one.
    #[default]
    Fixed,
    /// The body is rendered.
    Done(Rendered),
    /// Nothing is rendered yet.
    Pending(Box<Pending>),
}

impl Rendering {
    /// What is kept of it, once it is done.
    #[must_use]
    pub const fn rendered(&self) -> Option<&Rendered> {
        match self {
            Self::Done(rendered) => Some(rendered),
            Self::Fixed | Self::Pending(_) => None,
        }
    }
}

/// What is kept of a rendering beside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What the body is.
    pub content_type: ContentType,
    /// The values of the variables in URL, query and headers, as a JSON object.
    pub values: Bytes,
}

/// The content type of a body; `None`: there is no body.
pub type ContentType = Option<Cow<'static, str>>;

/// What a delivery will be rendered of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The facts.
    pub facts: Facts,
    /// What it waits for: they may give values to its variables, or come first.
    pub after: Vec<DeliveryId>,
}

/// What is known when something is rendered.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    /// The flow complete record, or the call begin record, as compact JSON.
    pub record: Option<Bytes>,
    /// The reports that it is about, as JSON.
    pub reports: Vec<Bytes>,
    /// What answers to earlier webhooks of the same uuid gave.
    pub mapped: Vec<Mapped>,
}

impl Facts {
    /// The same with what answers gave since.
    #[must_use]
    pub fn with(&self, mapped: &[Mapped]) -> Self {
        let mut facts = self.clone();
        merge(&mut facts.mapped, mapped);
        facts
    }
}

/// Takes over `newer`; the last value of a variable counts.
pub(super) fn merge(mapped: &mut Vec<Mapped>, newer: &[Mapped]) {
    for value in newer {
        mapped.retain(|known| known.save_in != value.save_in);
        mapped.push(value.clone());
    }
}

/// What the configured webhooks say, and what their answers give: the language of definitions, as far as decisions speak it. All
/// of it is pure.
pub trait Definitions: fmt::Debug + Send + Sync {
    /// The predefined body of phase 2: the uuid, the reports as JSON, and the flow's keys as JSON.
    fn phase2(&self, uuid: &str, sms_details: &[Bytes], keys: Option<&Bytes>) -> Bytes;

    /// What phase 2 says of an SMS of which nothing is known.
    fn unknown(&self, sms: &str) -> Bytes;

    /// Whether `webhook` is configured.
    fn contains(&self, webhook: &WebhookName) -> bool;

    /// Whether requests of `webhook` have to be rendered; else their body is a predefined one, and nothing varies in them.
    fn is_rendered(&self, webhook: &WebhookName) -> bool;

    /// Whether `webhook` uses `variable`, spelt as in `$flow.key.reqID`.
    fn uses(&self, webhook: &WebhookName, variable: &str) -> bool;

    /// The variables that answers of `webhook` may give a value.
    fn saves(&self, webhook: &WebhookName) -> &[Box<str>];

    /// Reads `facts` for all that is asked of them on one occasion: each part once, when it is first needed.
    fn read<'f>(&'f self, facts: &'f Facts) -> Box<dyn Reading + 'f>;
}

/// Facts that were read.
pub trait Reading {
    /// The text of a variable's value, if it has one.
    fn text(&self, variable: &str) -> Option<String>;

    /// What `webhook` says of them: the body, and what else goes into the request; `predefined` is the body of a webhook that
    /// defines none.
    ///
    /// # Errors
    /// What has no value, for people.
    fn render(
        &self,
        webhook: &WebhookName,
        predefined: &Bytes,
    ) -> Result<(Bytes, Rendered), Box<str>>;
}

/// A webhook beside the two phases: when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Upon any of these.
    pub on: Vec<Trigger>,
    /// All of which must hold.
    pub when: Vec<Condition>,
    /// Where it goes.
    pub webhook: WebhookName,
}

/// What a rule's webhook is sent upon.
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
    /// The reports did not all come in time.
    ReportTimedOut,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlowStarted => f.write_str("flow_started"),
            Self::FlowComplete => f.write_str("flow_complete"),
            Self::Sms(status) => write!(f, "sms:{status}"),
            Self::SmsFinal => f.write_str("sms:final"),
            Self::ReportTimedOut => f.write_str("report_timed_out"),
        }
    }
}

/// What must hold of a variable. Values are compared as text: the number 5 is the text 5, and 5.0 is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// As in `$flow.key.department`.
    pub variable: Box<str>,
    /// What of it.
    pub test: Test,
}

/// What a condition asks of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is one of these.
    OneOf(Vec<Box<str>>),
    /// It is there, or it is not.
    Present(bool),
}

impl Condition {
    /// Whether it holds of `value`.
    pub(super) fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::OneOf(wanted) => {
                value.is_some_and(|value| wanted.iter().any(|it| **it == *value))
            }
            Test::Present(wanted) => value.is_some() == *wanted,
        }
    }
}
