//! Templates of webhook definitions: text with variables, parsed once when the definition is loaded, and rendered from then on
//! without another parse.
//!
//! | type | renders | a variable may stand |
//! |---|---|---|
//! | [`JsonTemplate`] | a JSON body | inside a string, or bare as a whole value |
//! | [`XmlTemplate`] | an XML body | in text, attribute values and CDATA sections |
//! | [`FormTemplate`] | an `application/x-www-form-urlencoded` body | in names and values |
//! | [`UrlTemplate`] | the URL | in path segments, and in names and values of the query |
//! | [`QueryTemplate`] | one entry of the query list | anywhere |
//! | [`HeaderTemplate`] | one entry of the header list | in the value |
//!
//! Each value is escaped for the place where it stands, so that no value changes the structure around it, and whoever parses
//! the result gets the value exactly; where a place cannot hold a character, the type says what becomes of it. What has no
//! value is left out where that is possible without a gap, and is empty elsewhere; a mandatory variable without a value makes
//! the delivery impossible ([`Missing`]).
//!
//! Rendering is a pure function of the template and the [`Values`]. A failed rendering leaves the output as it was.

mod fault;
mod form;
mod json;
mod lex;
mod list;
mod pairs;
mod program;
#[cfg(test)]
mod tests;
mod url;
mod uses;
mod value;
mod variable;
mod xml;

pub use fault::{Fault, position};
pub use form::FormTemplate;
pub use json::JsonTemplate;
pub use list::{HeaderTemplate, QueryTemplate};
pub use url::{Need, Unrenderable, UrlTemplate};
pub use uses::{Missing, Part, Use};
pub use variable::{Family, NotAVariable, Variable};
pub use xml::XmlTemplate;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// A longer template is refused.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// More variables in one template are refused, counting each place: this bounds how much longer than its values a result is.
pub const VARIABLES_MAX: usize = 1_000;

/// Arrays, objects and elements nested deeper than this are refused.
pub const DEPTH_MAX: usize = 128;

/// The tokens that a definition maps to variables: `ani` for `%ani%`. A token is a lower-case letter followed by lower-case
/// letters, digits and underscores; another key is never found.
pub type Tokens = BTreeMap<String, Variable>;

/// Where rendering gets its values.
pub trait Values {
    /// The value of `variable` as compact, valid JSON text: a string with its quotes and escapes, a number as it was spelt, a
    /// boolean, an array or an object. `None`, `null` and an empty text all mean that there is no value.
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>>;
}
