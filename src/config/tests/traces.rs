//! `[traces]`, and its faults.

use super::{check, settings};
use std::time::Duration;

#[test]
fn traces_are_off_and_have_defaults_for_all_but_the_collector() {
    assert_eq!(settings("").traces, None);
    let traces = settings("[traces]\nendpoint = \"http://c:4318/v1/traces\"\n").traces.unwrap();
    assert_eq!(traces.endpoint.as_str(), "http://c:4318/v1/traces");
    assert!(traces.headers.is_empty() && traces.sample_ratio == 1.0);
    assert_eq!((traces.queue_max, traces.timeout), (2048, Duration::from_secs(10)));
    assert_eq!((&*traces.service_name, &*traces.instance_id), ("ringback", "ringback-0"));
}

#[test]
fn every_key_of_traces_can_be_set_and_no_header_shows_its_value() {
    let traces = settings(
        r#"
        [kafka]
        instance_id = "ringback-7"
        [traces]
        endpoint = "https://collector.example.com/v1/traces"
        headers = { Authorization = "Bearer hush", "x-tenant" = "hush" }
        sample_ratio = 0.25
        queue_max = 7
        timeout_ms = 5
        service_name = "webhooks"
        "#,
    );
    let traces = traces.traces.unwrap();
    assert_eq!(traces.headers["authorization"], "Bearer hush");
    assert_eq!(traces.headers["x-tenant"], "hush");
    assert!(!format!("{traces:?}").contains("hush"), "{traces:?}");
    assert!((traces.sample_ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!((traces.queue_max, traces.timeout), (7, Duration::from_millis(5)));
    assert_eq!((&*traces.service_name, &*traces.instance_id), ("webhooks", "ringback-7"));
}

#[test]
fn faults_of_traces_name_their_key_and_the_fix() {
    check(
        "[traces]\nendpoint = \"http://u:hush@c/v1/traces\"\nsample_ratio = 1.5\nqueue_max = 0\n\
         headers = { host = \"a\", \"a b\" = \"hush\", x-key = \"hush\\nhush\" }\nservice_name = \"\"\n",
        "",
        &[
            "ringback.toml:2: traces.endpoint: holds credentials, which would show in logs; move them to `headers`",
            "ringback.toml:3: traces.sample_ratio: is 1.5; write a number from 0 to 1",
            "ringback.toml:4: traces.queue_max: is 0; write a whole number from 1 to 1000000",
            "ringback.toml:5: traces.headers.a b: is not the name of a header; use letters, digits and hyphens, as in \
             `authorization`",
            "ringback.toml:5: traces.headers.host: is a header that the daemon or HTTP itself sets; remove it",
            "ringback.toml:5: traces.headers.x-key: can't be sent as a header; use letters, digits and punctuation of \
             ASCII, and no line break",
            "ringback.toml:6: traces.service_name: is empty; write some text, or remove the key",
        ],
    );
    check(
        "[traces]\n",
        "",
        &["ringback.toml:1: traces.endpoint: is missing; add `endpoint`: text"],
    );
    for (endpoint, fault) in [
        ("http://c:4318", "has no path, and a collector accepts traces at /v1/traces only"),
        ("grpc://c:4317/v1/traces", "is neither http nor https"),
    ] {
        let fault = format!(
            "ringback.toml:2: traces.endpoint: {fault}; write it as in \"http://127.0.0.1:4318/v1/traces\""
        );
        check(&format!("[traces]\nendpoint = \"{endpoint}\"\n"), "", &[&fault]);
    }
}
