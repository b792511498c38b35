//! Templates of bodies. Each kind of body has a variant of [`Language`] here, and a module that compiles it.

mod compiler;
mod form;
mod json;
mod multipart;
mod xml;

use super::fault::Faults;
use super::uses::{Filled, Uses};
use super::{Fault, Missing, Tokens, Use, Values, Variable};
use std::borrow::Cow;
use std::fmt::Debug;

/// The language of a body's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Json,
    Xml,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `multipart/form-data`
    Multipart,
}

impl Language {
    /// Returns the content type of bodies in this language.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Multipart => multipart::CONTENT_TYPE,
        }
    }

    /// Returns the word for it in definitions.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Form => "form",
            Self::Multipart => "multipart",
        }
    }

    /// Returns the compiler of templates in this language.
    const fn compiler(self) -> Compile {
        match self {
            Self::Json => json::compile,
            Self::Xml => xml::compile,
            Self::Form => form::compile,
            Self::Multipart => multipart::compile,
        }
    }
}

/// A text to compile.
#[derive(Clone, Copy)]
struct Input<'i> {
    text: &'i str,
    tokens: &'i Tokens,
    /// Says which variables must have a value.
    mandatory: &'i dyn Fn(&Variable) -> bool,
}

/// A compiled body, which can be written with the values of its variables.
trait Compiled: Debug + Send + Sync {
    /// Appends the body to `out`.
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>);
}

/// Compiles a text. Adds its faults to `faults`; after a fault the result is unusable.
type Compile = fn(&Input<'_>, &mut Faults<'_>) -> (Box<dyn Compiled>, Uses);

/// A body with variables.
#[derive(Debug)]
pub struct BodyTemplate {
    content_type: &'static str,
    compiled: Box<dyn Compiled>,
    uses: Uses,
}

impl BodyTemplate {
    /// Parses `text`. `mandatory` says which variables must have a value.
    ///
    /// # Errors
    ///
    /// Variables are faulty, or the text is not valid in its language. The error lists all faults of variables, and the
    /// first place where the text is not valid.
    pub fn parse(
        language: Language,
        text: &str,
        tokens: &Tokens,
        mandatory: &dyn Fn(&Variable) -> bool,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::of(text)?;
        let (compiled, uses) = language.compiler()(&Input { text, tokens, mandatory }, &mut faults);
        faults.finish(Self { content_type: language.content_type(), compiled, uses })
    }

    /// Returns the content type of the rendered body.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Returns the content type of the rendered body `body`, with all of its parameters.
    #[must_use]
    pub fn content_type_of(&self, body: &[u8]) -> Cow<'static, str> {
        if self.content_type == multipart::CONTENT_TYPE {
            return multipart::content_type_of(body).into();
        }
        Cow::Borrowed(self.content_type)
    }

    /// Returns the variables in the order of the text.
    #[must_use]
    pub const fn variables(&self) -> &[Use] {
        self.uses.all()
    }

    /// Appends the body to `out`.
    ///
    /// # Errors
    ///
    /// A mandatory variable has no value. `out` is unchanged.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<(), Missing> {
        let filled = self.uses.fill(values)?;
        self.compiled.write(&filled, out);
        Ok(())
    }
}
