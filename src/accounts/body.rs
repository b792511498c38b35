//! The body of a webhook's requests.

use super::definition::{doubtful, named, say};
use super::entry::{BodyKind, BodyName, TemplateText, WebhookEntry};
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
    let kind = entry.body.kind();
    let text = template_text(entry, matches!(kind, BodyKind::Template(_)), place, context);
    match kind {
        BodyKind::Predefined => Some(Body::Predefined.into()),
        BodyKind::None => Some(Body::None.into()),
        BodyKind::Internal => internal::read(entry, texts, place, context).map(|internal| Read {
            secrets: internal.secrets,
            ..Read::from(Body::Internal(internal.call))
        }),
        BodyKind::Template(language) => {
            let key = if entry.template_file.is_some() { "template_file" } else { "template" };
            let place = place.key(key);
            let text = text?;
            doubtful(&text, &place, context);
            let needs = |variable: &Variable| texts.needs(variable);
            let text = Text { language, text: &text, tokens: texts.tokens, of: "" };
            text.parse(&needs, &place, context).map(|parsed| Body::Template(parsed).into())
        }
    }
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
    let Template { language, text, .. } = texts.template?;
    let of_body = place.key("body");
    if of_body.is_there() && entry.body.kind() != BodyKind::Template(*language) {
        let kind = language.word();
        let problem = format!("is not the type of the template `{name}`, which is {kind}");
        context.fault(&of_body, problem, "remove it: the template says what the body is");
    }
    let needs = |variable: &Variable| texts.needs(variable);
    let of = format!("in the template `{name}`, ");
    let text = Text { language: *language, text, tokens: texts.tokens, of: &of };
    text.parse(&needs, &place.key("template"), context).map(Body::Template)
}

/// A text of a body.
pub(super) struct Text<'a> {
    pub(super) language: Language,
    pub(super) text: &'a str,
    pub(super) tokens: &'a Tokens,
    /// The words before each fault that say which text has it.
    pub(super) of: &'a str,
}

impl Text<'_> {
    /// Parses the text, and reports its faults. `mandatory` says which variables must have a value.
    pub(super) fn parse(
        &self,
        mandatory: &dyn Fn(&Variable) -> bool,
        place: &Place<'_>,
        context: &mut Context<'_>,
    ) -> Option<BodyTemplate> {
        let parsed = BodyTemplate::parse(self.language, self.text, self.tokens, mandatory);
        parsed.map_err(|faults| say(self.of, &faults, place, context)).ok()
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
