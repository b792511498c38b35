//! Keys of earlier versions. A file that still has one is valid if the key's value means what is now always in force. A
//! warning says that the key can be removed.

use crate::document::{Fault, Node, Value, Warning, join};
use serde_json::{Value as Json, json};

/// A key of earlier versions.
struct Retired {
    table: &'static str,
    key: &'static str,
    /// The value that means what is in force without the key.
    value: &'static str,
    /// A sentence without its full stop that says what is in force.
    holds: &'static str,
}

const RETIRED: &[Retired] = &[Retired {
    table: "topics",
    key: "encoding",
    value: "json",
    holds: "events and dead letters are always JSON",
}];

/// Returns `schema` with the retired keys, so that environment variables may name them too.
pub(super) fn beside(schema: &Json) -> Json {
    let mut schema = schema.clone();
    for Retired { table, key, .. } in RETIRED {
        let properties = schema.pointer_mut(&format!("/properties/{table}/properties"));
        if let Some(Json::Object(properties)) = properties {
            properties.insert((*key).to_owned(), json!({ "type": "string" }));
        }
    }
    schema
}

/// Removes the retired keys from the tree. A value with another meaning is a fault.
pub(super) fn remove(root: &mut Node) -> (Vec<Fault>, Vec<Warning>) {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for Retired { table, key, value, holds } in RETIRED {
        let Some(Node { value: Value::Table(keys), .. }) = root.get_mut(table) else { continue };
        let Some(Node { origin, value: written, .. }) = keys.remove(*key) else { continue };
        let full = join(table, key);
        if matches!(written, Value::Scalar(toml::Value::String(text)) if text == *value) {
            let problem = format!("no longer has an effect: {holds}");
            warnings.push(Warning(origin.fault(&full, problem, "remove the key")));
        } else {
            let problem = format!("is not \"{value}\", the only value that is possible: {holds}");
            faults.push(origin.fault(&full, problem, "remove the key"));
        }
    }
    (faults, warnings)
}
