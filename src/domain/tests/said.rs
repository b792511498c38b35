//! Definitions for the tests: predefined bodies as short text, and webhooks whose body contains the values of some
//! variables.

use super::{Bytes, WebhookName};
use crate::domain::{
    Definitions, ErrorReason, Facts, Mapped, OUTCOME_VARIABLES, Outcome, Policy, Reading, Rendered,
    STATE_BYTES_MAX, WebhookEnd,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

thread_local! {
    /// The number of times that facts were read in this thread.
    static READS: Cell<usize> = const { Cell::new(0) };
    /// The number of times that a webhook was asked what its answers give.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The body of a webhook.
#[derive(Clone, Debug)]
pub(super) enum Says {
    /// The predefined body, and the values of these variables. Each must have one.
    Values(&'static [&'static str]),
    /// The values of these variables, without the predefined body. Each must have one.
    Only(&'static [&'static str]),
    /// More than fits into a row.
    Huge,
    /// As many bytes. They stand for the value of `$flow.key.long`, which the webhook uses.
    Long(usize),
    /// The predefined body, without any rendering.
    Predefined,
}

/// The webhooks with a definition: the body of each, and the variables that its answers set.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(BTreeMap<WebhookName, (Says, Vec<Box<str>>)>);

impl Said {
    pub(super) fn insert(&mut self, webhook: WebhookName, says: Says, saves: &[&str]) {
        self.0.insert(webhook, (says, saves.iter().map(|it| (*it).into()).collect()));
    }

    /// Replaces the definitions of `policy`.
    pub(super) fn apply(&self, policy: &mut Policy) {
        policy.definitions = Arc::new(self.clone());
        // A copy of an account computes its relations anew.
        let copies = policy.accounts.iter().map(|(id, account)| (*id, account.clone()));
        policy.accounts = copies.collect();
    }
}

/// Returns how often facts were read since the last call.
pub(super) fn reads() -> usize {
    READS.replace(0)
}

/// Returns how often webhooks were asked what their answers give since the last call.
pub(super) fn asked() -> usize {
    ASKED.replace(0)
}

impl Definitions for Said {
    fn phase2(&self, uuid: &str, sms_details: &[Bytes], keys: Option<&Bytes>) -> Bytes {
        let details: Vec<_> = sms_details.iter().map(|d| String::from_utf8_lossy(d)).collect();
        let keys = keys.map(|k| format!(" keys {}", String::from_utf8_lossy(k)));
        Bytes::from(format!("{uuid} [{}]{}", details.join(", "), keys.unwrap_or_default()))
    }

    fn unknown(&self, sms: &str) -> Bytes {
        Bytes::from(format!("{sms} UNKNOWN"))
    }

    fn contains(&self, webhook: &WebhookName) -> bool {
        self.0.contains_key(webhook)
    }

    /// Returns what stands between the brackets of phase 2, separated by commas.
    fn reports(&self, predefined: &Bytes) -> Vec<Bytes> {
        let text = String::from_utf8_lossy(predefined);
        let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let inner = inner.map_or("", |(inner, _)| inner);
        let reports = inner.split(", ").filter(|report| !report.is_empty());
        reports.map(|report| Bytes::from(report.to_owned())).collect()
    }

    fn has_predefined_body(&self, webhook: &WebhookName) -> bool {
        !matches!(self.0.get(webhook), Some((Says::Huge | Says::Long(_) | Says::Only(_), _)))
    }

    fn is_rendered(&self, webhook: &WebhookName) -> bool {
        matches!(
            self.0.get(webhook),
            Some((Says::Values(_) | Says::Only(_) | Says::Huge | Says::Long(_), _))
        )
    }

    fn uses(&self, webhook: &WebhookName, variable: &str) -> bool {
        match self.0.get(webhook) {
            Some((Says::Values(all) | Says::Only(all), _)) => all.contains(&variable),
            Some((Says::Long(_), _)) => variable == "$flow.key.long",
            Some((Says::Huge | Says::Predefined, _)) | None => false,
        }
    }

    fn saves(&self, webhook: &WebhookName) -> &[Box<str>] {
        ASKED.set(ASKED.get() + 1);
        self.0.get(webhook).map_or(&[], |(_, saves)| saves)
    }

    fn takes_outcome(&self, webhook: &WebhookName) -> bool {
        OUTCOME_VARIABLES.iter().any(|variable| self.uses(webhook, variable))
    }

    /// Returns the status and the reason only.
    fn outcome(
        &self,
        end: WebhookEnd,
        outcome: Option<&Outcome>,
        reason: Option<ErrorReason>,
    ) -> Vec<Mapped> {
        let status = if end == WebhookEnd::Delivered { "SUCCESS" } else { "FAILED" };
        let reason = outcome.and_then(|it| it.reason).or(reason).map(ErrorReason::as_str);
        let values = [("response_status", Some(status)), ("error_reason", reason)];
        let value = |(name, value): (&str, Option<&str>)| {
            Some(Mapped { save_in: format!("$flow.key.{name}").into(), value: value?.into() })
        };
        values.into_iter().filter_map(value).collect()
    }

    fn read<'f>(&'f self, facts: &'f Facts) -> Box<dyn Reading + 'f> {
        READS.set(READS.get() + 1);
        Box::new(Read(self, facts))
    }
}

struct Read<'f>(&'f Said, &'f Facts);

impl Reading for Read<'_> {
    /// `$flow.key.record` is the record and `$sms.report` the first report. Other variables have the values that
    /// answers gave.
    fn text(&self, variable: &str) -> Option<String> {
        let Self(_, facts) = self;
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let mapped =
            || facts.mapped.iter().find(|it| *it.save_in == *variable).map(|it| it.value.clone());
        match variable {
            "$flow.key.record" => facts.record.as_ref().map(text),
            "$sms.report" => facts.reports.first().map(text),
            _ => mapped().map(String::from),
        }
    }

    fn render(
        &self,
        webhook: &WebhookName,
        predefined: &Bytes,
    ) -> Result<(Bytes, Rendered), Box<str>> {
        let rendered = Rendered {
            content_type: Some("application/json".into()),
            values: Bytes::from_static(b"{}"),
        };
        match &self.0.0[webhook].0 {
            Says::Predefined => Ok((predefined.clone(), rendered)),
            Says::Huge => Ok((Bytes::from(vec![b'a'; STATE_BYTES_MAX]), rendered)),
            Says::Long(bytes) => Ok((Bytes::from(vec![b'a'; *bytes]), rendered)),
            says @ (Says::Values(variables) | Says::Only(variables)) => {
                let is_only = matches!(says, Says::Only(_));
                let predefined = if is_only { &b"only"[..] } else { predefined };
                let mut out = String::from_utf8_lossy(predefined).into_owned();
                for variable in *variables {
                    let value = self.text(variable).ok_or_else(|| format!("no {variable}"))?;
                    out = format!("{out} {value}");
                }
                Ok((out.into(), rendered))
            }
        }
    }

    fn with_reports<'r>(&'r self, facts: &'r Facts) -> Box<dyn Reading + 'r> {
        assert_eq!((&facts.record, &facts.mapped), (&self.1.record, &self.1.mapped));
        Box::new(Read(self.0, facts))
    }
}
