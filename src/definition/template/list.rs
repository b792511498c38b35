//! Templates of entries of a definition's query list and header list.

use super::fault::Faults;
use super::lex::{self, Percent, lex};
use super::pairs::{Compiler, Element, Literals, write_elements};
use super::uses::{DefinitionPart, Filled, Uses, UsesFound};
use super::{Fault, Missing, Tokens, Use, Values, Variable, value};
use http::HeaderName;

/// An entry of the query list: a name and a value, both plain text with variables. Both are encoded completely (form
/// encoding, WHATWG URL, section 5), so `%` and `+` in them have no special meaning.
///
/// An optional entry is left out if any of its variables has no value.
#[derive(Clone, Debug)]
pub struct QueryTemplate {
    name: Entry,
    value: Entry,
}

impl QueryTemplate {
    /// Parses an entry. A `mandatory` entry must have all values.
    ///
    /// # Errors
    ///
    /// Variables are faulty. The error lists all faults, those of the name first; positions are relative to the name or
    /// value.
    pub fn parse(
        name: &str,
        value: &str,
        mandatory: bool,
        tokens: &Tokens,
    ) -> Result<Self, Vec<Fault>> {
        let part = DefinitionPart::Query(name.into());
        let mut all = Vec::new();
        let mut entry =
            |text| match Entry::parse(text, &|_| mandatory, tokens, &part, Literals::Text) {
                Ok(entry) => Some(entry),
                Err(faults) => {
                    all.extend(faults);
                    None
                }
            };
        match (entry(name), entry(value)) {
            (Some(name), Some(value)) => Ok(Self { name, value }),
            _ => Err(all),
        }
    }

    /// Creates an entry whose value is exactly `secret`, even if it looks like a variable.
    ///
    /// # Errors
    ///
    /// The name is faulty. The error lists all of its faults.
    pub fn with_secret(name: &str, secret: &str, tokens: &Tokens) -> Result<Self, Vec<Fault>> {
        let part = DefinitionPart::Query(name.into());
        let value = Entry::fixed(secret, &part, Literals::Text);
        Ok(Self { name: Entry::parse(name, &|_| false, tokens, &part, Literals::Text)?, value })
    }

    /// Returns the variables, those of the name first.
    pub fn variables(&self) -> impl Iterator<Item = &Use> {
        self.name.uses.all().iter().chain(self.value.uses.all())
    }

    /// Appends `name=value` to `out`. Returns whether the entry was written.
    ///
    /// # Errors
    ///
    /// A mandatory entry lacks a value. `out` is unchanged.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<bool, Missing> {
        let (name, value) = match (self.name.fill(values), self.value.fill(values)) {
            (Ok(Some(name)), Ok(Some(value))) => (name, value),
            (Err(mut missing), Err(more)) => {
                missing.uses.extend(more.uses);
                return Err(missing);
            }
            (Err(missing), Ok(_)) | (Ok(_), Err(missing)) => return Err(missing),
            (Ok(_), Ok(_)) => return Ok(false),
        };
        write_elements(&self.name.elements, &name, out);
        out.push(b'=');
        write_elements(&self.value.elements, &value, out);
        Ok(true)
    }
}

/// An entry of the header list: a fixed name, and a value that is text with variables.
///
/// In the result a space replaces each control character, including line breaks and U+0000. Spaces at both ends are
/// removed. Characters outside ASCII are sent as UTF-8 (`obs-text` of RFC 9110, section 5.5).
///
/// An optional entry is left out if any of its variables has no value.
#[derive(Clone, Debug)]
pub struct HeaderTemplate {
    name: HeaderName,
    value: Entry,
    is_secret: bool,
}

impl HeaderTemplate {
    /// Parses an entry. A `mandatory` entry must have all values.
    ///
    /// # Errors
    ///
    /// The name is not a valid HTTP header name or contains a variable, or variables are faulty. Positions are relative
    /// to the value.
    pub fn parse(
        name: &str,
        value: &str,
        mandatory: bool,
        tokens: &Tokens,
    ) -> Result<Self, Vec<Fault>> {
        let parsed = Entry::parse(
            value,
            &|_| mandatory,
            tokens,
            &DefinitionPart::Header(name.into()),
            Literals::Kept,
        );
        match (header_name(name, tokens), parsed) {
            (Ok(name), Ok(value)) => Ok(Self { name, value, is_secret: false }),
            (Ok(_), Err(faults)) => Err(faults),
            (Err(fault), parsed) => {
                Err(std::iter::once(fault).chain(parsed.err().into_iter().flatten()).collect())
            }
        }
    }

