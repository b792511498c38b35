//! The language of webhook definitions: the body, and the URL, query and headers, all with variables.
//!
//! - [`template`]: text with variables, each rendered and escaped for its place.
//! - [`facts`]: the sources of the values of variables.
//! - [`mapping`]: the values to keep of an endpoint's answer, found by JSON path or XPath.
//! - [`body`]: the predefined bodies of the webhooks.
//! - [`catalogue`]: the tokens and internal webhooks that the platform's customers know by name.
//! - [`example`]: from an example of an answer to a map of all its values.
//!
//! The body is rendered once: when its delivery is scheduled, or when the deliveries that it waits for have ended. URL,
//! query and headers are rendered for each attempt, from values that were kept with the body. So the secrets in them
//! are never stored, and waiting deliveries go to the new address when a definition's URL changes.

pub mod body;
pub mod catalogue;
pub mod example;
pub mod facts;
pub mod mapping;
pub mod template;

mod body_secrets;
mod definitions;
mod internal;
mod outcome;
mod request;
#[cfg(test)]
mod tests;

pub use crate::xpath::nearest;
pub use body_secrets::BodySecrets;
pub use definitions::Defined;
pub use internal::{Given, Group, Internal};
pub use request::{Credentials, Request, RequestParts};

use crate::domain::{Facts, OUTCOME_VARIABLES, Rendered};
use bytes::Bytes;
use facts::write_values;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use template::{BodyTemplate, Language, Use, Values as _, Variable};

/// The longest rendered body. Its dead letter, where each quote takes two characters, must fit into a record.
const BODY_BYTES_MAX: usize = 6 << 20;
/// The most bytes of values to keep for URL, query and headers. No server accepts that many.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// The body of a webhook's requests.
#[derive(Debug)]
pub enum Body {
    /// The predefined body of its phase.
    Predefined,
    /// A body with variables.
    Template(BodyTemplate),
    None,
    /// A call of one of the platform's own functions.
    Internal(Internal),
}

impl Body {
    /// Returns the variables in the body's text.
    #[must_use]
    pub fn variables(&self) -> &[Use] {
        match self {
            Self::Template(template) => template.variables(),
            Self::Internal(internal) => internal.variables(),
            Self::Predefined | Self::None => &[],
        }
    }

    /// Returns the content type, or `None` if there is no body.
    #[must_use]
    pub const fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Template(template) => Some(template.content_type()),
            Self::Predefined | Self::Internal(_) => Some(Language::Json.content_type()),
            Self::None => None,
        }
    }
}

/// A definition, ready to be rendered.
#[derive(Debug)]
pub struct Definition {
    body: Body,
    request: Option<Arc<Request>>,
    uses: BTreeSet<String>,
    /// Whether `uses` contains a variable of an outcome, which each end of a delivery asks.
    takes_outcome: bool,
}

impl Definition {
    /// Creates a definition. `request` is given if URL, query or headers contain variables.
    #[must_use]
    pub fn new(body: Body, request: Option<Arc<Request>>) -> Self {
        let in_body = body.variables().iter().map(|found| &found.variable);
        let all = in_body.chain(kept(request.as_deref()));
        let all = all.filter(|variable| variable.constant().is_none());
        let uses: BTreeSet<String> = all.map(Variable::key).collect();
        let takes_outcome = OUTCOME_VARIABLES.iter().any(|variable| uses.contains(*variable));
        Self { body, request, uses, takes_outcome }
    }

    /// Returns the variables that URL, query, headers and body name.
    #[must_use]
    pub const fn variables(&self) -> &BTreeSet<String> {
        &self.uses
    }

