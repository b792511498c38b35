//! The published schema of the events: it is the generated one, and written events conform to it.

use super::{ACCOUNT, AT, delivery, identity, sms, source, uuid, written};
use crate::codec::event::{
    Became, Fact, InputChange, InputEvent, MovedBy, OperatorAction, OperatorEvent, ReloadEvent,
    RepartitionEvent, read_members, read_notice, schema, write_breaker_event, write_endpoint_event,
    write_input_event, write_operator_event, write_record_replayed, write_reload_event,
    write_repartitioned,
};
use crate::codec::row::TopicId;
use crate::domain::{
    DisableCause, Disabled, EndpointEvent, Event, Rendering, SkipReason, SkippedRule, Started,
    State, WebhookName,
};
use bytes::Bytes;
use serde_json::Value;
use std::sync::LazyLock;

/// The schema without the freedom for later versions: a member that it does not name is an error.
static CLOSED: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let mut schema = schema();
    for one in schema["oneOf"].as_array_mut().unwrap() {
        one["additionalProperties"] = false.into();
    }
    schema["$defs"]["source"]["additionalProperties"] = false.into();
    schema["$defs"]["last_outcome"]["additionalProperties"] = false.into();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
});

/// Asserts that `event` conforms to the schema, has no other member, and can be read.
#[track_caller]
pub(super) fn check(event: &[u8]) {
    let text = String::from_utf8_lossy(event);
    let json: Value =
        serde_json::from_slice(event).unwrap_or_else(|error| panic!("{error}: {text}"));
    let faults: Vec<String> = CLOSED.iter_errors(&json).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{text}: {faults:?}");
    assert!(read_members(event).is_some(), "{text}");
    assert!(read_notice(event).is_some(), "{text}");
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/events.schema.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(file, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == generated,
        "{file} is not what the types generate: run \
         `UPDATE_SCHEMAS=1 cargo test --release --lib codec::event::` and commit it"
    );
}

#[test]
fn the_schema_names_members_that_exist_and_describes_each() {
    let schema = schema();
    let members = schema["$defs"].as_object().unwrap();
    for (name, member) in members {
        assert!(member["description"].is_string(), "{name}: {member}");
        assert!(!member.to_string().contains("$ref"), "{name}");
    }
    let mut used = std::collections::BTreeSet::new();
    for one in schema["oneOf"].as_array().unwrap() {
        let properties = one["properties"].as_object().unwrap();
        for name in properties.keys() {
            assert!(members.contains_key(name), "{}: {name}", one["title"]);
            used.insert(name.clone());
        }
        for name in one["required"].as_array().unwrap() {
            assert!(properties.contains_key(name.as_str().unwrap()), "{}: {name}", one["title"]);
        }
    }
    let unused: Vec<&String> = members.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no type has {unused:?}");
}

#[test]
fn an_unnamed_member_and_a_missing_one_do_not_conform_to_the_schema() {
    let event = written(&State::default(), &Event::CorrelationEnded).unwrap();
    let json: Value = serde_json::from_str(&event).unwrap();
    assert!(CLOSED.is_valid(&json));
    let mut more = json.clone();
    more["more"] = 1.into();
    let mut less = json.clone();
    less.as_object_mut().unwrap().remove("phonon_uuid");
    let mut other = json;
    other["type"] = "to_come".into();
    for wrong in [more, less, other] {
        assert!(!CLOSED.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn every_other_event_conforms_to_the_schema() {
    let started = Started { account: ACCOUNT, content: 1, until: AT };
    let webhook = || WebhookName::new("crm").unwrap();
    let skipped = SkippedRule {
        account: ACCOUNT,
        webhook: webhook(),
        trigger: "flow.complete".into(),
        reason: SkipReason::NoValue,
        variable: Some("$flow.key.a".into()),
        sms: Some(sms("a")),
        source: source(),
    };
    let rendered = Event::DeliveryRendered {
        delivery: delivery().id,
        body: Bytes::new(),
        rendering: Rendering::Fixed,
        at: AT,
    };
    let state = State { deliveries: vec![delivery()], ..State::default() };
    for event in [
        Event::FlowStarted { started, flow: identity().flow, source: source() },
        Event::RuleSkipped(Box::new(skipped)),
        rendered,
    ] {
        assert!(written(&state, &event).is_some());
        assert!(written(&State::default(), &event).is_some());
    }
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        check(&out);
        out
    };
    for cause in DisableCause::ALL {
        let disabled = Disabled { at: AT, cause };
        for event in [
            EndpointEvent::Held { until: AT },
            EndpointEvent::Disabled { disabled, failing_since: None },
            EndpointEvent::Disabled { disabled, failing_since: Some(AT) },
            EndpointEvent::Enabled,
        ] {
            write(&|out| assert!(write_endpoint_event(out, &webhook(), Some(ACCOUNT), AT, &event)));
        }
    }
    for state in ["closed", "half_open", "open"] {
        write(&|out| write_breaker_event(out, &webhook(), None, AT, state));
    }
    for became in Became::ALL {
        let whose = uuid();
        for about in [None, Some((&whose, Some(ACCOUNT)))] {
            write(&|out| write_record_replayed(out, about, AT, "3:17", &source(), became));
        }
    }
    let id = Some(TopicId::generated([1; 16]));
    let mut changes = vec![
        InputChange::Recreated { former: id.clone(), id, former_offset: 7, offset: 0 },
        InputChange::Recreated { former: None, id: None, former_offset: 7, offset: 0 },
        InputChange::Missed { from: 1, to: 5 },
    ];
    changes.extend(MovedBy::ALL.map(|by| InputChange::Moved { from: 1, to: 0, by }));
    for change in changes {
        let event = InputEvent { topic: "flow-complete".into(), partition: 1, change };
        let out = write(&|out| write_input_event(out, AT, &event));
        assert_eq!(read_notice(&out).unwrap().fact, Fact::Input(event));
    }
    for event in [
        ReloadEvent::refused("config/ringback.toml: wrong"),
        ReloadEvent::RestartNeeded(vec!["kafka.group_id".to_owned()]),
    ] {
        write(&|out| write_reload_event(out, AT, "ringback-0", &event));
    }
}

#[test]
fn the_events_of_operators_conform_to_the_schema() {
    let check_event = |event: &OperatorEvent| {
        let mut out = Vec::new();
        write_operator_event(&mut out, AT, "ringback-0", event);
        check(&out);
    };
    for action in OperatorAction::ALL {
        let (address, webhook) = (Some("10.0.0.9".to_owned()), Some("crm".to_owned()));
        let operator = "a \"b\"".to_owned();
        let detail = "reason = gone".to_owned();
        let whole = OperatorEvent { action, operator, address, webhook, detail };
        check_event(&whole);
        let short = OperatorEvent { address: None, webhook: None, ..whole.clone() };
        check_event(&short);
    }
}

#[test]
fn the_event_of_a_repartition_conforms_to_the_schema() {
    let event = RepartitionEvent {
        changelog: "ringback.changelog-5",
        former_changelog: "ringback.changelog",
        inbox: "ringback.inbox-5",
        former_inbox: "ringback.inbox",
        partitions: 5,
        former_partitions: 2,
    };
    let mut out = Vec::new();
    write_repartitioned(&mut out, AT, &event);
    check(&out);
    let fact = Fact::Repartitioned { inbox: "ringback.inbox-5".into() };
    assert_eq!(read_notice(&out).unwrap().fact, fact);
}
