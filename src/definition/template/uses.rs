//! The variables that a template uses, their places, and their values during a rendering.

use super::fault::Position;
use super::prompts::Prompt;
use super::{Derived, Values, Variable};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// The part of a definition to which a template belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefinitionPart {
    Body,
    Url,
    /// The entry of the query list with this name.
    Query(Box<str>),
    /// The entry of the header list with this name.
    Header(Box<str>),
    /// The value with this name in a call of one of the platform's functions.
    Value(Box<str>),
    /// The user's name of basic authentication.
    Username,
    /// The password of basic authentication.
    Password,
}

impl fmt::Display for DefinitionPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => formatter.write_str("the body"),
            Self::Url => formatter.write_str("the URL"),
            Self::Query(name) => write!(formatter, "the query entry `{name}`"),
            Self::Header(name) => write!(formatter, "the header `{name}`"),
            Self::Value(name) => write!(formatter, "the value of `{name}`"),
            Self::Username => formatter.write_str("the user name"),
            Self::Password => formatter.write_str("the password"),
        }
    }
}

/// One use of a variable in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The variable; for a token, the variable to which it is mapped.
    pub variable: Variable,
    /// The part of the definition that contains it.
    pub part: DefinitionPart,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Whether rendering fails without its value.
    pub mandatory: bool,
    slot: u32,
}

impl fmt::Display for Use {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, part, line, column, .. } = self;
        write!(formatter, "`{variable}` in {part} (line {line}, column {column})")
    }
}

/// Mandatory variables have no value, so nothing can be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Missing {
    /// All uses without a value, in the order of the template. Never empty.
    pub uses: Vec<Use>,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no value for ")?;
        for (index, missing) in self.uses.iter().enumerate() {
            write!(formatter, "{}{missing}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The uses found so far, while a template is parsed.
#[derive(Default)]
pub(super) struct UsesFound {
    slots: BTreeMap<Variable, u32>,
    /// The byte offset, the slot, and whether the use is mandatory.
    found: Vec<(usize, u32, bool)>,
}

impl UsesFound {
    /// Returns the slot for the value of `variable`.
    pub(super) fn slot(&mut self, variable: &Variable) -> u32 {
        if let Some(slot) = self.slots.get(variable) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.insert(variable.clone(), slot);
        slot
    }

    /// Records a use of `variable` at the byte `at`. Returns its slot.
    pub(super) fn add(&mut self, variable: &Variable, at: usize, mandatory: bool) -> u32 {
        let slot = self.slot(variable);
        self.found.push((at, slot, mandatory));
        slot
    }

    /// Returns all uses found in `text`.
    pub(super) fn finish(mut self, text: &str, part: &DefinitionPart) -> Uses {
        let mut variables: Vec<_> = self.slots.into_iter().collect();
        variables.sort_unstable_by_key(|(_, slot)| *slot);
        let variables: Box<[_]> = variables.into_iter().map(|(variable, _)| variable).collect();
        self.found.sort_unstable();
        let mut position = Position::default();
        let mut passed = 0;
        let uses = self.found.into_iter().filter_map(|(at, slot, mandatory)| {
            position.advance(text.get(passed..at).unwrap_or_default());
            passed = at;
            let (line, column) = (position.line, position.column);
            let variable = variables.get(slot as usize)?.clone();
            Some(Use { variable, part: part.clone(), line, column, mandatory, slot })
        });
        let uses = uses.collect();
        Uses { variables, uses }
    }
}

/// The variables of a template.
#[derive(Clone, Debug)]
pub(super) struct Uses {
    /// The variables by slot. Each appears once, however often it is used.
    variables: Box<[Variable]>,
    uses: Box<[Use]>,
}

impl Uses {
    pub(super) const fn all(&self) -> &[Use] {
        &self.uses
    }

    /// Looks each variable up once. Fails if a mandatory one has no value.
    pub(super) fn fill<'v>(&'v self, values: &'v dyn Values) -> Result<Filled<'v>, Missing> {
        let value = |variable: &'v Variable| match variable.constant() {
            Some(json) => Some(Cow::Borrowed(json)),
            None => values.get(variable).filter(|json| !matches!(&**json, "" | "null")),
        };
        let values = self.variables.iter().map(value).collect();
        let filled = Filled { values, variables: &self.variables };
        let missing = |found: &&Use| found.mandatory && filled.get(found.slot).is_none();
        if self.uses.iter().any(|found| missing(&found)) {
            return Err(Missing { uses: self.uses.iter().filter(missing).cloned().collect() });
        }
        Ok(filled)
    }
}

/// The values of a template's variables, as JSON text, by slot.
pub(super) struct Filled<'v> {
    values: Vec<Option<Cow<'v, str>>>,
    /// The variables by slot.
    variables: &'v [Variable],
}

impl Filled<'_> {
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&str> {
        self.values.get(slot as usize)?.as_deref()
    }

    /// Returns the value for one prompt: members of prompts come from `prompt`.
    pub(super) fn of_prompt<'p>(&'p self, slot: u32, prompt: &Prompt<'p>) -> Option<&'p str> {
        let variable = self.variables.get(slot as usize)?;
        match variable.derived() {
            Some(Derived::Prompt) => prompt.get(variable.name()),
            _ => self.get(slot),
        }
    }

    /// Returns whether the record has a member of a prompt beside the list of prompts.
    pub(super) fn has_prompt(&self) -> bool {
        let members = self.variables.iter().zip(&self.values);
        let mut members = members.filter(|(it, _)| it.derived() == Some(Derived::Prompt));
        members.any(|(_, value)| value.is_some())
    }

    /// Returns whether every variable has a value.
    pub(super) fn is_complete(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }

    /// Returns the length of all values together, as an estimate for the output.
    pub(super) fn bytes(&self) -> usize {
        self.values.iter().flatten().map(|json| json.len()).sum()
    }
}
