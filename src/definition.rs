//! The language of webhook definitions: what a definition says, its body, and the parts of its request that variables stand
//! in.
//!
//! - [`template`]: text with variables, rendered for the place where each stands.
//! - [`facts`]: where the values of variables come from.
//! - [`mapping`]: what of an endpoint's answer is kept, by JSON path or XPath.
//! - [`body`]: the predefined bodies of the webhooks.
//! - [`catalogue`]: what the platform's customers know by name: tokens, and internal webhooks.
//! - [`example`]: an example of an answer, as a map of all its values.
//!
//! The body is rendered once, when its delivery is scheduled or when what that waits for has ended. URL, query and headers are
//! rendered for each attempt, of values that were kept with the body: so a secret in the definition never leaves it, and a
//! definition that moves to another address takes its deliveries along.

pub mod body;
pub mod catalogue;
pub mod example;
pub mod facts;
pub mod mapping;
pub mod template;

mod definitions;
mod internal;
mod request;
#[cfg(test)]
mod tests;

pub use crate::xpath::nearest;
pub use definitions::Defined;
pub use internal::{Group, Internal};
pub use request::{Request, RequestParts};

use crate::domain::{Facts, Rendered};
use bytes::Bytes;
use facts::write_values;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use template::{BodyTemplate, Language, Use, Values as _, Variable};

/// No rendered body is longer: its dead letter, where each of its quotes is two characters, must fit into a record.
const BODY_BYTES_MAX: usize = 6 << 20;
/// What is kept for URL, query and headers; no server takes as much.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// The body of a webhook's requests.
#[derive(Debug)]
pub enum Body {
    /// The predefined one of its phase.
    Predefined,
    /// One with variables.
    Template(BodyTemplate),
    /// None.
    None,
    /// A call of one of the platform's own functions.
    Internal(Internal),
}

impl Body {
    /// The variables that stand in its text.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        match self {
            Self::Template(template) => template.variables(),
            Self::Predefined | Self::None | Self::Internal(_) => &[],
        }
    }

    /// Its content type; `None`: there is no body.
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
    /// What URL, query and headers use.
    kept: Vec<Variable>,
}

impl Definition {
    /// A definition of its parts; `request`: where URL, query or headers are more than fixed.
    #[must_use]
    pub fn new(body: Body, request: Option<Arc<Request>>) -> Self {
        let kept: Vec<Variable> = request
            .iter()
            .flat_map(|request| request.variables())
            .map(|found| found.variable.clone())
            .collect();
        let in_body = body.variables().iter().map(|found| &found.variable);
        let uses = in_body.chain(&kept).map(ToString::to_string).collect();
        Self { body, request, uses, kept }
    }

    /// Whether nothing of it has to be rendered before an attempt.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.body, Body::Predefined) && self.kept.is_empty()
    }

    /// Whether it needs more of a flow than the predefined bodies hold.
    #[must_use]
    pub fn uses_variables(&self) -> bool {
        !self.uses.is_empty() || matches!(self.body, Body::Internal(_))
    }
}

fn too_long(max: usize, what: &str) -> String {
    format!("the values make the {what} longer than {max} bytes")
}

impl Definition {
    /// Whether values would be put together for longer than a body may be: a small record may be used a thousand times.
    fn is_long(&self, facts: &Facts, values: &facts::Facts<'_>) -> bool {
        let uses = self.body.variables();
        let reports: usize = facts.reports.iter().map(Bytes::len).sum();
        let mapped: usize = facts.mapped.iter().map(|it| it.value.len()).sum();
        let known = facts.record.as_ref().map_or(0, Bytes::len) + reports + mapped;
        // Most are far from it, and are not looked up twice.
        known.saturating_mul(uses.len()) > BODY_BYTES_MAX
            && uses
                .iter()
                .map(|found| values.get(&found.variable).map_or(0, |json| json.len()))
                .sum::<usize>()
                > BODY_BYTES_MAX
    }
}

impl Definition {
    /// The body, and what else goes into the request; `predefined` is the body of a webhook that defines none, and `values` are
    /// those in `facts`.
    fn render(
        &self,
        predefined: &Bytes,
        facts: &Facts,
        values: &facts::Facts<'_>,
    ) -> Result<(Bytes, Rendered), Box<str>> {
        if self.is_long(facts, values) {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        let mut out = Vec::new();
        let rendered = match &self.body {
            Body::Predefined | Body::None => Ok(()),
            Body::Template(template) => template.render(values, &mut out),
            Body::Internal(internal) => {
                internal.render(values, &mut out);
                Ok(())
            }
        };
        let mut problems: Vec<String> = rendered.err().iter().map(ToString::to_string).collect();
        if let Some(request) = &self.request {
            problems.extend(request.render(values).err());
        }
        if !problems.is_empty() {
            return Err(problems.join("; ").into());
        }
        let is_predefined = matches!(self.body, Body::Predefined);
        let body = if is_predefined { predefined.clone() } else { out.into() };
        let mut kept = Vec::new();
        write_values(&self.kept, values, &mut kept);
        if !is_predefined && body.len() > BODY_BYTES_MAX {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        if kept.len() > VALUES_BYTES_MAX {
            return Err(too_long(VALUES_BYTES_MAX, "URL, query or headers").into());
        }
        let content_type = self.body.content_type().map(Cow::Borrowed);
        Ok((body, Rendered { content_type, values: kept.into() }))
    }

    /// Whether it uses `variable`, spelt as in `$flow.key.reqID`.
    fn uses(&self, variable: &str) -> bool {
        self.uses.contains(variable)
            || matches!(&self.body, Body::Internal(internal) if internal.uses(variable))
    }
}
