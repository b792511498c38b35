//! What the platform's customers already know by name: the tokens of call-tracking templates, and the platform's internal
//! webhooks. Both are data, embedded from `config/catalogue/`; a row that could not be read would be missing, and a test says
//! that there is none.

#[cfg(test)]
mod tests;

use super::template::{Tokens, Variable};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const TOKENS: &str = include_str!("../../config/catalogue/tokens.toml");
const INTERNAL: &str = include_str!("../../config/catalogue/internal.toml");

/// What a name that stands for a whole family of variables ends with.
const WILDCARD: char = '*';

static TOKEN_ROWS: LazyLock<BTreeMap<String, TokenRow>> =
    LazyLock::new(|| toml::from_str(TOKENS).map(|file: TokenFile| file.token).unwrap_or_default());

static VARIABLES: LazyLock<Tokens> = LazyLock::new(|| {
    let rows = TOKEN_ROWS.iter();
    rows.filter_map(|(name, row)| Some((name.clone(), row.variable.parse().ok()?))).collect()
});

static NESTED: LazyLock<BTreeSet<Variable>> = LazyLock::new(|| {
    let rows = TOKEN_ROWS.values().filter(|row| row.nested);
    rows.filter_map(|row| row.variable.parse().ok()).collect()
});

static METHODS: LazyLock<BTreeMap<String, Method>> = LazyLock::new(|| {
    let methods = toml::from_str(INTERNAL).map(|file: MethodFile| file.method).unwrap_or_default();
    methods.into_iter().map(|method| (method.name.clone(), method)).collect()
});

/// The tokens of call-tracking templates and what each stands for, where a definition maps it to nothing else.
#[must_use]
pub fn tokens() -> &'static Tokens {
    &VARIABLES
}

/// Those tokens' variables whose value is an object, which a flow key can only hold as a string.
#[must_use]
pub fn nested() -> &'static BTreeSet<Variable> {
    &NESTED
}

/// The platform's internal webhooks by their name.
#[must_use]
pub fn methods() -> &'static BTreeMap<String, Method> {
    &METHODS
}

/// One of the platform's internal webhooks.
///
/// The names of variables are the platform's, and some, such as `$user.syskey.accountID`, are none that templates know
/// ([`is_known`]). One that ends with `.*` stands for every variable of its family.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// What the request calls it.
    pub name: String,
    /// What it does, for people.
    pub purpose: String,
    /// The variables that it wants; none where it wants none, or where the platform does not say.
    pub request: Vec<String>,
    /// The variables that its answer may hold; likewise.
    pub response: Vec<String>,
}

impl Method {
    /// Whether a request may hold `variable`.
    #[must_use]
    pub fn wants(&self, variable: &str) -> bool {
        names(&self.request, variable)
    }

    /// Whether an answer can give `variable` a value.
    #[must_use]
    pub fn answers(&self, variable: &str) -> bool {
        // What is no variable is not one of a family either, whatever it begins with.
        variable.parse::<Variable>().is_ok() && names(&self.response, variable)
    }
}

/// Whether `list` names `variable`, or its family.
fn names(list: &[String], variable: &str) -> bool {
    list.iter().any(|name| match name.strip_suffix(WILDCARD) {
        Some(family) => variable.starts_with(family),
        None => variable == name,
    })
}

/// Whether `name`, in a method's request or response, is a variable that templates know, or a family of such variables.
#[must_use]
pub fn is_known(name: &str) -> bool {
    match name.strip_suffix(WILDCARD) {
        // A family is known if any name in it is.
        Some(family) => format!("{family}x").parse::<Variable>().is_ok() && family.ends_with('.'),
        None => name.parse::<Variable>().is_ok(),
    }
}

#[derive(Deserialize)]
struct TokenFile {
    token: BTreeMap<String, TokenRow>,
}

/// A token. What else the file says of it is for people.
#[derive(Deserialize)]
struct TokenRow {
    variable: String,
    #[serde(default)]
    nested: bool,
}

#[derive(Deserialize)]
struct MethodFile {
    method: Vec<Method>,
}
