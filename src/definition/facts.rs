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
mod record;
#[cfg(test)]
mod tests;

pub use answered::named;
pub use kept::{Kept, write_values};

use super::template::{Family, Values, Variable};
use crate::json::walk;
use bytes::Bytes;
use node::{Node, compact};
use record::Record;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Deref;

/// The facts about a flow when a template is rendered. Each part is parsed once, when the first variable needs it.
pub struct Facts<'r, 'f> {
    flow: Flow<'r, 'f>,
    reports: &'r [Bytes],
    report: OnceCell<Option<Node<'r>>>,
}

/// The facts beside the reports, which several occasions may have in common.
enum Flow<'r, 'f> {
    Own(Box<Record<'f>>),
    Shared(&'r Record<'f>),
}

impl<'f> Facts<'f, 'f> {
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
        record: Option<&'f [u8]>,
        reports: &'f [Bytes],
        mapped: &'f [(&'f str, &'f str)],
        nested: &'f BTreeSet<Variable>,
    ) -> Self {
        Self::with(record, reports, Cow::Borrowed(mapped), nested)
    }

    /// Creates the facts from those known about a flow. `nested` is as in `new`.
    #[must_use]
    pub fn of(known: &'f crate::domain::Facts, nested: &'f BTreeSet<Variable>) -> Self {
        let mapped = known.mapped.iter().map(|it| (&*it.save_in, &*it.value)).collect();
        Self::with(known.record.as_deref(), &known.reports, Cow::Owned(mapped), nested)
    }

    fn with(
        record: Option<&'f [u8]>,
        reports: &'f [Bytes],
        mapped: Cow<'f, [(&'f str, &'f str)]>,
        nested: &'f BTreeSet<Variable>,
    ) -> Self {
        let flow = Flow::Own(Box::new(Record::new(record, mapped, nested)));
        Self { flow, reports, report: OnceCell::new() }
    }
}

impl<'r, 'f> Facts<'r, 'f> {
    /// Returns the facts with other reports. The other parts are parsed once for both.
    #[must_use]
    pub fn with_reports<'s>(&'s self, reports: &'s [Bytes]) -> Facts<'s, 'f> {
        Facts { flow: Flow::Shared(self), reports, report: OnceCell::new() }
    }

    fn find(&self, variable: &Variable) -> Option<&str> {
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

    fn report(&self) -> Option<&Node<'r>> {
        self.report.get_or_init(|| self.reports.first().and_then(|json| Node::read(json))).as_ref()
    }
}

impl<'f> Deref for Facts<'_, 'f> {
    type Target = Record<'f>;

    fn deref(&self) -> &Record<'f> {
        match &self.flow {
            Flow::Own(record) => record,
            Flow::Shared(record) => record,
        }
    }
}

impl Facts<'_, '_> {
    /// Returns the value of the variable's source.
    fn plain(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let Some(json) = self.find(variable) else { return self.aliased(variable) };
        let structure = self.nested.contains(variable).then(|| structure(json)).flatten();
        Some(structure.map_or_else(|| compact(json), Cow::Owned))
    }
}

impl Values for Facts<'_, '_> {
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