    /// Creates an entry whose value is exactly `secret`, even if it looks like a variable.
    ///
    /// # Errors
    ///
    /// The name is not a valid HTTP header name, or contains a variable.
    pub fn with_secret(name: &str, secret: &str, tokens: &Tokens) -> Result<Self, Vec<Fault>> {
        let value = Entry::fixed(secret, &DefinitionPart::Header(name.into()), Literals::Kept);
        let name = header_name(name, tokens).map_err(|fault| vec![fault])?;
        Ok(Self { name, value, is_secret: true })
    }

    /// Returns whether the value is secret and must never be shown.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// Returns the header's name.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Returns the variables in the order of the value.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        self.value.uses.all()
    }

    /// Appends the value to `out`. Returns whether the entry was written.
    ///
    /// # Errors
    ///
    /// A mandatory entry lacks a value. `out` is unchanged.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<bool, Missing> {
        let Some(filled) = self.value.fill(values)? else { return Ok(false) };
        let start = out.len();
        for element in &self.value.elements {
            match element {
                Element::Literal(text) => write_printable(out, start, text),
                Element::Variable(slot) => {
                    let json = filled.get(*slot).unwrap_or_default();
                    value::decode(json, |text| write_printable(out, start, text));
                }
            }
        }
        while out.len() > start && out.ends_with(b" ") {
            out.pop();
        }
        Ok(true)
    }
}

/// Appends text to the header value that begins at `start`, with spaces in place of control characters.
fn write_printable(out: &mut Vec<u8>, start: usize, text: &str) {
    for character in text.chars() {
        if character != ' ' && !character.is_control() {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else if out.len() > start {
            out.push(b' ');
        }
    }
}

/// Reads the name of a header. Variables would be allowed characters, but they are never meant as such.
fn header_name(name: &str, tokens: &Tokens) -> Result<HeaderName, Fault> {
    if let Some(at) = lex::first_variable(name, tokens) {
        let (line, column) = super::position(name, at);
        let problem = "a variable cannot stand in the name of a header".to_owned();
        let fix = "write the name out; variables stand in the value only".to_owned();
        return Err(Fault { line, column, problem, fix });
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| name_fault(name))
}

fn name_fault(name: &str) -> Fault {
    const SIGNS: &str = "!#$%&'*+-.^_`|~";
    let is_allowed = |found: char| found.is_ascii_alphanumeric() || SIGNS.contains(found);
    let at = name.chars().position(|found| !is_allowed(found));
    let problem = match at.and_then(|at| name.chars().nth(at)) {
        Some(found) => format!("a header's name cannot hold `{}`", found.escape_debug()),
        None if name.is_empty() => "the header has no name".to_owned(),
        None => "the header's name is too long".to_owned(),
    };
    let fix = format!("use letters, digits and {SIGNS}; variables are allowed in the value only");
    Fault { line: 1, column: at.unwrap_or(0) + 1, problem, fix }
}

/// A text with variables.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) elements: Box<[Element]>,
    pub(super) uses: Uses,
}

impl Entry {
    /// Creates an entry of text without variables or escapes.
    pub(super) fn fixed(text: &str, part: &DefinitionPart, literals: Literals) -> Self {
        let mut uses = UsesFound::default();
        let mandatory = &|_: &_| false;
        let mut compiler = Compiler { text, pieces: &[], uses: &mut uses, mandatory };
        let elements = compiler.elements(0, text.len(), literals);
        Self { elements, uses: uses.finish(text, part) }
    }

    pub(super) fn parse(
        text: &str,
        mandatory: &dyn Fn(&Variable) -> bool,
        tokens: &Tokens,
        part: &DefinitionPart,
        literals: Literals,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let pieces = lex(text, tokens, Percent::Text, &mut faults);
        let mut uses = UsesFound::default();
        let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory };
        let elements = compiler.elements(0, text.len(), literals);
        let uses = uses.finish(text, part);
        faults.finish(Self { elements, uses })
    }

    /// Returns the values, or `None` if an optional entry lacks one.
    pub(super) fn fill<'v>(
        &'v self,
        values: &'v dyn Values,
    ) -> Result<Option<Filled<'v>>, Missing> {
        let filled = self.uses.fill(values)?;
        Ok(filled.is_complete().then_some(filled))
    }
}
