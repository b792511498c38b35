//! The values that a rendering used, stored as one JSON object.

use super::derived::in_utc;
use super::node::compact;
use crate::definition::template::{Derived, Values, Variable};
use crate::json::Object;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Appends the values of `variables` to `out`, as a JSON object by their spelling, so that a later rendering gives the
/// same result. Variables without a value are left out, and repeated ones are written once.
pub fn write_values<'v>(
    variables: impl IntoIterator<Item = &'v Variable>,
    values: &dyn Values,
    out: &mut Vec<u8>,
) {
    let mut written = BTreeSet::new();
    let mut object = Object::open(out);
    for variable in variables {
        // A constant is a part of the definition.
        if variable.constant().is_some() || !written.insert(variable) {
            continue;
        }
        let value = values.get(variable).filter(|json| !matches!(&**json, "" | "null"));
        if let Some(json) = value {
            object.escaped_name(&variable.kept_name()).extend_from_slice(json.as_bytes());
        }
    }
    object.close();
}

/// Values that [`write_values`] stored.
pub struct Kept<'a> {
    values: BTreeMap<String, &'a RawValue>,
}

impl<'a> Kept<'a> {
    /// Parses `json`. If it is not an object, there are no values.
    ///
    /// No limit of depth applies here: each value was within the limit when it arrived, and the object around it must
    /// not count.
    #[must_use]
    pub fn read(json: &'a [u8]) -> Self {
        Self { values: serde_json::from_slice(json).unwrap_or_default() }
    }
}

impl Values for Kept<'_> {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let find = |name: &str| {
            let json = self.values.get(name)?.get();
            (json != "null").then(|| compact(json))
        };
        let kept = find(&variable.kept_name());
        // Earlier versions kept the value of the source.
        kept.or_else(|| {
            let source = find(&variable.key()).filter(|_| variable.derived().is_some())?;
            Some(if variable.derived() == Some(Derived::Utc) { in_utc(source) } else { source })
        })
    }
}
