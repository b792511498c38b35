//! The record of a flow and the values that answers gave, parsed part by part.

use super::Variable;
use super::node::Node;
use crate::domain::OUTCOME_VARIABLES;
use crate::json::walk;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// The `calleeType` of the customer's leg.
const VISITOR: &str = "VISITOR";
/// The `calleeType` of the agent's leg.
const AGENT: &str = "AGENT";

/// The facts of a flow beside its reports. Each part is parsed once, when the first variable needs it.
pub struct Record<'f> {
    given: Option<&'f [u8]>,
    pub(super) mapped: Cow<'f, [(&'f str, &'f str)]>,
    pub(super) nested: &'f BTreeSet<Variable>,
    pub(super) record: OnceCell<Option<Node<'f>>>,
    pub(super) keys: OnceCell<BTreeMap<Cow<'f, str>, &'f str>>,
    pub(super) legs: OnceCell<Legs<'f>>,
    pub(super) recordings: OnceCell<Vec<Node<'f>>>,
    /// The members of the first prompt as compact JSON. `derived` fills them.
    pub(super) prompt: OnceCell<BTreeMap<Box<str>, Box<str>>>,
}

/// The legs of the call.
pub(super) struct Legs<'f> {
    /// All of them, those to search first.
    all: Vec<Node<'f>>,
    /// The number of legs to search.
    searched: usize,
}

impl<'f> Record<'f> {
    pub(super) const fn new(
        given: Option<&'f [u8]>,
        mapped: Cow<'f, [(&'f str, &'f str)]>,
        nested: &'f BTreeSet<Variable>,
    ) -> Self {
        Self {
            given,
            mapped,
            nested,
            record: OnceCell::new(),
            keys: OnceCell::new(),
            legs: OnceCell::new(),
            recordings: OnceCell::new(),
            prompt: OnceCell::new(),
        }
    }

    pub(super) fn key(&self, variable: &Variable) -> Option<&'f str> {
        let spelling = variable.key();
        let value = self.mapped(&spelling);
        if value.is_none() && self.has_outcome() && OUTCOME_VARIABLES.contains(&&*spelling) {
            // The record may have the outcome of a webhook of the platform.
            return None;
        }
        value.or_else(|| self.keys().get(spelling.as_str()).copied())
    }

    /// Returns whether the mapped values contain the outcome of another webhook. Each outcome has a status.
    fn has_outcome(&self) -> bool {
        let [status, ..] = OUTCOME_VARIABLES;
        self.mapped.iter().any(|(name, _)| *name == status)
    }

    pub(super) fn mapped(&self, spelling: &str) -> Option<&'f str> {
        let mut named = self.mapped.iter().rev().filter(|(name, _)| *name == spelling);
        named.find_map(|(_, json)| Node::read(json.as_bytes()).as_ref().and_then(Node::present))
    }

    pub(super) fn call(&self, path: &str) -> Option<&'f str> {
        let places = self.legs().iter().chain(self.record());
        places.filter_map(|place| place.walk(path)).map(Node::text).next()
    }

    pub(super) fn record(&self) -> Option<&Node<'f>> {
        self.record.get_or_init(|| self.given.and_then(Node::read)).as_ref()
    }

    /// Returns the record's keys by name. The first one with a name counts; entries without a name or a value are
    /// ignored.
    pub(super) fn keys(&self) -> &BTreeMap<Cow<'f, str>, &'f str> {
        self.keys.get_or_init(|| {
            let mut keys = BTreeMap::new();
            for entry in self.items("keys") {
                let name = entry.get("name").and_then(|name| walk::decode(name.text()));
                if let (Some(name), Some(value)) = (name, entry.get("value")) {
                    keys.entry(name).or_insert(value.text());
                }
            }
            keys
        })
    }

    /// Returns the legs to search, in this order: the customer's leg, and the first leg if it is another one.
    pub(super) fn legs(&self) -> &[Node<'f>] {
        let Legs { all, searched } = self.all_legs();
        all.get(..*searched).unwrap_or_default()
    }

    /// Returns the agent's leg.
    pub(super) fn agents_leg(&self) -> Option<&Node<'f>> {
        self.all_legs().all.iter().find(|leg| is_callee(leg, AGENT))
    }

    fn all_legs(&self) -> &Legs<'f> {
        self.legs.get_or_init(|| {
            let mut all = self.items("callDetails");
            all.retain(Node::is_object);
            let mut searched = all.len().min(1);
            if let Some(at) = all.iter().position(|leg| is_callee(leg, VISITOR)) {
                searched += at.min(1);
                let visitor = all.remove(at);
                all.insert(0, visitor);
            }
            Legs { all, searched }
        })
    }

    /// Returns the entries of `recordingUrls`.
    pub(super) fn recordings(&self) -> &[Node<'f>] {
        self.recordings.get_or_init(|| self.items("recordingUrls"))
    }

    fn items(&self, field: &str) -> Vec<Node<'f>> {
        self.record().and_then(|record| record.get(field)).map(Node::items).unwrap_or_default()
    }
}

fn is_callee(leg: &Node<'_>, kind: &str) -> bool {
    let callee = leg.get("calleeType").and_then(|callee| walk::decode(callee.text()));
    callee.as_deref() == Some(kind)
}
