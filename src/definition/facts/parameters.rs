//! The parameters of an internal webhook: variables by name, and whole families of variables.

use super::Facts;
use super::node::{Node, compact};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Facts<'_, '_> {
    /// Returns the value of the key that is spelt `name`, even if templates do not know its family.
    pub(in crate::definition) fn named(&self, name: &str) -> Option<Cow<'_, str>> {
        self.mapped(name).or_else(|| self.keys().get(name).copied()).map(compact)
    }

    /// Returns the flow's keys whose names begin with `prefix`. Values that answers gave replace them.
    pub(in crate::definition) fn under(&self, prefix: &str) -> BTreeMap<&str, Cow<'_, str>> {
        let keys = self.keys().keys().map(|name| &**name);
        let mapped = self.mapped.iter().map(|(name, _)| *name);
        let names = keys.chain(mapped).filter(|name| name.starts_with(prefix));
        names.filter_map(|name| Some((name, self.named(name)?))).collect()
    }

    /// Returns the fields of the customer's leg, or of the first leg if there is none.
    pub(in crate::definition) fn leg(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let members = self.legs().first().into_iter().flat_map(Node::members);
        members.filter_map(|(name, value)| Some((&**name, compact(value.present()?))))
    }
}
