//! The tokens of call-tracking templates, the platform's internal webhooks, which its customers know by name, and the
//! delivery statuses of the gateways.
//!
//! All are data, embedded from `config/catalogue/`. A row that can't be parsed would be missing; a test checks that
//! all can. Operators extend the internal webhooks by a file of their own.

mod method;
mod status;
#[cfg(test)]
mod tests;

pub use method::{CatalogueError, Method, Methods, Parameter, extended, is_known};
pub use status::statuses;

use super::template::{Derived, Tokens, Variable};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const TOKENS: &str = include_str!("../../config/catalogue/tokens.toml");
const INTERNAL: &str = include_str!("../../config/catalogue/internal.toml");

static TOKEN_ROWS: LazyLock<BTreeMap<String, TokenRow>> =
    LazyLock::new(|| toml::from_str(TOKENS).map(|file: TokenFile| file.token).unwrap_or_default());

static VARIABLES: LazyLock<Tokens> = LazyLock::new(|| {
    let rows = TOKEN_ROWS.iter();
    let variable = |row: &TokenRow| {
        let variable: Variable = row.variable.parse().ok()?;
        Some(match row.derived {
            Some(derived) => variable.derived_by(derived),
            None => variable,
        })
    };
    rows.filter_map(|(name, row)| Some((name.clone(), variable(row)?))).collect()
});

static NESTED: LazyLock<BTreeSet<Variable>> = LazyLock::new(|| {
    let rows = TOKEN_ROWS.values().filter(|row| row.nested);
    rows.filter_map(|row| row.variable.parse().ok()).collect()
});

static CALL_END: LazyLock<Tokens> = LazyLock::new(|| {
    let rows = TOKEN_ROWS.iter().filter(|(_, row)| row.group == "call_end");
    rows.filter_map(|(name, row)| Some((name.clone(), row.variable.parse().ok()?))).collect()
});

static METHODS: LazyLock<Methods> = LazyLock::new(|| method::read(INTERNAL).unwrap_or_default());

/// Returns the tokens of call-tracking templates with their variables. A definition may map them to others.
#[must_use]
pub fn tokens() -> &'static Tokens {
    &VARIABLES
}

/// Returns the descriptions of the tokens by name.
#[must_use]
pub fn token_rows() -> &'static BTreeMap<String, TokenRow> {
    &TOKEN_ROWS
}

/// Returns the tokens' variables whose value is an object. A flow key can only contain it as a string.
#[must_use]
pub fn nested() -> &'static BTreeSet<Variable> {
    &NESTED
}

/// Returns the tokens whose values are known when the call has ended.
#[must_use]
pub fn call_end() -> &'static Tokens {
    &CALL_END
}

/// Returns the platform's internal webhooks that are built in, by name.
#[must_use]
pub fn methods() -> &'static Methods {
    &METHODS
}

#[derive(Deserialize)]
struct TokenFile {
    token: BTreeMap<String, TokenRow>,
}

/// A token as the catalogue describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    /// The subject of the token, such as `call_begin`.
    pub group: String,
    /// A description for people.
    pub meaning: String,
    /// A value as call-tracking platforms show it. Empty if they show none.
    pub example: String,
    /// The variable that gives the value.
    pub variable: String,
    /// Whether the value is an object.
    #[serde(default)]
    nested: bool,
    /// How the value is derived, if it is not the variable's own.
    pub derived: Option<Derived>,
}

impl TokenRow {
    /// Describes where the value comes from.
    #[must_use]
    pub fn source(&self) -> String {
        let variable = &self.variable;
        match self.derived {
            None | Some(Derived::Tags | Derived::Prompts) => variable.clone(),
            Some(Derived::Utc) => format!("{variable}, in UTC"),
            Some(Derived::DialedTime) => {
                format!("{variable}, else $call.endTime - $call.startTime")
            }
            Some(Derived::AnsweredTime) => {
                format!("{variable}, else $call.endTime - $call.connectTime")
            }
            Some(Derived::Dialstatus) => format!("{variable}, else from $call.hangupCause"),
            Some(Derived::Mp3) => format!("{variable}, else the first .mp3 of recordingUrls"),
            Some(Derived::Wav) => format!("{variable}, else the first .wav of recordingUrls"),
            Some(Derived::Prompt) => format!("the prompts of %prompt_responses%, or {variable}"),
        }
    }
}
