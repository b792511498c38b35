//! From an example of an answer or a body to a definition: lists what is in it, each value with the path that finds it.

mod definition;
mod json;
mod name;
#[cfg(test)]
mod tests;
mod xml;

pub use definition::definition;

use super::mapping::{Kind, PATH_MAX, TextFault};
use name::{Namer, Part};

/// How many leaves an example may have.
pub const LEAVES_MAX: usize = 10_000;

/// How much of a value is shown, in characters.
const SAMPLE_MAX: usize = 60;

/// Why an example cannot be listed: what is wrong, and where in it.
pub type ExampleFault = TextFault;

/// A value of the example that can be mapped: of JSON a string, number or boolean, of XML an attribute, an element without
/// elements in it, or a text beside elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The [JSON path](super::mapping::JsonPath) or the [XPath](super::mapping::XPath) that finds this leaf and no other.
    pub path: String,
    /// What the variable `$flow.key.<name>` for it may be called: letters of ASCII, digits and underscores, no two leaves
    /// alike.
    pub name: String,
    /// The JSON text of the value, for show: cut behind 60 characters, without control characters.
    pub sample: String,
}

/// Lists the leaves of `bytes` in their order. The first character tells XML from JSON. Left out is what no path can find:
/// JSON's `null`, empty arrays and objects, and members that a later one of the same name hides; and of XML what is empty but
/// for attributes, and white space between elements.
///
/// # Errors
///
/// Says where the example is neither JSON nor XML, or has more than [`LEAVES_MAX`] leaves.
pub fn leaves(bytes: &[u8]) -> Result<(Kind, Vec<Leaf>), ExampleFault> {
    let begins = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let (kind, found) = match begins.first() {
        Some(b'<') => (Kind::Xml, xml::leaves(bytes)?),
        _ => (Kind::Json, json::leaves(bytes)?),
    };
    let mut namer = Namer::default();
    let leaf = |found: Found| Leaf {
        name: namer.name(&found.parts),
        path: found.path,
        sample: found.sample,
    };
    Ok((kind, found.into_iter().map(leaf).collect()))
}

/// A leaf without its name.
struct Found {
    path: String,
    parts: Vec<Part>,
    sample: String,
}

/// What is wrong with an example that has another leaf at `path`, after `count`.
fn check(path: &str, count: usize) -> Result<(), &'static str> {
    if count == LEAVES_MAX {
        Err("more than 10,000 values")
    } else if path.chars().nth(PATH_MAX).is_some() {
        Err("a value whose path is longer than 4,096 characters")
    } else {
        Ok(())
    }
}

/// JSON text for show.
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

/// Whether a letter does something to a terminal, a comment or the order of the text around it instead of being seen.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
