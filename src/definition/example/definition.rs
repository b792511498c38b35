//! Writes a definition's `response` as TOML 1.0, with an entry for each leaf.

use super::super::mapping::AnswerFormat;
use super::Leaf;

/// Writes `leaves` as the `response` of the preceding `[[webhook]]`, each with its sample as a comment.
#[must_use]
pub fn definition(kind: AnswerFormat, leaves: &[Leaf]) -> String {
    let kind = match kind {
        AnswerFormat::Json => "json",
        AnswerFormat::Xml => "xml",
    };
    let mut out = format!("[webhook.response]\ntype = \"{kind}\"\n");
    for leaf in leaves {
        out.push_str("\n[[webhook.response.map]]\nsave_in = ");
        push_string(&mut out, &format!("$flow.key.{}", leaf.name));
        out.push_str("\npath = ");
        push_string(&mut out, &leaf.path);
        out.push_str(" # ");
        out.push_str(&leaf.sample);
        out.push('\n');
    }
    out
}

/// Writes `text` as a basic string: <https://toml.io/en/v1.0.0#string>.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            _ if super::is_unseen(letter) => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}
