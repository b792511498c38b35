//! The leaves of an XML document.

use super::super::mapping::{TextFault, xml};
use super::name::PathSegment;
use super::{Found, SAMPLE_MAX, check, sample};
use roxmltree::Node;
use std::collections::BTreeMap;

pub(super) fn leaves(bytes: &[u8]) -> Result<Vec<Found>, TextFault> {
    let text = xml::decode(bytes)?;
    let document = xml::parse(&text)?;
    let mut listing = Listing::default();
    match listing.children(document.root()) {
        Ok(()) => Ok(listing.found),
        // The tree has no positions in the text.
        Err(problem) => Err(TextFault { line: 1, column: 1, problem }),
    }
}

/// The position of the walk, and the leaves so far.
#[derive(Default)]
struct Listing {
    found: Vec<Found>,
    path: String,
    segments: Vec<PathSegment>,
}

/// How often each node test matches among an element's children or attributes.
type Counts<'d> = BTreeMap<Test<'d>, usize>;

/// A test that finds a node by its name. A name in a namespace is found by its local name, since the definition
/// declares no prefix for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Test<'d> {
    Plain(&'d str),
    Local(&'d str),
    Text,
}

impl<'d> Test<'d> {
    fn of_name(local: &'d str, namespace: Option<&str>) -> Self {
        if namespace.unwrap_or_default().is_empty() {
            Self::Plain(local)
        } else {
            Self::Local(local)
        }
    }

    fn count(self, counts: &mut Counts<'d>) {
        *counts.entry(self).or_insert(0) += 1;
    }
}

impl Listing {
    /// Lists the children of `parent`. The limit of nested elements bounds the recursion.
    fn children(&mut self, parent: Node<'_, '_>) -> Result<(), &'static str> {
        let mut all = Counts::new();
        for child in parent.children() {
            counted(child, &mut all);
        }
        let mut before = Counts::new();
        for child in parent.children() {
            let Some(test) = counted(child, &mut before) else { continue };
            let blank = child.is_text() && child.text().is_some_and(is_blank);
            if blank {
                continue;
            }
            let length = self.path.len();
            let segments = self.segments.len();
            self.path.push('/');
            self.push_test(test, &all, &before);
            match test {
                Test::Plain(_) | Test::Local(_) => self.element(child)?,
                Test::Text => self.leaf(child.text().unwrap_or_default())?,
            }
            self.path.truncate(length);
            self.segments.truncate(segments);
        }
        Ok(())
    }

    fn element(&mut self, element: Node<'_, '_>) -> Result<(), &'static str> {
        self.attributes(element)?;
        if element.children().any(|child| child.is_element()) {
            return self.children(element);
        }
        let texts = element.children().filter(Node::is_text);
        let text: String = texts.filter_map(|child| child.text()).collect();
        if text.is_empty() && element.attributes().len() > 0 {
            return Ok(());
        }
        self.leaf(&text)
    }

    fn attributes(&mut self, element: Node<'_, '_>) -> Result<(), &'static str> {
        let mut all = Counts::new();
        for attribute in element.attributes() {
            Test::Local(attribute.name()).count(&mut all);
        }
        let mut before = Counts::new();
        for attribute in element.attributes() {
            let local = Test::Local(attribute.name());
            local.count(&mut before);
            let length = self.path.len();
            let segments = self.segments.len();
            self.path.push_str("/@");
            match attribute.namespace() {
                Some(XML_NAMESPACE) => {
                    self.path.push_str("xml:");
                    self.push_test(Test::Plain(attribute.name()), &Counts::new(), &before);
                }
                None => self.push_test(Test::Plain(attribute.name()), &Counts::new(), &before),
                Some(_) => self.push_test(local, &all, &before),
            }
            self.leaf(attribute.value())?;
            self.path.truncate(length);
            self.segments.truncate(segments);
        }
        Ok(())
    }

    /// Appends the step to the node that `before` counted last. `all` says whether the step needs a position.
    fn push_test(&mut self, test: Test<'_>, all: &Counts<'_>, before: &Counts<'_>) {
        match test {
            Test::Plain(name) => self.path.push_str(name),
            Test::Local(name) => self.path.push_str(&format!("*[local-name()='{name}']")),
            Test::Text => self.path.push_str("text()"),
        }
        if let Test::Plain(name) | Test::Local(name) = test {
            self.segments.push(PathSegment::Name(name.to_owned()));
        }
        let (all, before) = (all.get(&test).copied(), before.get(&test).copied());
        if let Some(position) = before.filter(|_| all.is_some_and(|all| all > 1)) {
            self.path.push_str(&format!("[{position}]"));
            self.segments.push(PathSegment::Index(position));
        }
    }

    fn leaf(&mut self, value: &str) -> Result<(), &'static str> {
        check(&self.path, self.found.len())?;
        let shown: String = value.chars().take(SAMPLE_MAX + 1).collect();
        let sample = sample(&serde_json::Value::from(shown).to_string());
        self.found.push(Found { path: self.path.clone(), segments: self.segments.clone(), sample });
        Ok(())
    }
}

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// Counts `node` for each test that matches it. Returns the test by which to find it.
fn counted<'d>(node: Node<'d, '_>, counts: &mut Counts<'d>) -> Option<Test<'d>> {
    let test = if node.is_element() {
        let name = node.tag_name();
        Test::Local(name.name()).count(counts);
        Test::of_name(name.name(), name.namespace())
    } else if node.is_text() && node.text() != Some("") {
        Test::Text
    } else {
        return None;
    };
    if !matches!(test, Test::Local(_)) {
        test.count(counts);
    }
    Some(test)
}

/// Returns whether `text` contains only XML's white space.
fn is_blank(text: &str) -> bool {
    text.trim_matches([' ', '\t', '\r', '\n']).is_empty()
}