    /// Returns whether nothing has to be rendered before an attempt.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        // A predefined body has no variables.
        self.has_predefined_body() && self.uses.is_empty()
    }

    /// Returns whether requests have the predefined body of their occasion.
    #[must_use]
    pub const fn has_predefined_body(&self) -> bool {
        matches!(self.body, Body::Predefined)
    }

    /// Returns the variables to which the answer of a function of the platform gives values by their names.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        let method = match &self.body {
            Body::Internal(internal) => Some(&internal.method),
            Body::Predefined | Body::Template(_) | Body::None => None,
        };
        method.into_iter().flat_map(|method| &method.response).map(String::as_str)
    }

    /// Returns whether rendering needs more of a flow than the predefined bodies contain.
    #[must_use]
    pub fn uses_variables(&self) -> bool {
        !self.uses.is_empty() || matches!(self.body, Body::Internal(_))
    }
}

/// Returns the variables of URL, query and headers, whose values are kept with the body.
fn kept(request: Option<&Request>) -> impl Iterator<Item = &Variable> {
    request.into_iter().flat_map(Request::variables).map(|found| &found.variable)
}

fn too_long(max: usize, what: &str) -> String {
    format!("the values make the {what} longer than {max} bytes")
}

impl Definition {
    /// Returns whether the values together are longer than a body may be. A template may use a small record a thousand
    /// times.
    fn is_long(&self, facts: &Facts, values: &facts::Facts<'_, '_>) -> bool {
        let uses = self.body.variables();
        let reports: usize = facts.reports.iter().map(Bytes::len).sum();
        let mapped: usize = facts.mapped.iter().map(|it| it.value.len()).sum();
        let known = facts.record.as_ref().map_or(0, Bytes::len) + reports + mapped;
        // Most definitions are far below the limit. Their values are not looked up twice.
        known.saturating_mul(uses.len()) > BODY_BYTES_MAX
            && uses
                .iter()
                .map(|found| values.get(&found.variable).map_or(0, |json| json.len()))
                .sum::<usize>()
                > BODY_BYTES_MAX
    }
}

impl Definition {
    /// Renders the body and the values to keep for the request. `predefined` is the body of a webhook that defines
    /// none. `values` are the values in `facts`.
    fn render(
        &self,
        predefined: &Bytes,
        facts: &Facts,
        values: &facts::Facts<'_, '_>,
    ) -> Result<(Bytes, Rendered), Box<str>> {
        if self.is_long(facts, values) {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        let mut out = Vec::new();
        let rendered = match &self.body {
            Body::Predefined | Body::None => Ok(()),
            Body::Template(template) => {
                template.render(values, &mut out).map_err(|missing| missing.to_string())
            }
            Body::Internal(internal) => internal.render(values, &mut out),
        };
        let mut problems: Vec<String> = rendered.err().into_iter().collect();
        if let Some(request) = &self.request {
            problems.extend(request.render(values).err());
        }
        if !problems.is_empty() {
            return Err(problems.join("; ").into());
        }
        let is_predefined = self.has_predefined_body();
        let body = if is_predefined { predefined.clone() } else { out.into() };
        let mut kept = Vec::new();
        write_values(self::kept(self.request.as_deref()), values, &mut kept);
        if !is_predefined && body.len() > BODY_BYTES_MAX {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        if kept.len() > VALUES_BYTES_MAX {
            return Err(too_long(VALUES_BYTES_MAX, "URL, query or headers").into());
        }
        let content_type = match &self.body {
            Body::Template(template) => Some(template.content_type_of(&body)),
            Body::Predefined | Body::Internal(_) | Body::None => {
                self.body.content_type().map(Cow::Borrowed)
            }
        };
        Ok((body, Rendered { content_type, values: kept.into() }))
    }

    /// Returns whether the definition uses `variable`, spelt as in `$flow.key.reqID`, or a variable of the family
    /// `$flow.key.*`.
    fn uses(&self, variable: &str) -> bool {
        let is_used = match variable.strip_suffix('*') {
            Some(family) => self.uses.iter().any(|used| used.starts_with(family)),
            None => self.uses.contains(variable),
        };
        is_used || matches!(&self.body, Body::Internal(internal) if internal.uses(variable))
    }
}
