//! Escapes values for XML text, attribute values and CDATA sections.

use crate::definition::template::value::decode;

/// Appends a value to text. A carriage return becomes a reference, because a parser would turn it into a line feed.
pub(super) fn text(out: &mut Vec<u8>, json: Option<&str>) {
    escape(out, json, |out, character| {
        out.extend_from_slice(match character {
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            '\r' => b"&#13;",
            _ => return false,
        });
        true
    });
}

/// Appends a value to an attribute value in either kind of quotes. Tabs and line breaks become references, because a
/// parser would turn them into spaces.
pub(super) fn attribute(out: &mut Vec<u8>, json: Option<&str>) {
    escape(out, json, |out, character| {
        out.extend_from_slice(match character {
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            '"' => b"&quot;",
            '\'' => b"&apos;",
            '\t' => b"&#9;",
            '\n' => b"&#10;",
            '\r' => b"&#13;",
            _ => return false,
        });
        true
    });
}

/// Appends a value to a CDATA section. The section is interrupted for text that it can't contain.
pub(super) fn cdata(out: &mut Vec<u8>, json: Option<&str>) {
    escape(out, json, |out, character| {
        match character {
            '>' if out.ends_with(b"]]") => out.extend_from_slice(b"]]><![CDATA[>"),
            '\r' => out.extend_from_slice(b"]]>&#13;<![CDATA["),
            _ => return false,
        }
        true
    });
}

/// Appends the template's own text to a CDATA section behind a value, so that value and text together do not end the
/// section.
pub(super) fn cdata_text(out: &mut Vec<u8>, text: &[u8]) {
    for piece in text.split_inclusive(|byte| *byte == b'>') {
        // Only the beginning of the text can complete a `]]>`. The template's text itself does not contain one.
        let (run, end) = piece.split_at(piece.len() - usize::from(piece.ends_with(b">")));
        out.extend_from_slice(run);
        if !end.is_empty() && out.ends_with(b"]]") {
            out.extend_from_slice(b"]]><![CDATA[");
        }
        out.extend_from_slice(end);
    }
}

/// Appends the content of a JSON string, or the JSON text of another value. Calls `special` for each character that may
/// need more than a copy, after the text before it is written. `special` returns whether it wrote a replacement.
#[inline]
fn escape(
    out: &mut Vec<u8>,
    json: Option<&str>,
    special: impl Fn(&mut Vec<u8>, char) -> bool + Copy,
) {
    let Some(json) = json else { return };
    decode(json, |text| {
        let mut rest = text;
        while let Some(at) = rest.find(is_notable) {
            let (run, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            out.extend_from_slice(run.as_bytes());
            let mut characters = tail.chars();
            let Some(character) = characters.next() else { return };
            if !special(out, character) {
                let held = if is_held(character) { character } else { '\u{fffd}' };
                out.extend_from_slice(held.encode_utf8(&mut [0; 4]).as_bytes());
            }
            rest = characters.as_str();
        }
        out.extend_from_slice(rest.as_bytes());
    });
}

const fn is_notable(character: char) -> bool {
    matches!(character, '\0'..' ' | '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}')
}

/// Returns whether XML 1.0 can contain the character (its production 2, `Char`).
const fn is_held(character: char) -> bool {
    !matches!(character, '\0'..'\t' | '\u{b}' | '\u{c}' | '\u{e}'..' ' | '\u{fffe}' | '\u{ffff}')
}
