//! `[traces]`: the export of traces.

use super::checks;
use crate::config::settings::file::traces as file;
use crate::document::{Context, Place};
use crate::telemetry::TraceSettings;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// The headers that the exporter or HTTP sets.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// Returns the settings of the export. `None`: they have a fault.
pub(super) fn read(
    written: &file::Traces,
    instance_id: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<TraceSettings> {
    let mut headers = HeaderMap::new();
    for (name, text) in &written.headers {
        let place = place.key("headers").key(name);
        let value = context.secret(&place, text);
        headers.extend(value.and_then(|value| header(name, value.reveal(), &place, context)));
    }
    let endpoint = endpoint(written.endpoint.as_deref()?, &place.key("endpoint"), context)?;
    Some(TraceSettings {
        endpoint,
        headers,
        sample_ratio: written.sample_ratio,
        queue_max: written.queue_max,
        timeout: Duration::from_millis(written.timeout_ms),
        service_name: written.service_name.clone(),
        instance_id: instance_id.to_owned(),
    })
}

/// Parses the collector's address. The operator chose it, so the address policy for customers does not apply to it.
fn endpoint(text: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<reqwest::Url> {
    let example = "http://127.0.0.1:4318/v1/traces";
    let url = checks::service_url(text, example, "`headers`", place, context)?;
    if url.path() == "/" {
        let problem = "has no path, and a collector accepts traces at /v1/traces only";
        context.fault(place, problem, format!("write it as in \"{example}\""));
        return None;
    }
    Some(url)
}

fn header(
    name: &str,
    value: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<(HeaderName, HeaderValue)> {
    let Ok(name) = HeaderName::try_from(name) else {
        let fix = "use letters, digits and hyphens, as in `authorization`";
        context.fault(place, "is not the name of a header", fix);
        return None;
    };
    if OWN_HEADERS.contains(&name.as_str()) {
        context.fault(place, "is a header that the daemon or HTTP itself sets", "remove it");
        return None;
    }
    let Ok(mut value) = HeaderValue::try_from(value) else {
        let fix = "use letters, digits and punctuation of ASCII, and no line break";
        context.fault(place, "can't be sent as a header", fix);
        return None;
    };
    value.set_sensitive(true);
    Some((name, value))
}
