//! Finds the SMS that a delivery is about, if a version scheduled it that did not keep the SMS.
//!
//! While the correlation is open, its reports and its list show the SMS. Afterwards, a replayed delivery shows it by the
//! report that it carries. The id of a phase 2 is derived from its SMS, and so confirms it.

use crate::domain::{
    Correlation, Delivery, DeliveryId, Phase, PhononUuid, Rendering, SmsId, State,
};
use serde::Deserialize;
use std::borrow::Cow;

/// Returns the SMS that `delivery` is about, whose row does not name any. Returns `None` if it is about the flow or
/// several SMS, or if the SMS is no longer known.
pub(super) fn sms_of(uuid: &PhononUuid, state: &State, delivery: &Delivery) -> Option<SmsId> {
    let is_about = |sms: &SmsId| match delivery.phase {
        Phase::Two => DeliveryId::derive(uuid, Phase::Two.number(), [sms]) == delivery.id,
        Phase::Rule => true,
        Phase::One => false,
    };
    if delivery.phase == Phase::One {
        return None;
    }
    if let Correlation::Open(flow) = &state.correlation {
        // Usually the report that triggered the delivery is still known.
        let trigger = flow.reports.iter().find(|report| report.source == delivery.source);
        if let Some(report) = trigger.filter(|report| is_about(&report.sms)) {
            return Some(report.sms.clone());
        }
        if delivery.phase == Phase::Two {
            let reported = flow.reports.iter().map(|report| &report.sms);
            let mut all = flow.sms.iter().flatten().chain(reported);
            return all.find(|sms| is_about(sms)).cloned();
        }
    }
    carried(delivery).filter(is_about)
}

/// Returns the SMS of the only report that the delivery carries, if the report can be found in it.
fn carried(delivery: &Delivery) -> Option<SmsId> {
    match &delivery.rendering {
        Rendering::Fixed => {
            let body: Body<'_> = serde_json::from_slice(&delivery.body).ok()?;
            one(&body.sms_details).and_then(Report::sms)
        }
        Rendering::Pending(pending) => {
            let report = one(&pending.facts.reports)?;
            serde_json::from_slice::<Report<'_>>(report).ok()?.sms()
        }
        Rendering::Done(_) => None,
    }
}

fn one<T>(all: &[T]) -> Option<&T> {
    match all {
        [only] => Some(only),
        [] | [_, _, ..] => None,
    }
}

/// The predefined body of phase 2.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "smsDetails", borrow)]
    sms_details: Vec<Report<'a>>,
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl Report<'_> {
    fn sms(&self) -> Option<SmsId> {
        SmsId::new(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::sms_of;
    use crate::definition::body::render_phase2;
    use crate::domain::{
        AccountId, Collected, Collection, Correlation, Delivery, DeliveryId, Flow, FlowIdentity,
        Headers, Phase, PhononUuid, Rendered, Rendering, SmsId, Source, State, StatusClass,
        Timestamp, WebhookName,
    };
    use bytes::Bytes;

    const AT: Timestamp = Timestamp::from_ms(1);

    fn sms(id: &str) -> SmsId {
        SmsId::new(id).unwrap()
    }

    fn source(offset: i64) -> Source {
        Source { topic: "t".into(), partition: 0, offset, timestamp: AT, index: None, trace: None }
    }

    /// Returns an open flow of the SMS a, b and c, with reports of a and b at the offsets 1 and 2.
    fn open() -> State {
        let report = |(id, offset): (&str, i64)| Collected {
            status: None,
            account: AccountId(1),
            sms: sms(id),
            class: StatusClass::Final,
            seen: Vec::new(),
            body: None,
            raw: None,
            headers: Headers::default(),
            sent: true,
            source: source(offset),
            expires_at: None,
        };
        let flow = Flow {
            enabled: true,
            record: None,
            spelling: None,
            identity: FlowIdentity { account: AccountId(1), flow: None, content: 1 },
            accepted_at: AT,
            source: source(0),
            webhook: WebhookName::new("crm"),
            keys: None,
            sms: Some(vec![sms("a"), sms("b"), sms("c")]),
            reports: [("a", 1), ("b", 2)].map(report).to_vec(),
            collection: Collection::Complete,
            gathers_until: None,
        };
        State { correlation: Correlation::Open(flow), ..State::default() }
    }

    #[test]
    fn a_delivery_names_the_one_sms_that_it_is_about() {
        let uuid = PhononUuid::new("u").unwrap();
        let body = |ids: &[&str]| {
            let reports = ids.iter().map(|id| Bytes::from(format!("{{\"id\":\"{id}\"}}")));
            render_phase2("u", &reports.collect::<Vec<_>>(), None)
        };
        let delivery = |phase: Phase, ids: &[&str], offset| {
            let about: Vec<SmsId> = ids.iter().map(|id| sms(id)).collect();
            let id = DeliveryId::derive(&uuid, phase.number(), &about);
            let webhook = WebhookName::new("crm").unwrap();
            Delivery::new(id, phase, AccountId(1), webhook, body(ids), source(offset), AT)
        };
        let rendered = |delivery: Delivery| {
            let rendered = Rendered { content_type: None, values: Bytes::new() };
            Delivery { rendering: Rendering::Done(rendered), body: Bytes::new(), ..delivery }
        };
        let (open, ended) = (open(), State::default());
        let of = |state: &State, delivery: &Delivery| {
            sms_of(&uuid, state, delivery).map(|sms| sms.as_str().to_owned())
        };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        // A phase 2 about one SMS; at the time-out it may be one that has not reported.
        assert_eq!(of(&open, &rendered(delivery(Phase::Two, &["a"], 1))), a);
        assert_eq!(of(&open, &rendered(delivery(Phase::Two, &["b"], 1))), b);
        assert_eq!(of(&open, &rendered(delivery(Phase::Two, &["c"], 9))), Some("c".to_owned()));
        // A delivery about several SMS, or about the flow.
        assert_eq!(of(&open, &delivery(Phase::Two, &["a", "b"], 2)), None);
        assert_eq!(of(&open, &delivery(Phase::One, &[], 0)), None);
        assert_eq!(of(&open, &rendered(delivery(Phase::Rule, &[], 0))), None);
        // A rule on a report.
        assert_eq!(of(&open, &rendered(delivery(Phase::Rule, &["b"], 2))), b);
        // A replay after the end: the body names the SMS, and the id confirms it.
        assert_eq!(of(&ended, &delivery(Phase::Two, &["a"], 1)), a);
        assert_eq!(of(&ended, &delivery(Phase::Two, &["a", "b"], 2)), None);
        let other = Delivery { body: body(&["b"]), ..delivery(Phase::Two, &["a"], 1) };
        assert_eq!(of(&ended, &other), None);
        assert_eq!(of(&ended, &rendered(delivery(Phase::Two, &["a"], 1))), None);
    }
}
