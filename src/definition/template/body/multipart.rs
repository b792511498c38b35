//! Templates of `multipart/form-data` bodies (RFC 7578, and WHATWG HTML for the escapes of names).
//!
//! The text is that of a form: `a=$flow.key.x&b=text`. In its fixed parts `+` and percent-encodings are decoded, and
//! `&` and `=` separate. Each pair becomes a part with its value as it is. In names, quotes and line breaks are
//! escaped. Pairs without a value are left out as in a form.
//!
//! The boundary is derived from names and values. So the same values make the same body, and no value contains the
//! boundary.

use super::{Compiled, Input, form};
use crate::definition::template::fault::Faults;
use crate::definition::template::lex::{Percent, lex, masked};
use crate::definition::template::pairs::{Compiler, Element, Literals, bounds, write_text};
use crate::definition::template::uses::{DefinitionPart, Filled, Uses, UsesFound};
use ring::digest;

pub(super) const CONTENT_TYPE: &str = "multipart/form-data";

/// A form with variables.
#[derive(Debug)]
struct Multipart(Box<[Field]>);

#[derive(Debug)]
struct Field {
    name: Box<[Element]>,
    value: Box<[Element]>,
    /// The slot of the optional variable without whose value the field is left out.
    optional: Option<u32>,
}

/// Compiles `text`. Adds its faults to `faults`.
pub(super) fn compile(input: &Input<'_>, faults: &mut Faults<'_>) -> (Box<dyn Compiled>, Uses) {
    let Input { text, tokens, mandatory } = *input;
    let end = form::end_of_line(text, faults);
    let pieces = lex(text, tokens, Percent::Encoding, faults);
    let text = &*masked(text, &pieces);
    let mut uses = UsesFound::default();
    let mut compiler = Compiler { text, pieces: &pieces, uses: &mut uses, mandatory };
    let pairs = bounds(text, 0, end).filter(|(start, _, end)| start < end);
    let fields = pairs.map(|(start, equals, end)| {
        let equals = equals.unwrap_or(end);
        let value = (equals + 1).min(end);
        Field {
            name: compiler.elements(start, equals, Literals::Decoded),
            optional: compiler.optional(value, end),
            value: compiler.elements(value, end, Literals::Decoded),
        }
    });
    let fields = fields.collect();
    let uses = uses.finish(text, &DefinitionPart::Body);
    (Box::new(Multipart(fields)), uses)
}

impl Compiled for Multipart {
    fn write(&self, filled: &Filled<'_>, out: &mut Vec<u8>) {
        let is_there =
            |field: &&Field| field.optional.is_none_or(|slot| filled.get(slot).is_some());
        let fields = self.0.iter().filter(is_there);
        let text = |elements| {
            let mut out = String::new();
            write_text(elements, filled, &mut out);
            out
        };
        let fields = fields.map(|field| (text(&field.name), text(&field.value)));
        let fields: Vec<(String, String)> = fields.collect();
        let boundary = boundary(&fields);
        for (name, value) in &fields {
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n",
                escaped(name)
            );
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    }
}

/// Returns the content type of the rendered body `body`, which begins with its boundary.
pub(super) fn content_type_of(body: &[u8]) -> String {
    let line = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let boundary = line.strip_prefix("--").unwrap_or_default();
    let boundary = boundary.strip_suffix("--").unwrap_or(boundary);
    format!("{CONTENT_TYPE}; boundary={boundary}")
}

/// Escapes the characters that would end a name.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns a boundary with the first 16 bytes of a digest.
fn boundary(fields: &[(String, String)]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    }
    let digest = context.finish();
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    format!("ringback-{:032x}", u128::from_be_bytes(first))
}
