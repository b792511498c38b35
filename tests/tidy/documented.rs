//! Checks that public items have doc comments. Fields and variants need none where their name says enough. rustc's
//! `missing_docs` has no such exception, and so leads to comments that repeat the name.

use crate::source::{is_test, shipped_code};
use crate::{assert_tidy, sources};

/// The keywords of items, and the keywords before them.
const ITEMS: &[&str] = &["fn", "struct", "enum", "union", "trait", "const", "static", "type"];
const BEFORE: &[&str] = &["async", "const", "unsafe", "extern"];

/// Returns the public functions, types, traits, constants and statics, and the functions of public traits, without a
/// doc comment.
fn documented(path: &str, text: &str) -> Vec<String> {
    if is_test(path) {
        return Vec::new();
    }
    let code = shipped_code(path, text);
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    let mut in_trait = None;
    for (at, line) in code.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let item = public_item(line);
        let method = in_trait == Some(indent) && named(line.trim_start()).is_some();
        if let Some(name) = item.or_else(|| named(line.trim_start()).filter(|_| method))
            && !has_doc(&lines, at)
        {
            faults.push(format!("line {}: `{name}` has no doc comment", at + 1));
        }
        // rustfmt indents the methods of a trait by four columns.
        if line.trim_start().starts_with("pub trait ") {
            in_trait = Some(indent + 4);
        } else if line.trim_start().starts_with('}') && in_trait == Some(indent + 4) {
            in_trait = None;
        }
    }
    faults
}

/// Returns the name of the item that the line declares `pub`. Items with a smaller visibility need no docs.
fn public_item(line: &str) -> Option<&str> {
    named(line.trim_start().strip_prefix("pub ")?)
}

/// Returns the name of the item that `rest` declares.
fn named(rest: &str) -> Option<&str> {
    let mut words = rest.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        // `const` declares a constant, or qualifies a function.
        let is_before = BEFORE.contains(&word) && (ITEMS.contains(&next) || BEFORE.contains(&next));
        if is_before {
            continue;
        }
        if !ITEMS.contains(&word) {
            return None;
        }
        return next.split(|c: char| !c.is_alphanumeric() && c != '_').next();
    }
    None
}

/// Returns whether a doc comment is above line `at`. There may be attributes between them.
fn has_doc(lines: &[&str], at: usize) -> bool {
    let mut in_attribute = false;
    for line in lines.iter().take(at).rev().map(|line| line.trim()) {
        // A macro passes attributes on, and doc comments are attributes.
        if ["///", "#[doc", "$(#["].iter().any(|start| line.starts_with(start)) {
            return true;
        }
        let begins = line.starts_with("#[");
        if !begins && !in_attribute && !line.ends_with(']') {
            return false;
        }
        in_attribute = !begins;
    }
    false
}

#[test]
fn public_items_have_doc_comments() {
    assert_tidy(&sources(), documented);
    for text in [
        "pub fn a() {}",
        "\npub struct A;",
        "// no doc\npub enum A {}",
        "#[derive(Debug)]\npub struct A;",
        "impl A {\n    pub const fn a() {}\n}",
        "pub unsafe fn a() {}",
        "pub const A: u8 = 1;",
        "/// A trait.\npub trait A {\n    fn a(&self);\n}\nfn b() {}",
    ] {
        assert_eq!(documented("src/x.rs", text).len(), 1, "{text}");
    }
    for text in [
        "/// A.\npub fn a() {}",
        "/// A.\n#[derive(\n    Debug,\n)]\npub struct A {\n    pub field: u8,\n}",
        "/// A.\npub enum A {\n    B,\n}",
        "pub(crate) fn a() {}\nfn b() {}\npub use a::b;\npub mod a;",
        "/// A.\npub trait A {\n    /// B.\n    fn b(&self);\n}\nimpl A for B {\n    fn b(&self) {}\n}",
        "#[cfg(test)]\nmod tests {\n    pub fn a() {}\n}",
        "$(#[$meta])*\n#[derive(Clone)]\npub enum $name {}",
    ] {
        assert_eq!(documented("src/x.rs", text), Vec::<String>::new(), "{text}");
    }
}
