//! The sources of a template's values: the flow complete record, the delivery reports, and values that the answers of
//! earlier webhooks gave.
//!
//! | variable | looked for in |
//! |---|---|
//! | `$flow.key.x`, `$user.key.x` | the mapped values, then the record's `keys` |
//! | `$flow.key.response_status` and the like, after another webhook | the mapped values, which are its outcome |
//! | `$flow.syskey.x` | the mapped values, then the record's `keys`, then the record's field `x` |
//! | `$call.a.b` | the customer's leg, then the first leg, then the record itself |
//! | `$sms.a.b` | the first report |
//!
//! The platform's own names of fields of a call, such as `$call.cli`, are read as in `aliases` if no field has that name.
//!
//! A token of the catalogue may have a value that is derived from other fields: see `derived`.
//!
//! A value is passed on as it was spelt, without the white space between its tokens. A `null` counts as missing, so the
//! search continues with the next source. Of members with the same name the last one counts; names are compared after
//! decoding their escapes. Text gives no value if it is not JSON, is nested deeper than 128 levels, or has an
//! unexpected shape. It causes no error.
//!
//! [`write_values`] stores the values that a rendering used, and [`Kept`] reads them back. So the same delivery can be
//! rendered again after the facts are deleted.

mod aliases;
mod answered;
mod derived;
mod kept;
mod node;
mod parameters;
#[cfg(test)]
mod tests;

pub use answered::named;
pub use kept::{Kept, write_values};

use super::template::{Family, Values, Variable};
use crate::domain::OUTCOME_VARIABLES;
use crate::json::walk;
use bytes::Bytes;
use node::{Node, compact};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// The `calleeType` of the customer's leg.
const VISITOR: &str = "VISITOR";

/// The facts about a flow when a template is rendered. Each part is parsed once, when the first variable needs it.
pub struct Facts<'a> {
    given: Option<&'a [u8]>,
    reports: &'a [Bytes],
    mapped: Cow<'a, [(&'a str, &'a str)]>,
    nested: &'a BTreeSet<Variable>,
    record: OnceCell<Option<Node<'a>>>,
    keys: OnceCell<BTreeMap<Cow<'a, str>, &'a str>>,
    legs: OnceCell<Vec<Node<'a>>>,
    report: OnceCell<Option<Node<'a>>>,
}

impl<'a> Facts<'a> {
    /// Creates facts from these sources:
    ///
    /// - `record`: the flow complete record (or the facts known when a call begins) as a JSON object, if there is one;
    /// - `reports`: the delivery reports as JSON, of which `$sms.*` reads the first;
    /// - `mapped`: the values from answers of earlier webhooks, as JSON text by the spelling of their variable. The
    ///   last value of a spelling counts;
    /// - `nested`: the variables whose value gateways that cannot nest send as a string. An object or an array in the
    ///   string is then the value.
    #[must_use]
    pub fn new(
        record: Option<&'a [u8]>,
        reports: &'a [Bytes],
        mapped: &'a [(&'a str, &'a str)],
        nested: &'a BTreeSet<Variable>,
    ) -> Self {
        Self::with(record, reports, Cow::Borrowed(mapped), nested)
    }

    /// Creates the facts from those known about a flow. `nested` is as in `new`.
    #[must_use]
    pub fn of(known: &'a crate::domain::Facts, nested: &'a BTreeSet<Variable>) -> Self {
        let mapped = known.mapped.iter().map(|it| (&*it.save_in, &*it.value)).collect();
        Self::with(known.record.as_deref(), &known.reports, Cow::Owned(mapped), nested)
    }

    fn with(
        record: Option<&'a [u8]>,
        reports: &'a [Bytes],
        mapped: Cow<'a, [(&'a str, &'a str)]>,
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

    /// Returns the record's keys by name. The first one with a name counts; entries without a name or a value are
    /// ignored.
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

    /// Returns the legs to search, in this order: the customer's leg, and the first leg if it is another one.
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

impl Facts<'_> {
    /// Returns the value of the variable's source.
    fn plain(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let Some(json) = self.find(variable) else { return self.aliased(variable) };
        let structure = self.nested.contains(variable).then(|| structure(json)).flatten();
        Some(structure.map_or_else(|| compact(json), Cow::Owned))
    }
}

impl Values for Facts<'_> {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        match variable.derived() {
            None => self.plain(variable),
            Some(derived) => self.derive(variable, derived),
        }
    }
}

/// Returns the object or array that `json` contains, if `json` is a string with one.
fn structure(json: &str) -> Option<String> {
    let text = walk::decode(json)?;
    let inner = Node::read(text.as_bytes())?;
    (inner.is_object() || inner.is_array()).then(|| compact(inner.text()).into_owned())
}
