//! Checks whether an XML text is well-formed, and describes the fault for its author.

use crate::definition::template::fault::{Faults, position};
use roxmltree::{Document, Error};

pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The pseudo-attributes that a declaration may have, in this order, with their values.
const DECLARED: [(&str, &[&str]); 3] =
    [("version", &["1.0"]), ("encoding", &["UTF-8"]), ("standalone", &["yes", "no"])];

/// Adds the first fault of `text`.
pub(super) fn check(text: &str, faults: &mut Faults<'_>) {
    declaration(text, faults);
    if let Err(error) = Document::parse(text) {
        let at_the_end = matches!(
            error,
            Error::NoRootNode | Error::UnclosedRootNode | Error::UnexpectedEndOfStream
        );
        let (line, column) = if at_the_end {
            // These errors have no position of their own.
            position(text, text.trim_end().len())
        } else {
            (error.pos().row as usize, error.pos().col as usize)
        };
        // The error's text ends with its position. The fault already has one.
        let problem = error.to_string();
        let problem = problem.replace(&format!(" at {}", error.pos()), "");
        faults.add_at(line, column, problem, fix(&error));
    }
}

fn fix(error: &Error) -> String {
    if let Error::UnknownEntityReference(name, _) = error {
        return format!(
            "write `&amp;{name};` for the text itself, or a character in place of the entity; there are &amp; &lt; &gt; \
             &quot; and &apos;"
        );
    }
    if let Error::UnknownNamespace(prefix, _) = error {
        return format!("declare it in a tag around: xmlns:{prefix}=\"…\"");
    }
    if let Error::UnexpectedCloseTag(expected, _, _) = error {
        return format!("close `{expected}` first");
    }
    let known = [
        (matches!(error, Error::MalformedEntityReference(_)), "write `&amp;` for a plain `&`"),
        (matches!(error, Error::InvalidAttributeValue(_)), "write `&lt;` for a plain `<`"),
        (matches!(error, Error::InvalidCharacterData(_)), "write `]]&gt;`"),
        (matches!(error, Error::InvalidComment(_)), "write `- -`"),
        (matches!(error, Error::NoRootNode), "put everything in one root element"),
        (matches!(error, Error::UnclosedRootNode), "close every element that was opened"),
        (
            matches!(error, Error::UnknownToken(_)),
            "the body has one root element, and text only in it",
        ),
        (matches!(error, Error::DuplicatedAttribute(..)), "remove one of them"),
        (matches!(error, Error::NonXmlChar(..)), "remove it: XML 1.0 cannot hold it"),
    ];
    let fix = known.into_iter().find_map(|(is, fix)| is.then_some(fix));
    fix.unwrap_or("the body must be well-formed XML 1.0 with namespaces").to_owned()
}

/// Checks the XML declaration. Bodies are sent as UTF-8 and escaped for XML 1.0, so it must not say otherwise.
fn declaration(text: &str, faults: &mut Faults<'_>) {
    let declared = text.trim_start_matches(BYTE_ORDER_MARK).strip_prefix("<?xml");
    let Some((declaration, after)) = declared.and_then(|rest| rest.split_once("?>")) else {
        return;
    };
    if !declaration.starts_with([' ', '\t', '\r', '\n']) {
        return;
    }
    let end = text.len() - after.len() - "?>".len();
    let mut rest = declaration.trim();
    for (name, allowed) in DECLARED {
        let Some((value, after)) = pseudo_attribute(rest, name) else { continue };
        if !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(value)) {
            let problem = format!("the body will not be of the {name} `{value}`");
            faults.add(end - rest.len(), problem, format!("write {}", allowed.join(" or ")));
        }
        rest = after.trim_start();
    }
    if !rest.is_empty() || !declaration.trim_start().starts_with("version") {
        let fix = "write <?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        faults.add(end - rest.len(), "the XML declaration cannot be read", fix);
    }
}

/// Returns the value of the pseudo-attribute `name` at the beginning of `text`, and the text behind it.
fn pseudo_attribute<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let value = text.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value.get(1..)?.split_once(quote)
}
