//! The platform's own names of fields of a call.
//!
//! | name | field |
//! |---|---|
//! | `$call.cli`, `$call.cli.number` | `calleeNumber` of the customer's leg |
//! | `$call.agent.cli`, `$call.agent.cli.number`, `$call.agent.dnis`, `$call.agent.dnis.number` | `calleeNumber` of the agent's leg |
//! | `$call.dnis`, `$call.dnis.number` | `didNumber` |
//! | `$call.start`, `$call.answer`, `$call.end` | `startTime`, `connectTime`, `endTime` |
//! | `$call.state` | the word for the result, as for `%dialstatus%` |

use super::Facts;
use super::node::compact;
use crate::definition::template::{Family, Variable};
use std::borrow::Cow;

impl Facts<'_, '_> {
    /// Returns the value of a variable that is another name of a field.
    pub(super) fn aliased(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        if variable.family() != Family::Call {
            return None;
        }
        let field = match variable.name() {
            "cli" | "cli.number" => "calleeNumber",
            "dnis" | "dnis.number" => "didNumber",
            "start" => "startTime",
            "answer" => "connectTime",
            "end" => "endTime",
            "state" => return self.dialstatus(),
            "agent.cli" | "agent.cli.number" | "agent.dnis" | "agent.dnis.number" => {
                let number = self.agents_leg()?.get("calleeNumber")?;
                return Some(compact(number.text()));
            }
            _ => return None,
        };
        self.call(field).map(compact)
    }
}
