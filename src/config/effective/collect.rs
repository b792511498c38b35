//! Lists the keys of a checked document with their sources and the values that may be shown.

use super::keys::{self, Show};
use super::{Entry, Source};
use crate::config::settings;
use crate::document::{Node, Origin, Referred, Value, join, sha256};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// Lists whose order has no meaning.
const UNORDERED: [&str; 4] = ["account", "template", "webhook", "flow"];

/// The text in the place of a secret.
const HIDDEN: &str = "***";

/// The keys to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Listed {
    /// Every key, set or not.
    All,
    /// Keys of existing tables that are set or have a default.
    InForce,
}

/// Returns the entries of a tree. `referred` has digests of the files and variables that its keys refer to. Relative
/// paths start at the folder `base`.
pub(in crate::config) fn collect(
    tree: &Node,
    base: &Path,
    schema: &Json,
    referred: &[Referred],
    listed: Listed,
) -> Vec<Entry> {
    let base = if base == Path::new("") { Path::new(".") } else { base };
    // The same configuration has the same entries when its path contains links or `..`.
    let base = &std::fs::canonicalize(base).unwrap_or_else(|_| base.to_owned());
    let mut by_key: BTreeMap<&str, Vec<[u8; 32]>> = BTreeMap::new();
    for Referred { key, digest } in referred {
        // The key of a secret's file is one level below the secret. But another key may end in `.file` itself.
        for key in std::iter::once(key.as_str()).chain(key.strip_suffix(".file")) {
            by_key.entry(key).or_default().push(*digest);
        }
    }
    let mut collector = Collector { base, referred: by_key, listed, entries: Vec::new() };
    collector.table(schema, Some(tree), "", "");
    collector.entries
}

struct Collector<'a> {
    base: &'a Path,
    referred: BTreeMap<&'a str, Vec<[u8; 32]>>,
    listed: Listed,
    entries: Vec<Entry>,
}

impl Collector<'_> {
    /// Lists a table. `pattern` is the key without the names of items.
    fn table(&mut self, schema: &Json, node: Option<&Node>, key: &str, pattern: &str) {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, below) in properties.into_iter().flatten() {
            let node = node.and_then(|node| node.get(name));
            self.value(below, node, &join(key, name), &join(pattern, name));
        }
    }

    fn value(&mut self, schema: &Json, node: Option<&Node>, key: &str, pattern: &str) {
        let show = keys::show(pattern, schema);
        if keys::is_secret(schema) {
            return self.leaf(schema, node, key, show);
        }
        if schema.get("properties").is_some() {
            if node.is_some() || self.listed == Listed::All {
                self.table(schema, node, key, pattern);
            }
            return;
        }
        if let Some(of_items) = schema.get("items")
            && (keys::is_secret(of_items) || of_items.get("properties").is_some())
        {
            let before = self.entries.len();
            let mut items = Vec::new();
            for item in node.map(Node::items).unwrap_or_default() {
                let key = format!("{key}[{}]", item.label());
                self.value(of_items, Some(item), &key, pattern);
                items.push(self.entries.split_off(before));
            }
            if UNORDERED.contains(&pattern) {
                items.sort_by(|one, other| spelt(one).cmp(spelt(other)));
            }
            self.entries.extend(items.into_iter().flatten());
            return;
        }
        let Some(any) = schema.get("additionalProperties").filter(|any| any.is_object()) else {
            return self.leaf(schema, node, key, show);
        };
        let Some(Node { value: Value::Table(table), .. }) = node else { return };
        for (name, node) in table {
            let is_shown = pattern == "kafka.client" && settings::shows_property(name);
            let show = if is_shown { Show::Plain } else { show };
            self.leaf(any, Some(node), &join(key, name), show);
        }
    }

    fn leaf(&mut self, schema: &Json, node: Option<&Node>, key: &str, show: Show) {
        let Some(node) = node else {
            let default = schema.get("default");
            let is_listed = match self.listed {
                Listed::All => true,
                Listed::InForce => default.is_some_and(|default| !is_empty(default)),
            };
            if is_listed {
                let (value, _) = self.shown(default.cloned().unwrap_or(Json::Null), show);
                let (key, source) = (key.to_owned(), Source::Default);
                self.entries.push(Entry { key, value, hidden: None, source });
            }
            return;
        };
        let raw = serde_json::to_value(node.to_toml()).unwrap_or(Json::Null);
        if self.listed == Listed::InForce && is_empty(&raw) && schema.get("default") == Some(&raw) {
            // An empty value that equals the default counts as not set.
            return;
        }
        let text = raw.to_string();
        let (value, is_whole) = self.shown(raw, show);
        let mut content = if is_whole { Vec::new() } else { text.into_bytes() };
        for digest in self.referred.get(key).into_iter().flatten() {
            content.extend_from_slice(digest);
        }
        let hidden = (!content.is_empty()).then(|| sha256(&content));
        let source = match &node.origin {
            Origin::File(file) => Source::File(file.clone(), None),
            Origin::Line(file, line) => Source::File(file.clone(), Some(*line)),
            Origin::Variable(name) => Source::Variable(name.clone()),
            Origin::Row(place) => Source::Row(place.clone()),
        };
        self.entries.push(Entry { key: key.to_owned(), value, hidden, source });
    }

    /// Returns the value as it may be shown, and whether nothing of it is hidden.
    fn shown(&self, raw: Json, show: Show) -> (Json, bool) {
        match (raw, show) {
            // The name of a variable, a file or a template is not secret.
            (reference @ Json::Object(_), Show::Hidden) if is_reference(&reference) => {
                (reference, true)
            }
            (Json::Null, _) => (Json::Null, true),
            (_, Show::Hidden) => (HIDDEN.into(), false),
            (Json::String(text), Show::Path) => {
                let path = self.base.join(&text);
                let path = std::path::absolute(&path).unwrap_or(path);
                (path.to_string_lossy().into(), true)
            }
            (raw, Show::Plain | Show::Path) => plain(raw),
        }
    }
}

