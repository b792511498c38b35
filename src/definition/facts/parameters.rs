//! What an internal webhook is told: variables by name, and whole families of them.

use super::Facts;
use super::node::{Node, compact};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Facts<'_> {
    /// The value of a key that is spelt `name`, whether templates know its family or not.
    pub(in crate::definition) fn named(&self, name: &str) -> Option<Cow<'_, str>> {
        self.mapped(name).or_else(|| self.keys().get(name).copied()).map(compact)
    }

    /// The keys of the flow whose names begin with `prefix`, and what answers gave in their place.
    pub(in crate::definition) fn under(&self, prefix: &str) -> BTreeMap<&str, Cow<'_, str>> {
        let keys = self.keys().keys().map(|name| &**name);
        let mapped = self.mapped.iter().map(|(name, _)| *name);
        let names = keys.chain(mapped).filter(|name| name.starts_with(prefix));
        names.filter_map(|name| Some((name, self.named(name)?))).collect()
    }

    /// The fields of the customer's leg, or of the first.
    pub(in crate::definition) fn leg(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let members = self.legs().first().into_iter().flat_map(Node::members);
        members.filter_map(|(name, value)| Some((&**name, compact(value.present()?))))
    }
}
