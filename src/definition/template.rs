//! Templates of webhook definitions: text with variables. A template is parsed once, when the definition is loaded, and
//! rendered any number of times without parsing it again.
//!
//! | type | renders | a variable is allowed |
//! |---|---|---|
//! | [`BodyTemplate`] | a JSON body | inside a string, or bare as a whole value |
//! | | an XML body | in text, attribute values and CDATA sections |
//! | | an `application/x-www-form-urlencoded` body | in names and values |
//! | | a `multipart/form-data` body | in names and values |
//! | [`UrlTemplate`] | the URL | in path segments, and in names and values of the query |
//! | [`QueryTemplate`] | one entry of the query list | anywhere |
//! | [`HeaderTemplate`] | one entry of the header list | in the value |
//! | [`TextTemplate`] | a value that stands alone | anywhere |
//!
//! Each value is escaped for its place. So no value changes the structure around it, and a parser of
//! the result gets exactly the value. If a place can't contain a character, the type's documentation says what replaces
//! it.
//!
//! A part without a value is left out where that leaves no gap, and is empty elsewhere. If a mandatory variable has no
//! value, the delivery is impossible ([`Missing`]).
//!
//! Rendering is a pure function of the template and the [`Values`]. A rendering that fails leaves the output unchanged.

mod body;
mod derived;
mod fault;
mod lex;
mod list;
mod pairs;
mod program;
mod prompts;
#[cfg(test)]
mod tests;
mod text;
mod url;
mod uses;
mod value;
mod variable;

pub use crate::json::DEPTH_MAX;
pub use body::{BodyTemplate, Language};
pub use derived::Derived;
pub use fault::{Fault, position};
pub use lex::{doubtful_names, has_variables, masked_names};
pub use list::{HeaderTemplate, QueryTemplate};
pub use text::TextTemplate;
pub use url::{Need, Unrenderable, UrlTemplate};
pub use uses::{DefinitionPart, Missing, Use};
pub use variable::{Family, NotAVariable, Variable};

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest template, in bytes. A longer one is refused.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// The most variables in one template, counting each place. It bounds how much longer than its values a result can be.
pub const VARIABLES_MAX: usize = 1_000;

/// The tokens that a definition maps to variables: `ani` for `%ani%`. A token is a lower-case letter followed by
/// lower-case letters, digits and underscores. Other keys are never found.
pub type Tokens = BTreeMap<String, Variable>;

/// The source of the values for a rendering.
pub trait Values {
    /// Returns the value of `variable` as compact, valid JSON text: a string with its quotes and escapes, a number as
    /// it was spelt, a boolean, an array or an object. `None`, `null` and an empty text all mean that there is no
    /// value.
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>>;
}
