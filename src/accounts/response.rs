//! The `response` of a webhook: which values of its answers are saved.

use super::entry::{AnswerKind, MapEntry, MethodName, ResponseEntry};
use crate::definition::mapping::{AnswerFormat, EntryText, ResponseMap};
use crate::definition::template::{Family, Variable};
use crate::delivery::Response;
use crate::document::{Context, Place};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads the `entry` of a webhook with this method.
pub(super) fn read(
    entry: &ResponseEntry,
    method: MethodName,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<Response>> {
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
        if !is_variable(name) {
            context.fault(
                &place,
                "is not a variable that an answer can set",
                "write it as $flow.key.NAME, with letters, digits and underscores",
            );
        } else if !seen.insert(name) {
            let problem = format!("{name} is set twice");
            context.fault(&place, problem, "give one of them another name");
        }
        save_in.push(Box::from(name));
    }
    // The check reports a missing or unknown type.
    let kind = match entry.kind? {
        AnswerKind::Json => AnswerFormat::Json,
        AnswerKind::Xml => AnswerFormat::Xml,
    };
    if kind == AnswerFormat::Json && !entry.namespaces.is_empty() {
        context.fault(&place.key("namespaces"), "JSON has no namespaces", "remove it");
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
        Ok(map) => Some(Arc::new(Response { map, save_in, retry: entry.retry })),
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

/// Returns whether an answer can set the variable `name`. Variables of calls and SMS come from the gateways alone.
fn is_variable(name: &str) -> bool {
    let family = name.parse::<Variable>().map(|variable| variable.family());
    matches!(family, Ok(Family::FlowKey | Family::FlowSyskey | Family::UserKey))
}
