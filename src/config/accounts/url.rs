//! A webhook's URL. A fault never quotes it: credentials may stand in it.

use crate::config::context::Context;
use crate::config::document::Place;

/// What starts a variable.
const VARIABLES: [&str; 4] = ["$flow.", "$call.", "$sms.", "$user."];

/// The URL that `text` spells. `http_enabled`: what the account says, `None` when there is no such account.
pub(super) fn parse(
    text: &str,
    http_enabled: Option<bool>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<reqwest::Url> {
    if let Some((problem, mend)) = template_fault(text) {
        context.fault(place, format!("bad template of URL: {problem}"), mend);
        return None;
    }
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            let mend = "write it as in \"https://example.com/hooks/phonon\"";
            context.fault(place, format!("is not a URL: {error}"), mend);
            return None;
        }
    };
    let mut good = true;
    let mut fault = |problem: &str, mend: &str| {
        context.fault(place, problem, mend);
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

/// Problem and mend of a text that looks like a template. Variables in a URL are not available, and sending one
/// as it stands would reach the wrong place.
fn template_fault(text: &str) -> Option<(String, &'static str)> {
    let lower = text.to_ascii_lowercase();
    if let Some(variable) = VARIABLES.into_iter().find(|variable| lower.contains(variable)) {
        let mend = "write the whole URL out; variables in a URL are not available yet";
        return Some((format!("it holds a variable, `{variable}…`"), mend));
    }
    if has_bare_percent(text) {
        let mend = "write the whole URL out, and %25 for a percent sign";
        return Some(("it holds a `%` that encodes nothing".to_owned(), mend));
    }
    let mut depth = 0_i32;
    for byte in text.bytes() {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth < 0 {
            break;
        }
    }
    (depth != 0).then(|| {
        let mend = "write the whole URL out, and %7B and %7D for braces";
        ("its braces do not match".to_owned(), mend)
    })
}

/// Whether a `%` is not followed by two hexadecimal digits, as in `%callid%`.
fn has_bare_percent(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.any(|part| {
        let mut bytes = part.bytes();
        let digits = [bytes.next(), bytes.next()];
        !digits.into_iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_hexdigit()))
    })
}
