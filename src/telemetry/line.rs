//! Cleans one line of the log: removes terminal controls, and paths of the machine that built the binary.

use super::escape;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Text {
        /// Whether its own colours stay.
        coloured: bool,
    },
}

/// Folders of sources: of other crates as Cargo stores them, and of the standard library.
const BUILT_IN: [&str; 2] = ["/registry/src/", "/rustc/"];
/// Prefix of the fields that `tracing` adds to a record of the crate `log`. They repeat the target, or are for
/// developers only.
const OF_LOG: &str = "log.";

/// Returns the cleaned line.
pub(super) fn tidied(line: &str, form: Form) -> Cow<'_, str> {
    let tidy = match form {
        Form::Json => without_fields_of_log(line).map_or(Cow::Borrowed(line), Cow::Owned),
        Form::Text { .. } => Cow::Borrowed(line),
    };
    let tidy = match without_build_paths(&tidy) {
        Some(text) => Cow::Owned(text),
        None => tidy,
    };
    let coloured = form == Form::Text { coloured: true };
    match if coloured { printable_in_colours(&tidy) } else { printable(&tidy) } {
        Some(text) => Cow::Owned(text),
        None => tidy,
    }
}

fn printable(text: &str) -> Option<String> {
    match escape::printable(text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    }
}

/// Like `printable`, but keeps sequences that set a colour. `tracing` escapes those of others before it adds its own.
fn printable_in_colours(text: &str) -> Option<String> {
    let mut parts = text.split('\u{1b}');
    let mut out = escape::printable(parts.next()?).into_owned();
    for part in parts {
        let colour = part.strip_prefix('[').and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            rest.get(end..)?.starts_with('m').then_some(())
        });
        out.push_str(if colour.is_some() { "\u{1b}" } else { "\\u001b" });
        out.push_str(&escape::printable(part));
    }
    (out != text).then_some(out)
}

/// Removes the fields that only records of the crate `log` have. Returns `None` if there are none.
fn without_fields_of_log(line: &str) -> Option<String> {
    if !line.contains("\"log.") {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let kept: Map<String, Value> =
        fields.into_iter().filter(|(name, _)| !name.starts_with(OF_LOG)).collect();
    Some(format!("{}\n", Value::Object(kept)))
}

/// Shortens each path of a source that was built elsewhere to crate and file. Returns `None` if there is none.
pub(super) fn without_build_paths(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    loop {
        let next = BUILT_IN.iter().filter_map(|mark| Some((rest.find(mark)?, mark.len()))).min();
        let Some((at, length)) = next else { break };
        let (before, path) = rest.split_at(at);
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | '=' | '`');
        let start = before.rfind(is_end).map_or(0, |end| end + 1);
        out.push_str(before.get(..start).unwrap_or_default());
        // The registry's folder, or the compiler's hash.
        let path = path.get(length..).unwrap_or_default();
        rest = path.split_once('/').map_or(path, |(_, file)| file);
    }
    if rest.len() == text.len() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Form = Form::Text { coloured: false };

    #[test]
    fn paths_of_the_build_are_cut_down_to_crate_and_file() {
        for (line, then) in [
            (
                "at /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/h2-0.4.5/src/a.rs:1:2 x",
                "at h2-0.4.5/src/a.rs:1:2 x",
            ),
            (
                "\"file\":\"/home/b/.cargo/registry/src/i-1/a-1.0/src/lib.rs\",\"n\":1",
                "\"file\":\"a-1.0/src/lib.rs\",\"n\":1",
            ),
            (
                "panicked at /rustc/0123abc/library/core/src/option.rs:9:1",
                "panicked at library/core/src/option.rs:9:1",
            ),
            ("(/a/registry/src/i/b-1/x.rs) (/a/registry/src/i/c-1/y.rs)", "(b-1/x.rs) (c-1/y.rs)"),
            ("/registry/src/", ""),
            ("src/engine.rs:1:2", "src/engine.rs:1:2"),
        ] {
            assert_eq!(tidied(line, TEXT), then);
        }
    }

    #[test]
    fn only_colour_sequences_pass_and_only_where_colours_are_allowed() {
        let line = "\u{1b}[31mred\u{1b}[0m \u{1b}[2J\u{1b}]0;t\u{7} \u{202e}x\n";
        assert_eq!(
            tidied(line, Form::Text { coloured: true }),
            "\u{1b}[31mred\u{1b}[0m \\u001b[2J\\u001b]0;t\\u0007 \\u202ex\n"
        );
        assert!(!tidied(line, TEXT).contains('\u{1b}'));
        assert!(matches!(tidied("plain\n", TEXT), Cow::Borrowed("plain\n")));
    }

    #[test]
    fn fields_of_the_log_crate_are_left_out() {
        let line = "{\"message\":\"m\",\"log.file\":\"/x/y.rs\",\"log.line\":3,\"log.target\":\"t\",\"n\":1}\n";
        let tidy = tidied(line, Form::Json);
        let value: Value = serde_json::from_str(&tidy).unwrap();
        assert_eq!(value, serde_json::json!({"message": "m", "n": 1}));
        assert!(tidy.ends_with('\n'));
    }
}
