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

mod internal;
mod request;
#[cfg(test)]
mod tests;

pub use internal::{Group, Internal};
pub use request::{Request, RequestParts};

use crate::domain::{BodyKind, Facts, Render, Rendered};
use bytes::Bytes;
use facts::write_values;
use std::collections::BTreeSet;
use std::sync::Arc;
use template::{FormTemplate, JsonTemplate, Use, Values as _, Variable, XmlTemplate};

/// No rendered body is longer: its dead letter, where each of its quotes is two characters, must fit into a record.
const BODY_BYTES_MAX: usize = 6 << 20;
/// What is kept for URL, query and headers; no server takes as much.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// The body of a webhook's requests.
#[derive(Debug)]
pub enum Body {
    /// The predefined one of its phase.
    Predefined,
    /// JSON with variables.
    Json(JsonTemplate),
    /// XML with variables.
    Xml(XmlTemplate),
    /// A form with variables.
    Form(FormTemplate),
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
            Self::Json(template) => template.variables(),
            Self::Xml(template) => template.variables(),
            Self::Form(template) => template.variables(),
            Self::Predefined | Self::None | Self::Internal(_) => &[],
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

impl Render for Definition {
    fn render(&self, predefined: &Bytes, facts: &Facts) -> Result<(Bytes, Rendered), Box<str>> {
        let mapped: Vec<(&str, &str)> =
            facts.mapped.iter().map(|it| (&*it.save_in, &*it.value)).collect();
        let record = facts.record.as_deref();
        let values = facts::Facts::new(record, &facts.reports, &mapped, catalogue::nested());
        if self.is_long(facts, &values) {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        let mut out = Vec::new();
        let (kind, rendered) = match &self.body {
            Body::Predefined => (BodyKind::Json, Ok(())),
            Body::None => (BodyKind::None, Ok(())),
            Body::Json(template) => (BodyKind::Json, template.render(&values, &mut out)),
            Body::Xml(template) => (BodyKind::Xml, template.render(&values, &mut out)),
            Body::Form(template) => (BodyKind::Form, template.render(&values, &mut out)),
            Body::Internal(internal) => {
                internal.render(&values, &mut out);
                (BodyKind::Json, Ok(()))
            }
        };
        let mut problems: Vec<String> = rendered.err().iter().map(ToString::to_string).collect();
        if let Some(request) = &self.request {
            problems.extend(request.render(&values).err());
        }
        if !problems.is_empty() {
            return Err(problems.join("; ").into());
        }
        let is_predefined = matches!(self.body, Body::Predefined);
        let body = if is_predefined { predefined.clone() } else { out.into() };
        let mut kept = Vec::new();
        write_values(&self.kept, &values, &mut kept);
        if !is_predefined && body.len() > BODY_BYTES_MAX {
            return Err(too_long(BODY_BYTES_MAX, "body").into());
        }
        if kept.len() > VALUES_BYTES_MAX {
            return Err(too_long(VALUES_BYTES_MAX, "URL, query or headers").into());
        }
        Ok((body, Rendered { kind, values: kept.into() }))
    }

    fn uses(&self, variable: &str) -> bool {
        self.uses.contains(variable)
            || matches!(&self.body, Body::Internal(internal) if internal.uses(variable))
    }
}

/// The text of a variable's value: of a string what it spells, of another value its JSON text.
#[must_use]
pub fn look_up(facts: &Facts, variable: &str) -> Option<String> {
    let variable: Variable = variable.parse().ok()?;
    let mapped: Vec<(&str, &str)> =
        facts.mapped.iter().map(|it| (&*it.save_in, &*it.value)).collect();
    let record = facts.record.as_deref();
    let values = facts::Facts::new(record, &facts.reports, &mapped, catalogue::nested());
    let json = values.get(&variable)?;
    if json.starts_with('"') {
        return serde_json::from_str(&json).ok();
    }
    Some(json.into_owned())
}
