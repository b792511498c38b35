//! The content of a webhook's requests: URL, query, headers and body.

use super::entry::{BodyName, GroupName, PartEntry, WebhookEntry};
use super::url;
use crate::definition::catalogue;
use crate::definition::template::{
    self, BodyTemplate, HeaderTemplate, Need, QueryTemplate, Tokens, Variable,
};
use crate::definition::{Body, Definition, Group, Internal, Request};
use crate::delivery::Secret;
use crate::document::{Context, Place, SecretText, nearest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Headers that the daemon or HTTP itself sets.
const RESERVED: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// The parts of a definition.
pub(super) struct Read {
    /// The URL without values: its variables are left as they are written.
    pub(super) url: reqwest::Url,
    /// URL, query and headers, if the definition has more than a plain URL.
    pub(super) request: Option<Arc<Request>>,
    /// Like `request`, without secrets.
    pub(super) shown: Option<Arc<Request>>,
    pub(super) secrets: Vec<Secret>,
    pub(super) definition: Definition,
}

/// Reads every part of `entry`. `http_enabled` is the account's setting, or `None` if there is no such account.
pub(super) fn read(
    entry: &WebhookEntry,
    http_enabled: Option<bool>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Read> {
    let faults = context.faults.len();
    let tokens = tokens(entry, place, context);
    let mandatory = variables(&entry.mandatory, &tokens, &place.key("mandatory"), context);
    let optional = variables(&entry.optional, &tokens, &place.key("optional"), context);
    let url = entry.url.as_deref().and_then(|text| {
        let need = |variable: &Variable| match () {
            () if mandatory.contains(variable) => Need::Mandatory,
            () if optional.contains(variable) => Need::Optional,
            () => Need::Unsaid,
        };
        url::read(text, http_enabled, &tokens, &need, &place.key("url"), context)
    });
    let query = parts(&entry.query, &place.key("query"), context, &|name, value| match value {
        PartValue::Text(value, mandatory) => QueryTemplate::parse(name, value, mandatory, &tokens),
        PartValue::Secret(secret) => QueryTemplate::with_secret(name, secret, &tokens),
    });
    let headers =
        parts(&entry.headers, &place.key("headers"), context, &|name, value| match value {
            PartValue::Text(value, mandatory) => {
                HeaderTemplate::parse(name, value, mandatory, &tokens)
            }
            PartValue::Secret(secret) => HeaderTemplate::with_secret(name, secret),
        });
    reserved(&entry.headers, &place.key("headers"), context);
    let body = body(entry, &tokens, &mandatory, place, context);
    if let (Some((_, template)), Some(body)) = (&url, &body) {
        let in_url = template.variables().iter().chain(body.variables());
        let used: BTreeSet<&Variable> = in_url.map(|found| &found.variable).collect();
        for (key, list) in [("mandatory", &mandatory), ("optional", &optional)] {
            for variable in list.iter().filter(|it| !used.contains(it)) {
                let problem = format!("{variable} is used neither in the URL nor in the body");
                context.fault(&place.key(key), problem, "remove it, or use it");
            }
        }
    }
    let (url, template) = url?;
    let (body, query, headers) = (body?, query?, headers?);
    let varies = !template.is_plain() || !query.sent.is_empty() || !headers.sent.is_empty();
    let secrets = [query.secrets, headers.secrets].concat();
    let shown = Request { url: template.clone(), query: query.shown, headers: headers.shown };
    let request = Request { url: template, query: query.sent, headers: headers.sent };
    let request = varies.then(|| Arc::new(request));
    let definition = Definition::new(body, request.clone());
    let shown = request.is_some().then(|| Arc::new(shown));
    (context.faults.len() == faults).then_some(Read { url, request, shown, secrets, definition })
}

fn tokens(entry: &WebhookEntry, place: &Place<'_>, context: &mut Context<'_>) -> Tokens {
    let mut tokens = catalogue::tokens().clone();
    for (name, variable) in &entry.tokens {
        let place = place.key("tokens").key(name);
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(letters)
        {
            let problem = "is not a token's name";
            context.fault(&place, problem, "use lower-case letters, digits and underscores");
        }
        match variable.parse() {
            Ok(variable) => drop(tokens.insert(name.clone(), variable)),
            Err(error) => not_a_variable(&error, &place, context),
        }
    }
    tokens
}

pub(super) fn not_a_variable(
    error: &template::NotAVariable,
    place: &Place<'_>,
    context: &mut Context<'_>,
) {
    let text = error.to_string();
    let (problem, fix) = text.split_once(": ").unwrap_or((&text, ""));
    context.fault(place, problem, fix);
}

/// Returns the variables that `list` names, directly or by their tokens.
fn variables(
    list: &[String],
    tokens: &Tokens,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> BTreeSet<Variable> {
    let mut found = BTreeSet::new();
    for (index, text) in list.iter().enumerate() {
        let token = text.strip_prefix('%').and_then(|text| text.strip_suffix('%'));
        match token.and_then(|name| tokens.get(name)).cloned().map_or_else(|| text.parse(), Ok) {
            Ok(variable) => drop(found.insert(variable)),
            Err(error) => not_a_variable(&error, &place.item(index), context),
        }
    }
    found
}

/// The entries of a list, with secrets to be sent and without them to be shown, and the secrets.
struct Parts<T> {
    sent: Vec<T>,
    shown: Vec<T>,
    secrets: Vec<Secret>,
}

/// The value of an entry.
enum PartValue<'a> {
    /// Text, which may contain variables, and whether it is mandatory.
    Text(&'a str, bool),
    /// A secret. It contains no variables, and no fault quotes it.
    Secret(&'a str),
}

/// A parser of name and value.
type Parse<'a, T> = dyn Fn(&str, PartValue<'_>) -> Result<T, Vec<template::Fault>> + 'a;

fn parts<T>(
    entries: &[PartEntry],
    place: &Place<'_>,
    context: &mut Context<'_>,
    parse: &Parse<'_, T>,
) -> Option<Parts<T>> {
    let mut parts = Parts { sent: Vec::new(), shown: Vec::new(), secrets: Vec::new() };
    for (index, entry) in entries.iter().enumerate() {
        // The check reports missing keys.
        let (Some(name), Some(text)) = (&entry.name, &entry.value) else { continue };
        let place = place.item(index);
        let Some(value) = context.secret(&place.key("value"), text) else { continue };
        let (sent, shown) = match text {
            SecretText::Literal(text) => {
                let value = || PartValue::Text(text, entry.mandatory);
                (parse(name, value()), parse(name, value()))
            }
            SecretText::Reference { .. } => {
                parts.secrets.push(value.clone());
                let shown = PartValue::Text("***", false);
                (parse(name, PartValue::Secret(value.reveal())), parse(name, shown))
            }
        };
        match (sent, shown) {
            (Ok(sent), Ok(shown)) => {
                parts.sent.push(sent);
                parts.shown.push(shown);
            }
            (Err(faults), _) | (_, Err(faults)) => say("", &faults, &place, context),
        }
    }
    (parts.sent.len() == entries.len()).then_some(parts)
}

fn reserved(headers: &[PartEntry], place: &Place<'_>, context: &mut Context<'_>) {
    for (index, header) in headers.iter().enumerate() {
        let name = header.name.as_deref().unwrap_or_default().to_ascii_lowercase();
        if RESERVED.contains(&name.as_str()) {
            let fix = match name.as_str() {
                "authorization" => "write it as `auth`",
                "webhook-signature" => "use `signing_secrets` to sign",
                _ => "remove it",
            };
            let problem = format!("`{name}` is written by the daemon itself");
            context.fault(&place.item(index).key("name"), problem, fix);
        }
    }
}

/// Adds each fault of a template with its line and column.
pub(super) fn say(
    what: &str,
    faults: &[template::Fault],
    place: &Place<'_>,
    context: &mut Context<'_>,
) {
    for fault in faults {
        let template::Fault { problem, line, column, .. } = fault;
        let problem = format!("{what}{problem} (line {line}, column {column})");
        context.fault(place, problem, fault.fix.clone());
    }
}

fn body(
    entry: &WebhookEntry,
    tokens: &Tokens,
    mandatory: &BTreeSet<Variable>,
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
    let language = entry.body.language();
    let text = template_text(entry, language.is_some(), place, context);
    let place_of_text = if entry.template_file.is_some() { "template_file" } else { "template" };
    let place_of_text = place.key(place_of_text);
    let needs = |variable: &Variable| mandatory.contains(variable);
    let Some(language) = language else {
        return if entry.body == BodyName::Internal {
            internal(entry, place, context).map(Body::Internal)
        } else if entry.body == BodyName::None {
            Some(Body::None)
        } else {
            Some(Body::Predefined)
        };
    };
    let parsed = BodyTemplate::parse(language, &text?, tokens, &needs).map(Body::Template);
    parsed.map_err(|faults| say("", &faults, &place_of_text, context)).ok()
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
    let Some(name) = name else { return entry.template.clone() };
    let place = place.key(key);
    let bytes = context.bytes(&place, name)?;
    let text = String::from_utf8(bytes).ok();
    if text.is_none() {
        context.fault(&place, "is not UTF-8", "name a text file");
    }
    text
}

fn internal(
    entry: &WebhookEntry,
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
    Some(Internal { method, groups: groups.collect(), values: entry.values.clone() })
}
