//! The prompts of a call: what a caller heard, and which key was pressed. An array of a template is repeated for each.

use super::Variable;
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};
use std::borrow::Cow;

/// The token for the list of prompts.
pub(super) const LIST: &str = "prompt_responses";

/// The variable of the list if no token names another one.
const VARIABLE: &str = "$flow.key.prompt_responses";

/// The members of a prompt with their JSON texts.
pub(super) struct Prompt<'t>(Vec<(Cow<'t, str>, &'t str)>);

impl<'t> Prompt<'t> {
    /// Returns the member `name`, unless it is `null`. The last member of a name counts.
    pub(super) fn get(&self, name: &str) -> Option<&'t str> {
        let mut named = self.0.iter().rev().filter(|(member, _)| member == name);
        named.next().map(|(_, json)| *json).filter(|json| *json != "null")
    }
}

/// Returns the variable of the list of prompts in a definition with these tokens.
pub(super) fn variable(tokens: &super::Tokens) -> Option<Variable> {
    let default = || Some(VARIABLE.parse::<Variable>().ok()?.derived_by(super::Derived::Prompts));
    tokens.get(LIST).cloned().or_else(default)
}

/// Reads the prompts in `json`: an array of objects, or one object. Items that are no objects are left out. Returns
/// `None` for other values.
pub(super) fn read(json: &str) -> Option<Vec<Prompt<'_>>> {
    let text = walk::check(json.as_bytes()).ok()?;
    let mut cursor = Cursor::new(text);
    let mut prompts = Vec::new();
    let walked = match cursor.begins() {
        Begins::Object => prompt(&mut cursor).map(|prompt| prompts.push(prompt)),
        Begins::Array => cursor.array(|cursor, _| {
            match cursor.begins() {
                Begins::Object => prompts.push(prompt(cursor)?),
                Begins::Array | Begins::Scalar => cursor.skip_value()?,
            }
            Ok(())
        }),
        Begins::Scalar => return None,
    };
    walked.ok().map(|()| prompts)
}

fn prompt<'t>(cursor: &mut Cursor<'t>) -> Result<Prompt<'t>, TextFault> {
    let mut members = Vec::new();
    cursor.object(|cursor, name| {
        let start = cursor.at();
        cursor.skip_value()?;
        // No token has a name with half a surrogate pair.
        members.extend(walk::decode(name).map(|name| (name, cursor.since(start))));
        Ok::<(), TextFault>(())
    })?;
    Ok(Prompt(members))
}
