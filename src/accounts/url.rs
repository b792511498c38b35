//! A webhook's URL. A fault never quotes it, because it may contain credentials.

use super::definition::{doubtful, say};
use crate::definition::template::{Need, Tokens, UrlTemplate, Variable, masked_names};
use crate::document::{Context, Place};

/// Parses `text` as a URL that may contain variables, and returns its template too.
pub(super) fn read(
    text: &str,
    http_enabled: Option<bool>,
    tokens: &Tokens,
    need: &dyn Fn(&Variable) -> Need,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<(reqwest::Url, UrlTemplate)> {
    doubtful(text, place, context);
    let url = parse(&masked_names(text), http_enabled, place, context)?;
    match UrlTemplate::parse(text, tokens, need) {
        Ok(template) => Some((url, template)),
        Err(faults) => {
            say("bad template of URL: ", &faults, place, context);
            None
        }
    }
}

/// Parses `text` as a URL. `http_enabled` is the account's setting, or `None` if there is no such account.
pub(super) fn parse(
    text: &str,
    http_enabled: Option<bool>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<reqwest::Url> {
    if braces_differ(text) {
        context.fault(
            place,
            "bad template of URL: its braces do not match",
            "write the whole URL out, and %7B and %7D for braces",
        );
        return None;
    }
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            let fix = "write it as in \"https://example.com/hooks/phonon\"";
            context.fault(place, format!("is not a URL: {error}"), fix);
            return None;
        }
    };
    let mut good = true;
    let mut fault = |problem: &str, fix: &str| {
        context.fault(place, problem, fix);
        good = false;
    };
    match (url.scheme(), http_enabled) {
        ("https", _) | ("http", Some(true) | None) => {}
        ("http", Some(false)) => fault(
            "is http://, and its account does not allow that",
            "write https://, or set http_enabled = true at the [[account]]",
        ),
        (_, _) => fault("is not an https:// URL", "write https://, the only scheme beside http://"),
    }
    if url.host_str().is_none_or(str::is_empty) {
        fault("has no host", "write it as in \"https://example.com/hooks/phonon\"");
    }
    if !url.username().is_empty() || url.password().is_some() {
        fault(
            "holds credentials, which would show in logs",
            "move them to auth = { type = \"basic\", … }",
        );
    }
    if url.fragment().is_some() {
        fault("has a fragment, which no request carries", "remove `#` and what follows it");
    }
    good.then_some(url)
}

/// Returns whether braces are not balanced. They have no meaning, so this is a mistake.
fn braces_differ(text: &str) -> bool {
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return true,
            b'}' => open -= 1,
            _ => {}
        }
    }
    open > 0
}
