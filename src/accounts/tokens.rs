//! Tokens: their meaning for a webhook, from the catalogue, its template, its account and its own entry.

use super::entry::{Scalar, TokenEntry};
use crate::definition::catalogue;
use crate::definition::template::{Tokens, Variable};
use crate::document::{Context, Place};
use std::collections::BTreeMap;

/// Reads entries such as `ani = "$call.calleeNumber"`, and reports those that can't be read.
pub(super) fn read(
    entries: &BTreeMap<String, TokenEntry>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Tokens {
    let mut tokens = Tokens::new();
    for (name, entry) in entries {
        let place = place.key(name);
        check_name(name, &place, context);
        let variable = match entry {
            TokenEntry::Source(text) => {
                source(text, &place, context).map(|variable| like_catalogue(name, variable))
            }
            // The check reports a missing value.
            TokenEntry::Constant { value } => value.as_ref().and_then(|it| constant(name, it)),
        };
        tokens.extend(variable.map(|variable| (name.clone(), variable)));
    }
    tokens
}

/// Reads the constants of an account.
pub(super) fn constants(
    entries: &BTreeMap<String, Scalar>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Tokens {
    let mut tokens = Tokens::new();
    for (name, value) in entries {
        check_name(name, &place.key(name), context);
        tokens.extend(constant(name, value).map(|variable| (name.clone(), variable)));
    }
    tokens
}

/// Returns the tokens of the catalogue, replaced by those of `more`. The last replacement counts.
pub(super) fn with_catalogue<'t>(more: impl IntoIterator<Item = &'t Tokens>) -> Tokens {
    let mut tokens = catalogue::tokens().clone();
    for replaced in more {
        tokens.extend(replaced.iter().map(|(name, variable)| (name.clone(), variable.clone())));
    }
    tokens
}

fn check_name(name: &str, place: &Place<'_>, context: &mut Context<'_>) {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(letters) {
        let problem = "is not a token's name";
        context.fault(place, problem, "use lower-case letters, digits and underscores");
    }
}

/// Reads the source of a token: a variable, or a token of the catalogue.
fn source(text: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<Variable> {
    let token = text.strip_prefix('%').and_then(|text| text.strip_suffix('%'));
    if let Some(variable) = token.and_then(|name| catalogue::tokens().get(name)) {
        return Some(variable.clone());
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let problem = format!("`{text}` is neither a variable nor a token of the catalogue");
        let fix =
            "write it like \"$flow.key.NAME\" or \"%ani%\", or { value = \"…\" } for a constant";
        context.fault(place, problem, fix);
    }
    parsed
}

/// Returns the variable to which the token `name` is mapped. The object or array of a token that the catalogue describes
/// so may be in a string, whatever variable has it.
fn like_catalogue(name: &str, variable: Variable) -> Variable {
    let derived = catalogue::tokens().get(name).and_then(Variable::derived);
    match derived.filter(|derived| derived.is_unwrapped() && variable.derived().is_none()) {
        Some(derived) => variable.derived_by(derived),
        None => variable,
    }
}

/// Returns the variable of a token that is a constant. Messages show it as the flow key of its name.
fn constant(name: &str, value: &Scalar) -> Option<Variable> {
    let variable: Variable = format!("$flow.key.{name}").parse().ok()?;
    Some(variable.with_constant(&value.json()))
}
