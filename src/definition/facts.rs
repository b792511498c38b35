//! Where a template's values come from: the flow complete record, the delivery reports, and what answers of earlier webhooks
//! gave.
//!
//! | variable | looked for in |
//! |---|---|
//! | `$flow.key.x`, `$user.key.x` | what was mapped, then the record's `keys` |
//! | `$flow.syskey.x` | what was mapped, then the record's `keys`, then the record's field `x` |
//! | `$call.a.b` | the customer's leg, then the first leg, then the record itself |
//! | `$sms.a.b` | the first report |
//!
//! A value is passed on as it was spelt, without the white space between its tokens. What is `null` is not there, so that the
//! search goes on behind it. Of members with the same name the last counts; names are compared by what they spell. What is no
//! JSON, is nested deeper than 128 levels, or has another shape than it should, gives no value: it is data like any other.
//!
//! [`write_values`] keeps the values that a rendering used, and [`Kept`] reads them back, so that the same delivery can be
//! rendered again when all else is forgotten.

mod kept;
mod node;
mod parameters;
#[cfg(test)]
mod tests;

pub use kept::{Kept, write_values};

use super::template::{Family, Values, Variable};
use crate::json::walk;
use bytes::Bytes;
use node::{Node, compact};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// The leg of the customer has this `calleeType`.
const VISITOR: &str = "VISITOR";

/// What is known of a flow when something is rendered of it. Each part is read once, when the first variable needs it.
pub struct Facts<'a> {
    given: Option<&'a [u8]>,
    reports: &'a [Bytes],
    mapped: &'a [(&'a str, &'a str)],
    nested: &'a BTreeSet<Variable>,
    record: OnceCell<Option<Node<'a>>>,
    keys: OnceCell<BTreeMap<Cow<'a, str>, &'a str>>,
    legs: OnceCell<Vec<Node<'a>>>,
    report: OnceCell<Option<Node<'a>>>,
}

impl<'a> Facts<'a> {
    /// The facts in
    ///
    /// - `record`, the flow complete record (or what is known when a call begins) as a JSON object, once there is one;
    /// - `reports`, the delivery reports as JSON, of which `$sms.*` reads the first;
    /// - `mapped`, the values that answers of earlier webhooks gave, as JSON text under the spelling of their variable; of
    ///   several under one spelling the last counts;
    /// - `nested`, the variables whose value is sent as a string by gateways that cannot nest: where such a string spells an
    ///   object or an array, this is the value.
    #[must_use]
    pub fn new(
        record: Option<&'a [u8]>,
        reports: &'a [Bytes],
        mapped: &'a [(&'a str, &'a str)],
        nested: &'a BTreeSet<Variable>,
    ) -> Self {
        Self {
            given: record,
            reports,
            mapped,
            nested,
            record: OnceCell::new(),
            keys: OnceCell::new(),
            legs: OnceCell::new(),
            report: OnceCell::new(),
        }
    }

    fn find(&self, variable: &Variable) -> Option<&'a str> {
        match variable.family() {
            Family::FlowKey | Family::UserKey => self.key(variable),
            Family::FlowSyskey => {
                let field = || self.record()?.get(variable.name()).map(Node::text);
                self.key(variable).or_else(field)
            }
            Family::Call => self.call(variable.name()),
            Family::Sms => self.report()?.walk(variable.name()).map(Node::text),
        }
    }

    fn key(&self, variable: &Variable) -> Option<&'a str> {
        let spelling = variable.to_string();
        self.mapped(&spelling).or_else(|| self.keys().get(spelling.as_str()).copied())
    }

    fn mapped(&self, spelling: &str) -> Option<&'a str> {
        let mut named = self.mapped.iter().rev().filter(|(name, _)| *name == spelling);
        named.find_map(|(_, json)| Node::read(json.as_bytes()).as_ref().and_then(Node::present))
    }

    fn call(&self, path: &str) -> Option<&'a str> {
        let places = self.legs().iter().chain(self.record());
        places.filter_map(|place| place.walk(path)).map(Node::text).next()
    }

    fn record(&self) -> Option<&Node<'a>> {
        self.record.get_or_init(|| self.given.and_then(Node::read)).as_ref()
    }

    fn report(&self) -> Option<&Node<'a>> {
        self.report.get_or_init(|| self.reports.first().and_then(|json| Node::read(json))).as_ref()
    }

    /// The record's keys by their name. Of several with one name the first counts; what has no name or no value is no key.
    fn keys(&self) -> &BTreeMap<Cow<'a, str>, &'a str> {
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

    /// The legs that are asked, in this order: the customer's, and the first where that is another one.
    fn legs(&self) -> &[Node<'a>] {
        self.legs.get_or_init(|| {
            let mut first = None;
            for leg in self.items("callDetails").into_iter().filter(Node::is_object) {
                let callee = leg.get("calleeType").and_then(|callee| walk::decode(callee.text()));
                if callee.as_deref() == Some(VISITOR) {
                    return std::iter::once(leg).chain(first).collect();
                }
                first.get_or_insert(leg);
            }
            first.into_iter().collect()
        })
    }

    fn items(&self, field: &str) -> Vec<Node<'a>> {
        self.record().and_then(|record| record.get(field)).map(Node::items).unwrap_or_default()
    }
}

impl Values for Facts<'_> {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let json = self.find(variable)?;
        let structure = self.nested.contains(variable).then(|| structure(json)).flatten();
        Some(structure.map_or_else(|| compact(json), Cow::Owned))
    }
}

/// The object or the array that `json` spells, if it is a string that does so.
fn structure(json: &str) -> Option<String> {
    let text = walk::decode(json)?;
    let inner = Node::read(text.as_bytes())?;
    (inner.is_object() || inner.is_array()).then(|| compact(inner.text()).into_owned())
}