/// Returns the text by which an item is sorted.
fn spelt(entries: &[Entry]) -> impl Iterator<Item = (&str, String)> {
    entries.iter().map(|entry| (entry.key.as_str(), entry.value.to_string()))
}

fn is_empty(value: &Json) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn is_reference(value: &Json) -> bool {
    let is_one = |name| value.get(name).is_some_and(Json::is_string);
    value.as_object().is_some_and(|it| it.len() == 1)
        && ["env", "file", "name"].into_iter().any(is_one)
}

/// Returns the value without the secrets in URLs, and with one spelling of each number. Also returns whether nothing of
/// it is hidden.
fn plain(raw: Json) -> (Json, bool) {
    match raw {
        Json::String(text) => {
            let shown = without_url_secrets(&text);
            let is_whole = shown == text;
            (shown.into(), is_whole)
        }
        Json::Array(items) => {
            let items: Vec<(Json, bool)> = items.into_iter().map(plain).collect();
            let is_whole = items.iter().all(|(_, is_whole)| *is_whole);
            (items.into_iter().map(|(item, _)| item).collect(), is_whole)
        }
        Json::Number(number) => {
            const EXACT: f64 = 9e15;
            let whole = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < EXACT);
            let whole =
                whole.filter(|_| number.is_f64()).and_then(|it| format!("{it:.0}").parse().ok());
            (Json::Number(whole.unwrap_or(number)), true)
        }
        // The constant of a token may contain anything.
        Json::Object(members) if members.contains_key("value") => {
            (serde_json::json!({ "value": HIDDEN }), false)
        }
        other @ (Json::Null | Json::Bool(_) | Json::Object(_)) => (other, true),
    }
}

/// The mark of a private key, which may be in the same text as a certificate.
const KEY_MARK: &str = "PRIVATE KEY-----";

/// Returns the URL that clients parse from `text`, if it is not spelt with `://` and a host: `https:host`,
/// `https:\\host`.
fn in_plain_spelling(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok().filter(reqwest::Url::has_host)?;
    let is_plain = text.split_once("://").is_some_and(|(scheme, rest)| {
        let goes_on = ['/', '\\', '\t', '\n', '\r'];
        scheme.eq_ignore_ascii_case(url.scheme()) && !rest.starts_with(goes_on)
    });
    (!is_plain).then(|| url.into())
}

/// Returns `text` without the credentials, the query and the fragment of its URLs.
fn without_url_secrets(text: &str) -> String {
    if text.contains(KEY_MARK) {
        return HIDDEN.to_owned();
    }
    let plain = in_plain_spelling(text);
    let text = plain.as_deref().unwrap_or(text);
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
        rest = after;
        if let Some(at) = after.get(..end).and_then(|authority| authority.rfind('@')) {
            shown.push_str(HIDDEN);
            rest = after.get(at..).unwrap_or_default();
        }
    }
    if shown.is_empty() {
        return text.to_owned();
    }
    shown.push_str(rest);
    if let Some(at) = shown.find(['?', '#']) {
        shown.truncate(at + 1);
        shown.push_str(HIDDEN);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::without_url_secrets;

    #[test]
    fn credentials_and_queries_of_urls_do_not_show() {
        for (text, shown) in [
            ("crm", "crm"),
            ("a?b#c", "a?b#c"),
            ("https://host/path", "https://host/path"),
            ("https://u:p@host/path@x?key=k", "https://***@host/path@x?***"),
            ("https://u:p,@q@host", "https://***@host"),
            ("https://host#fragment", "https://host#***"),
            ("SASL_SSL://u:p@a:1,SASL_SSL://u:p@b:2", "SASL_SSL://***@a:1,SASL_SSL://***@b:2"),
            ("https://host/?to=ftp://u:p@h", "https://host/?***"),
            ("https:u:p@host/?key=k", "https://***@host/?***"),
            (r"https:\\u:p@host?key=k", "https://***@host/?***"),
            ("https:///u:p@host/", "https://***@host/"),
            ("ht\ntps:/\t/u:p@host/", "https://***@host/"),
            ("localhost:9092,other:9092", "localhost:9092,other:9092"),
            ("-----BEGIN PRIVATE KEY-----\nMC4C", "***"),
        ] {
            assert_eq!(without_url_secrets(text), shown);
        }
    }
}
