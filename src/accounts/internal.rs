//! Calls of the platform's functions.

use super::body::Texts;
use super::definition::{doubtful, say};
use super::entry::{GroupName, ValueEntry, WebhookEntry};
use super::secret;
use crate::definition::catalogue::Method;
use crate::definition::template::{DefinitionPart, TextTemplate, Variable};
use crate::definition::{Given, Group, Internal};
use crate::delivery::Secret;
use crate::document::{Context, Place, SecretText, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A call, and the secrets that it has placeholders for.
pub(super) struct Read {
    pub(super) call: Internal,
    pub(super) secrets: Vec<(String, Secret)>,
}

/// Reads the call of `entry`, and reports its faults.
pub(super) fn read(
    entry: &WebhookEntry,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Read> {
    let Some(name) = entry.method_name.as_deref().filter(|name| !name.is_empty()) else {
        let fix = "write method_name = \"createOutbound\", or another of the platform's functions";
        context.fault(&place.key("body"), "is internal, but `method_name` is missing", fix);
        return None;
    };
    let method = texts.methods.get(name).cloned();
    if method.is_none() {
        let fix = match nearest(name, texts.methods.keys().map(String::as_str)) {
            Some(nearest) => format!(
                "write `{nearest}` if that is meant, or describe it in [catalogue] internal"
            ),
            None => "describe it in a file, and name that by [catalogue] internal".to_owned(),
        };
        let problem = "no catalogue describes this function, so that its variables are not checked";
        context.warn(&place.key("method_name"), problem, fix);
    }
    let method = method.unwrap_or_else(|| Arc::new(Method::unknown(name)));
    answers(entry, &method, place, context);
    let groups = entry.parameters.iter().map(|group| match group {
        GroupName::Call => Group::Call,
        GroupName::FlowKey => Group::FlowKey,
        GroupName::UserKey => Group::UserKey,
    });
    let (values, secrets) = values(entry, &method, texts, &place.key("values"), context)?;
    let names = |list: &BTreeSet<Variable>| list.iter().map(Variable::key).collect::<BTreeSet<_>>();
    let call = Internal::new(method, groups.collect(), values);
    let in_values: BTreeSet<String> =
        call.variables().iter().map(|found| found.variable.plain().key()).collect();
    let mandatory = names(texts.mandatory);
    // A variable in a value is checked where it stands.
    let mandatory = mandatory.into_iter().filter(|it| call.carries(it) && !in_values.contains(it));
    let mandatory = mandatory.collect();
    Some(Read { call: call.needing(mandatory, names(texts.optional)), secrets })
}

/// Warns of variables that the function's answer does not contain.
fn answers(entry: &WebhookEntry, method: &Method, place: &Place<'_>, context: &mut Context<'_>) {
    for (index, item) in entry.response.iter().flat_map(|it| &it.map).enumerate() {
        if let Some(variable) = item.save_in.as_deref()
            && !method.response.is_empty()
            && !method.answers(variable)
        {
            let place = place.key("response").key("map").item(index).key("save_in");
            let problem = format!("the answer of {} has no {variable}", method.name);
            context.fault(&place, problem, format!("write one of {}", method.response.join(", ")));
        }
    }
}

type Values = (BTreeMap<String, Given>, Vec<(String, Secret)>);

/// Reads the values that a definition gives to variables of a function.
fn values(
    entry: &WebhookEntry,
    method: &Method,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Values> {
    let (mut values, mut secrets) = (BTreeMap::new(), Vec::new());
    for (written, value) in &entry.values {
        let place = place.key(written);
        let name = method.full_name(written).unwrap_or(written).to_owned();
        if written.is_empty() || values.contains_key(&name) {
            context.fault(&place, format!("`{name}` is empty or there twice"), "keep one of them");
            continue;
        }
        let is_described = !method.request.is_empty();
        if is_described && !method.wants(&name) {
            let names: Vec<&str> = method.names().collect();
            let problem =
                format!("the catalogue does not list {name} for {}; it is sent", method.name);
            let fix = format!("check the spelling: it lists {}", names.join(", "));
            context.warn(&place, problem, fix);
        }
        let given = match value {
            ValueEntry::Boolean(value) => Some(Given::Constant(value.to_string().into())),
            ValueEntry::Integer(number) => Some(Given::Constant(number.to_string().into())),
            ValueEntry::Number(number) => {
                let json = serde_json::Number::from_f64(*number).map(|it| it.to_string());
                Some(Given::Constant(json.unwrap_or_else(|| "null".to_owned()).into()))
            }
            ValueEntry::Text(SecretText::Literal(text)) => {
                template(&name, text, texts, &place, context).map(Given::Text)
            }
            ValueEntry::Text(reference @ SecretText::Reference { .. }) => {
                secret::sent(reference, &place, context).map(|secret| {
                    secrets.push((name.clone(), secret));
                    Given::Secret
                })
            }
        };
        values.extend(given.map(|given| (name, given)));
    }
    (values.len() == entry.values.len()).then_some((values, secrets))
}

fn template(
    name: &str,
    text: &str,
    texts: &Texts<'_>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<TextTemplate> {
    doubtful(text, place, context);
    let needs = |variable: &Variable| texts.needs(variable);
    let parsed =
        TextTemplate::parse(text, &DefinitionPart::Value(name.into()), &needs, texts.tokens);
    parsed.map_err(|faults| say("", &faults, place, context)).ok()
}
