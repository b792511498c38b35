//! Builds a rule from its `[[rule]]` entry, and reports the faults of the entry.

use super::definition::not_a_variable;
use super::entry::{ConditionEntry, RuleEntry};
use crate::definition::template::{NotAVariable, Variable};
use crate::document::{Context, Place};
use crate::domain::{Condition, Test, Trigger, WebhookEnd, WebhookName};

/// Returns the triggers of a rule, and reports those that can't be read.
pub(super) fn triggers(
    entry: &RuleEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Vec<Trigger> {
    let mut triggers = Vec::with_capacity(entry.on.len());
    for (index, text) in entry.on.iter().enumerate() {
        let trigger = match text.as_str() {
            "flow_started" => Trigger::FlowStarted,
            "flow_complete" => Trigger::FlowComplete,
            "report_timed_out" => Trigger::ReportTimedOut,
            other => match of_report(other).or_else(|| of_webhook(other)) {
                Some(trigger) => trigger,
                None => {
                    context.fault(
                        &place.key("on").item(index),
                        "is not an event that can trigger a rule",
                        "write flow_started, flow_complete, sms:STATUS, sms:final, report_timed_out, \
                         webhook:NAME:delivered or webhook:NAME:failed",
                    );
                    continue;
                }
            },
        };
        triggers.push(trigger);
    }
    triggers
}

fn of_report(text: &str) -> Option<Trigger> {
    match text.strip_prefix("sms:")?.trim() {
        "" => None,
        "final" => Some(Trigger::SmsFinal),
        status => Some(Trigger::Sms(status.to_ascii_uppercase().into())),
    }
}

fn of_webhook(text: &str) -> Option<Trigger> {
    let (name, end) = text.strip_prefix("webhook:")?.rsplit_once(':')?;
    let end = WebhookEnd::ALL.into_iter().find(|known| known.as_str() == end)?;
    WebhookName::new(name).map(|name| Trigger::Webhook(name, end))
}

/// Returns the conditions of a rule, and reports those that can't be read.
pub(super) fn conditions(
    entry: &RuleEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Vec<Condition> {
    let read =
        |(index, condition)| condition_of(condition, &place.key("when").item(index), context);
    entry.when.iter().enumerate().filter_map(read).collect()
}

fn condition_of(
    entry: &ConditionEntry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Condition> {
    let variable = entry.variable.as_deref()?;
    let parsed: Result<Variable, NotAVariable> = variable.parse();
    let variable = match parsed {
        Ok(variable) => variable.key(),
        Err(error) => {
            not_a_variable(&error, &place.key("variable"), context);
            return None;
        }
    };
    let test = match (&entry.equals, &entry.one_of, entry.present) {
        (Some(value), None, None) => Test::OneOf(vec![value.text()]),
        (None, Some(values), None) => Test::OneOf(values.iter().map(|it| it.text()).collect()),
        (None, None, Some(present)) => Test::Present(present),
        _ => {
            let fix = "write one of equals = …, one_of = […] and present = true";
            context.fault(place, "needs exactly one test of its variable", fix);
            return None;
        }
    };
    Some(Condition { variable: variable.into(), test })
}
