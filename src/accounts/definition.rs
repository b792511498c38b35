//! The content of a webhook's requests: URL, query, headers and body.

use super::entry::{PartEntry, TemplateText, WebhookEntry};
use super::{body, secret, url};
use crate::definition::catalogue::Methods;
use crate::definition::template::{
    self, HeaderTemplate, Need, QueryTemplate, Tokens, Variable, doubtful_names,
};
use crate::definition::{Body, BodySecrets, Credentials, Definition, Request};
use crate::delivery::Secret;
use crate::document::{Context, Place, SecretText};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Headers that the daemon or HTTP itself sets.
pub(super) const RESERVED: [&str; 12] = [
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
    pub(super) body_secrets: Option<Arc<BodySecrets>>,
    pub(super) definition: Definition,
}

/// What a definition consists of beside its entry.
pub(super) struct Given<'a> {
    /// The account's setting, or `None` if there is no such account.
    pub(super) http_enabled: Option<bool>,
    pub(super) tokens: Tokens,
    /// The template that the entry names, if that can be used.
    pub(super) template: Option<&'a super::template::Template>,
    /// The credentials that are rendered, if there are any.
    pub(super) credentials: Option<Credentials>,
    /// The functions of the platform.
    pub(super) methods: &'a Methods,
}

/// Reads every part of `entry`.
pub(super) fn read(
    entry: &WebhookEntry,
    given: Given<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Read> {
    let faults = context.faults.len();
    let Given { http_enabled, tokens, template, credentials, methods } = given;
    let mandatory = variables(&entry.mandatory, &tokens, &place.key("mandatory"), context);
    let optional = variables(&entry.optional, &tokens, &place.key("optional"), context);
    let url = entry.url.as_deref().and_then(|text| {
        let need = |variable: &Variable| match variable.plain() {
            variable if mandatory.contains(&variable) => Need::Mandatory,
            variable if optional.contains(&variable) => Need::Optional,
            _ => Need::Unsaid,
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
            PartValue::Secret(secret) => HeaderTemplate::with_secret(name, secret, &tokens),
        });
    reserved(&entry.headers, &place.key("headers"), context);
    let (mandatory, optional) = (&mandatory, &optional);
    let texts = body::Texts { tokens: &tokens, template, mandatory, optional, methods };
    let read = body::read(entry, &texts, place, context);
    let (body, body_secrets) =
        read.map_or((None, Vec::new()), |body::Read { body, secrets }| (Some(body), secrets));
    if let (Some((_, template)), Some(body)) = (&url, &body) {
        let in_url = template.variables().iter().chain(body.variables());
        let used = in_url.map(|found| found.variable.plain()).collect();
        for (key, list) in [("mandatory", mandatory), ("optional", optional)] {
            check_used(list, &used, body, &place.key(key), context);
        }
    }
    let (url, template) = url?;
    let (body, query, headers) = (body?, query?, headers?);
    let varies = !template.is_plain()
        || !query.sent.is_empty()
        || !headers.sent.is_empty()
        || credentials.is_some();
    let of_body = body_secrets.iter().map(|(_, secret)| secret.clone());
    let secrets = query.secrets.into_iter().chain(headers.secrets).chain(of_body).collect();
    let mut in_body = BodySecrets::default();
    for (name, secret) in &body_secrets {
        in_body.add(name, secret.reveal());
    }
    let body_secrets = (!in_body.is_empty()).then(|| Arc::new(in_body));
    let hidden = HeaderTemplate::parse("authorization", "***", false, &Tokens::new()).ok();
    let hidden = hidden.filter(|_| credentials.is_some());
    let shown = Request {
        url: template.clone(),
        query: query.shown,
        headers: headers.shown.into_iter().chain(hidden).collect(),
        credentials: None,
    };
    let request = Request { url: template, query: query.sent, headers: headers.sent, credentials };
    let request = varies.then(|| Arc::new(request));
    let definition = Definition::new(body, request.clone());
    let shown = request.is_some().then(|| Arc::new(shown));
    (context.faults.len() == faults).then_some(Read {
        url,
        request,
        shown,
        secrets,
        body_secrets,
        definition,
    })
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

/// Returns the sources of the variables that `list` names, directly or by their tokens.
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
            Ok(variable) => drop(found.insert(variable.plain())),
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
        doubtful(name, &place.key("name"), context);
        let (sent, shown) = match text {
            SecretText::Literal(text) => {
                doubtful(text, &place.key("value"), context);
                let value = || PartValue::Text(text, entry.mandatory);
                (parse(name, value()), parse(name, value()))
            }
            SecretText::Reference { .. } => {
                let Some(value) = secret::sent(text, &place.key("value"), context) else {
                    continue;
                };
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

/// Reports the variables of `list` that neither the URL nor the body uses. `used` are those in their texts.
fn check_used(
    list: &BTreeSet<Variable>,
    used: &BTreeSet<Variable>,
    body: &Body,
    place: &Place<'_>,
    context: &mut Context<'_>,
) {
    let is_carried = |variable: &Variable| matches!(body, Body::Internal(internal) if internal.carries(&variable.key()));
    for variable in list.iter().filter(|it| !used.contains(it) && !is_carried(it)) {
        let problem = format!("{variable} is used neither in the URL nor in the body");
        context.fault(place, problem, "remove it, or use it");
    }
}

/// Warns of each name in `text` that seems to end too early.
pub(super) fn doubtful(text: &str, place: &Place<'_>, context: &mut Context<'_>) {
    for template::Fault { problem, fix, line, column } in doubtful_names(text) {
        context.warn(place, format!("{problem} (line {line}, column {column})"), fix);
    }
}

/// Returns the name of the template that `entry` uses, if it names one.
pub(super) fn named(entry: &WebhookEntry) -> Option<&str> {
    match entry.template.as_ref()? {
        TemplateText::Named { name } => name.as_deref(),
        TemplateText::Text(_) => None,
    }
}
