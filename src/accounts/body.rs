//! The body of a webhook's requests.

use super::definition::{doubtful, named, say};
use super::entry::{BodyName, GroupName, TemplateText, WebhookEntry};
use super::template::Template;
use crate::definition::template::{
    BodyTemplate, DefinitionPart, Language, TextTemplate, Tokens, Variable,
};
use crate::definition::{Body, Group, Internal, catalogue};
use crate::document::{Context, Place, nearest};
use std::collections::{BTreeMap, BTreeSet};

/// What the texts of a body may use.
pub(super) struct Texts<'a> {
    pub(super) tokens: &'a Tokens,
    /// The template that the entry names, if that can be used.
    pub(super) template: Option<&'a Template>,
    /// The variables that must have a value.
    pub(super) mandatory: &'a BTreeSet<Variable>,
}

impl Texts<'_> {
    fn needs(&self, variable: &Variable) -> bool {
        self.mandatory.contains(&variable.plain())
    }
}

/// Reads the body of `entry`, and reports its faults.
pub(super) fn read(
    entry: &WebhookEntry,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Body> {
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
        return of_template(entry, named(entry)?, texts, place, context);
    }
    let language = entry.body.language();
    let text = template_text(entry, language.is_some(), place, context);
    let key = if entry.template_file.is_some() { "template_file" } else { "template" };
    let place_of_text = place.key(key);
    let Some(language) = language else {
        return match entry.body {
            BodyName::Internal => internal(entry, texts, place, context).map(Body::Internal),
            BodyName::None => Some(Body::None),
            BodyName::Predefined | BodyName::Json | BodyName::Xml | BodyName::Form => {
                Some(Body::Predefined)
            }
        };
    };
    let text = text?;
    doubtful(&text, &place_of_text, context);
    let needs = |variable: &Variable| texts.needs(variable);
    let parsed = BodyTemplate::parse(language, &text, texts.tokens, &needs).map(Body::Template);
    parsed.map_err(|faults| say("", &faults, &place_of_text, context)).ok()
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

fn internal(
    entry: &WebhookEntry,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Internal> {
    let Some(name) = entry.method_name.as_deref() else {
        let fix = "write method_name = \"createOutbound\", or another of the platform's functions";
        context.fault(&place.key("body"), "is internal, but `method_name` is missing", fix);
        return None;
    };
    let Some(method) = catalogue::methods().get(name) else {
        let nearest = nearest(name, catalogue::methods().keys().map(String::as_str));
        let known: Vec<&str> = catalogue::methods().keys().map(String::as_str).collect();
        let fix = match nearest {
            Some(nearest) => format!("write `{nearest}`"),
            None => format!("write one of {}", known.join(", ")),
        };
        context.fault(&place.key("method_name"), "is not a function of the platform", fix);
        return None;
    };
    for (index, item) in entry.response.iter().flat_map(|it| &it.map).enumerate() {
        if let Some(variable) = item.save_in.as_deref()
            && !method.response.is_empty()
            && !method.answers(variable)
        {
            let place = place.key("response").key("map").item(index).key("save_in");
            let problem = format!("the answer of {name} has no {variable}");
            context.fault(&place, problem, format!("write one of {}", method.response.join(", ")));
        }
    }
    for variable in entry.values.keys() {
        if !method.wants(variable) {
            let problem = format!("{name} does not take {variable}");
            let fix = match method.request.as_slice() {
                [] => "remove it".to_owned(),
                some => format!("write one of {}", some.join(", ")),
            };
            context.fault(&place.key("values").key(variable), problem, fix);
        }
    }
    let groups = entry.parameters.iter().map(|group| match group {
        GroupName::Call => Group::Call,
        GroupName::FlowKey => Group::FlowKey,
        GroupName::UserKey => Group::UserKey,
    });
    let values = values(&entry.values, texts, &place.key("values"), context);
    Some(Internal::new(method, groups.collect(), values?))
}

/// Reads the values that a definition gives to variables of a function.
fn values(
    entries: &BTreeMap<String, String>,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<BTreeMap<String, TextTemplate>> {
    let mut values = BTreeMap::new();
    let needs = |variable: &Variable| texts.needs(variable);
    for (name, text) in entries {
        let place = place.key(name);
        doubtful(text, &place, context);
        let part = DefinitionPart::Value(name.as_str().into());
        match TextTemplate::parse(text, &part, &needs, texts.tokens) {
            Ok(value) => drop(values.insert(name.clone(), value)),
            Err(faults) => say("", &faults, &place, context),
        }
    }
    (values.len() == entries.len()).then_some(values)
}
