//! The body of a webhook's requests.

use super::definition::{doubtful, named, say};
use super::entry::{BodyName, TemplateText, WebhookEntry};
use super::internal;
use super::template::Template;
use crate::definition::Body;
use crate::definition::catalogue::Methods;
use crate::definition::template::{BodyTemplate, Language, Tokens, Variable};
use crate::delivery::Secret;
use crate::document::{Context, Place};
use std::collections::BTreeSet;

/// What the texts of a body may use.
pub(super) struct Texts<'a> {
    pub(super) tokens: &'a Tokens,
    /// The template that the entry names, if that can be used.
    pub(super) template: Option<&'a Template>,
    /// The variables that must have a value.
    pub(super) mandatory: &'a BTreeSet<Variable>,
    /// The variables that may lack a value.
    pub(super) optional: &'a BTreeSet<Variable>,
    /// The functions of the platform.
    pub(super) methods: &'a Methods,
}

impl Texts<'_> {
    pub(super) fn needs(&self, variable: &Variable) -> bool {
        self.mandatory.contains(&variable.plain())
    }
}

/// A body with the secrets that its stored form has placeholders for.
pub(super) struct Read {
    pub(super) body: Body,
    pub(super) secrets: Vec<(String, Secret)>,
}

impl From<Body> for Read {
    fn from(body: Body) -> Self {
        Self { body, secrets: Vec::new() }
    }
}

/// Reads the body of `entry`, and reports its faults.
pub(super) fn read(
    entry: &WebhookEntry,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Read> {
    if entry.body != BodyName::Internal {
        let there = [
            ("method_name", entry.method_name.is_some()),
            ("parameters", !entry.parameters.is_empty()),
            ("values", !entry.values.is_empty()),
        ];
        for (key, _) in there.into_iter().filter(|(_, is_there)| *is_there) {
            let problem = "is allowed for internal webhooks only";
            context.fault(&place.key(key), problem, "remove it, or write body = \"internal\"");
        }
    }
    if matches!(entry.template, Some(TemplateText::Named { .. })) {
        // The check reports a reference without a name.
        return of_template(entry, named(entry)?, texts, place, context).map(Read::from);
    }
    let language = entry.body.language();
    let text = template_text(entry, language.is_some(), place, context);
    let key = if entry.template_file.is_some() { "template_file" } else { "template" };
    let place_of_text = place.key(key);
    let Some(language) = language else {
        return match entry.body {
            BodyName::Internal => internal::read(entry, texts, place, context).map(|internal| {
                Read { secrets: internal.secrets, ..Read::from(Body::Internal(internal.call)) }
            }),
            BodyName::None => Some(Body::None.into()),
            BodyName::Predefined
            | BodyName::Json
            | BodyName::Xml
            | BodyName::Form
            | BodyName::FormData
            | BodyName::Multipart => Some(Body::Predefined.into()),
        };
    };
    let text = text?;
    doubtful(&text, &place_of_text, context);
    let needs = |variable: &Variable| texts.needs(variable);
    let parsed = BodyTemplate::parse(language, &text, texts.tokens, &needs).map(Body::Template);
    parsed.map(Read::from).map_err(|faults| say("", &faults, &place_of_text, context)).ok()
}

/// Reads the body of a webhook that names a template.
fn of_template(
    entry: &WebhookEntry,
    name: &str,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Body> {
    if entry.template_file.is_some() {
        let problem = "`template` is set too";
        context.fault(&place.key("template_file"), problem, "keep one of them");
    }
    // The template was looked up, and the fault is reported if it can't be used.
    let template = texts.template?;
    let of_body = place.key("body");
    if of_body.is_there() && entry.body.language() != Some(template.language) {
        let kind = match template.language {
            Language::Json => "json",
            Language::Xml => "xml",
            Language::Form => "form",
            Language::Multipart => "multipart",
        };
        let problem = format!("is not the type of the template `{name}`, which is {kind}");
        context.fault(&of_body, problem, "remove it: the template says what the body is");
    }
    let needs = |variable: &Variable| texts.needs(variable);
    match BodyTemplate::parse(template.language, &template.text, texts.tokens, &needs) {
        Ok(parsed) => Some(Body::Template(parsed)),
        Err(faults) => {
            let what = format!("in the template `{name}`, ");
            say(&what, &faults, &place.key("template"), context);
            None
        }
    }
}

fn template_text(
    entry: &WebhookEntry,
    wanted: bool,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<String> {
    let (key, name) = match (&entry.template, &entry.template_file) {
        (Some(_), Some(_)) => {
            let problem = "`template` is set too";
            context.fault(&place.key("template_file"), problem, "keep one of them");
            return None;
        }
        (Some(_), None) => ("template", None),
        (None, Some(name)) => ("template_file", Some(name)),
        (None, None) if wanted => {
            let fix = "write template = \"…\", or template_file = \"PATH\"";
            context.fault(&place.key("body"), "needs a template", fix);
            return None;
        }
        (None, None) => return None,
    };
    if !wanted {
        let problem = "has no effect: a webhook with this `body` has no template";
        context.fault(
            &place.key(key),
            problem,
            "remove it, or set `body` to the kind of the template",
        );
        return None;
    }
    match (name, &entry.template) {
        (Some(name), _) => context.text_of_file(&place.key(key), name),
        (None, Some(TemplateText::Text(text))) => Some(text.clone()),
        (None, Some(TemplateText::Named { .. }) | None) => None,
    }
}
