//! The `response` of a webhook: which values of its answers are saved.

use super::entry::{AnswerKind, BodyName, MapEntry, MethodName, ResponseEntry, WebhookEntry};
use crate::definition::mapping::{AnswerFormat, EntryText, ResponseMap, without_x};
use crate::definition::template::Variable;
use crate::delivery::Response;
use crate::document::{Context, Place};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads the `response` of a webhook. The answers of the platform's functions need none.
pub(super) fn of_webhook(
    entry: &WebhookEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<Response>> {
    let by_name = entry.body == BodyName::Internal && !matches!(entry.method, MethodName::Head);
    match &entry.response {
        None if by_name => Response::by_name().map(Arc::new),
        None => None,
        Some(response) => {
            let response = read(response, entry.method, place, context)?;
            Some(Arc::new(Response { by_name, ..response }))
        }
    }
}

/// Reads the `entry` of a webhook with this method.
fn read(
    entry: &ResponseEntry,
    method: MethodName,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Response> {
    if matches!(method, MethodName::Head) {
        context.fault(
            place,
            "has no effect: the answer to a HEAD request has no body",
            "remove it, or set another method",
        );
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut save_in = Vec::with_capacity(entry.map.len());
    for (index, item) in entry.map.iter().enumerate() {
        let place = place.key("map").item(index).key("save_in");
        // The check reports missing keys.
        let Some(name) = item.save_in.as_deref() else { continue };
        save_in.push(saved(name, &place, context));
        if let Some(Some(key)) = save_in.last()
            && !seen.insert(key.clone())
        {
            let problem = format!("{name} is set twice");
            context.fault(&place, problem, "give one of them another name");
        }
    }
    // The check reports a missing or unknown type.
    let kind = match entry.kind? {
        AnswerKind::Json => AnswerFormat::Json,
        AnswerKind::Xml => AnswerFormat::Xml,
    };
    if kind == AnswerFormat::Json && !entry.namespaces.is_empty() {
        context.fault(&place.key("namespaces"), "JSON has no namespaces", "remove it");
    }
    if kind == AnswerFormat::Json {
        warn_of_x(entry, place, context);
    }
    let path = |item: &'_ MapEntry| item.path.clone().unwrap_or_default();
    let paths: Vec<String> = entry.map.iter().map(path).collect();
    let texts: Vec<EntryText<'_>> = entry
        .map
        .iter()
        .zip(&paths)
        .map(|(item, path)| EntryText { path, mandatory: item.mandatory })
        .collect();
    let namespaces: Vec<(&str, &str)> =
        entry.namespaces.iter().map(|(prefix, name)| (prefix.as_str(), name.as_str())).collect();
    match ResponseMap::parse(kind, &texts, &namespaces) {
        Ok(map) => Some(Response { map, save_in, retry: entry.retry, by_name: false }),
        Err(faults) => {
            for fault in faults {
                // The check reports an empty path.
                if paths.get(fault.entry).is_some_and(|path| !path.is_empty()) {
                    let place = place.key("map").item(fault.entry).key("path");
                    let problem =
                        format!("{} (column {})", fault.fault.problem, fault.fault.column);
                    context.fault(&place, problem, fault.fault.fix);
                }
            }
            None
        }
    }
}

/// Warns of paths as path finders show them: they call the answer `x`, which is a member here.
fn warn_of_x(entry: &ResponseEntry, place: &Place<'_>, context: &mut Context<'_>) {
    for (index, item) in entry.map.iter().enumerate() {
        let path = item.path.as_deref().unwrap_or_default();
        if let Some(meant) = without_x(path) {
            let place = place.key("map").item(index).key("path");
            let problem =
                "begins with `x`, which is a member of the answer and not the answer itself";
            let fix = format!("write `{meant}`, or `$.{path}` if the answer has a member `x`");
            context.warn(&place, problem, fix);
        }
    }
}

/// Returns the key of the variable `name`, if an answer can set it, and reports the others.
fn saved(name: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<Box<str>> {
    let Some(variable) = name.parse().ok().filter(Variable::can_be_saved) else {
        context.fault(
            place,
            "is not a variable that an answer can set",
            "write it as $flow.key.NAME, with letters, digits and underscores, or as ${flow.key.NAME}",
        );
        return None;
    };
    if variable.is_outcome() {
        let problem = format!(
            "the outcome of the webhook sets {variable} itself, so that this has no effect"
        );
        context.warn(place, problem, "give it another name");
        return None;
    }
    Some(variable.key().into())
}
