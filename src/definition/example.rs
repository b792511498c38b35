//! Creates parts of a definition from examples: a map of an answer's values, each with the path that finds it, and a
//! template of a body with a field for each value.

mod definition;
mod fields;
mod json;
mod name;
mod template;
#[cfg(test)]
mod tests;
mod xml;

pub use definition::definition;
pub use fields::Field;
pub use template::{Made, template};

use super::mapping::{AnswerFormat, PATH_MAX, TextFault};
use name::{Namer, PathSegment};

/// The most leaves that an example may have.
pub const LEAVES_MAX: usize = 10_000;

/// The longest part of a value to show, in characters.
const SAMPLE_MAX: usize = 60;

/// The reason why an example cannot be listed, with the place.
pub type ExampleFault = TextFault;

/// A value of the example that can be mapped.
///
/// In JSON it is a string, number or boolean. In XML it is an attribute, an element without child elements, or a text
/// beside elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The [JSON path](super::mapping::JsonPath) or the [XPath](super::mapping::XPath) that finds this leaf and no
    /// other.
    pub path: String,
    /// A name for the variable `$flow.key.<name>`: ASCII letters, digits and underscores. No two leaves have the same
    /// name.
    pub name: String,
    /// The JSON text of the value to show: at most 60 characters, without control characters.
    pub sample: String,
}

/// Lists the leaves of `bytes` in their order. The first character distinguishes XML from JSON.
///
/// Values that no path can find are left out. In JSON these are `null`, empty arrays and objects, and members that a
/// later member of the same name replaces. In XML these are elements without content that have attributes, and white
/// space between elements.
///
/// # Errors
///
/// The example is neither JSON nor XML, or has more than [`LEAVES_MAX`] leaves. The error contains the place.
pub fn leaves(bytes: &[u8]) -> Result<(AnswerFormat, Vec<Leaf>), ExampleFault> {
    let begins = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let (kind, found) = match begins.first() {
        Some(b'<') => (AnswerFormat::Xml, xml::leaves(bytes)?),
        _ => (AnswerFormat::Json, json::leaves(bytes)?),
    };
    let mut namer = Namer::default();
    let leaf = |found: Found| Leaf {
        name: namer.name(&found.segments),
        path: found.path,
        sample: found.sample,
    };
    Ok((kind, found.into_iter().map(leaf).collect()))
}

/// A leaf without its name.
struct Found {
    path: String,
    segments: Vec<PathSegment>,
    sample: String,
}

/// Checks that an example with `count` leaves may have another one at `path`.
fn check(path: &str, count: usize) -> Result<(), &'static str> {
    if count == LEAVES_MAX {
        Err("more than 10,000 values")
    } else if path.chars().nth(PATH_MAX).is_some() {
        Err("a value whose path is longer than 4,096 characters")
    } else {
        Ok(())
    }
}

/// Returns JSON text as it is shown.
fn sample(json: &str) -> String {
    let mut out = String::new();
    for (count, letter) in json.chars().enumerate() {
        if count == SAMPLE_MAX {
            out.push('…');
            break;
        }
        if is_unseen(letter) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Returns whether a letter is invisible and would change a terminal, a comment or the order of the text around it.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
