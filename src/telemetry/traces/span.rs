//! A span: one step of a trace, with its begin and its end.

use crate::domain::TraceContext;
use std::sync::Arc;
use std::time::Duration;

/// The part that the daemon has in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A step inside the daemon.
    Internal,
    /// A request to an endpoint.
    Client,
    /// The processing of a record.
    Consumer,
}

/// The value of an attribute. Attributes contain names, positions and numbers, and nothing of a body, of a URL's path or
/// query, or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A word of a closed set.
    Word(&'static str),
    /// A text, such as the name of a topic.
    Text(Arc<str>),
    Integer(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// One step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace, and the span's own id.
    pub context: TraceContext,
    /// The id of the span that caused this one. `None`: this one is the first of its trace.
    pub parent: Option<u64>,
    /// Whether another program made the parent.
    pub is_parent_remote: bool,
    pub kind: SpanKind,
    /// Has few values, so that spans can be grouped by it.
    pub name: String,
    /// The time since the Unix epoch.
    pub begin: Duration,
    /// The time since the Unix epoch; not before `begin`.
    pub end: Duration,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether the step failed.
    pub is_error: bool,
}

impl Span {
    /// Returns a span inside the daemon.
    #[must_use]
    pub fn internal(
        context: TraceContext,
        parent: u64,
        name: &str,
        (begin, end): (Duration, Duration),
    ) -> Self {
        Self {
            context,
            parent: Some(parent),
            is_parent_remote: false,
            kind: SpanKind::Internal,
            name: name.to_owned(),
            begin,
            end: end.max(begin),
            attributes: Vec::new(),
            is_error: false,
        }
    }
}
