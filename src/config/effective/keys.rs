//! The list of keys: whether SIGHUP applies them, and whether their values may be shown.
//!
//! A key that is missing in these lists needs a restart and is not shown, and a test reports it.

use serde_json::Value as Json;

/// The effect of SIGHUP on a key of `ringback.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Reload {
    /// The new value is in force at once.
    Applied,
    /// The old value stays in force until the next start.
    Restart,
}

use Reload::{Applied, Restart};

/// Every key of `ringback.toml`. A test checks that `Settings::reloaded` agrees with this list.
pub(in crate::config) const RELOADS: &[(&str, Reload)] = &[
    ("kafka.bootstrap_servers", Restart),
    ("kafka.group_id", Restart),
    ("kafka.instance_id", Restart),
    ("kafka.commit_interval_ms", Restart),
    ("kafka.client", Restart),
    ("topics.flow_complete", Restart),
    ("topics.delivery_report", Restart),
    ("topics.flow_started", Restart),
    ("topics.events", Restart),
    ("topics.dead_letter", Restart),
    ("topics.changelog", Restart),
    ("topics.inbox", Restart),
    ("topics.unwrap", Restart),
    ("schema_registry.url", Restart),
    ("schema_registry.username", Restart),
    ("schema_registry.password", Restart),
    ("store.directory", Restart),
    ("store.on_corruption", Restart),
    ("http.listen", Restart),
    ("http.token", Restart),
    ("http.endpoint_labels_max", Restart),
    ("traces.endpoint", Restart),
    ("traces.headers", Restart),
    ("traces.sample_ratio", Restart),
    ("traces.queue_max", Restart),
    ("traces.timeout_ms", Restart),
    ("traces.service_name", Restart),
    ("accounts.source", Restart),
    ("accounts.file", Applied),
    // The connections and what is known of the rows belong to one database.
    ("accounts.mysql.url", Restart),
    ("accounts.mysql.tls", Restart),
    ("accounts.mysql.ca_file", Restart),
    ("accounts.mysql.client_certificate_file", Restart),
    ("accounts.mysql.client_key_file", Restart),
    ("accounts.mysql.pool_size", Restart),
    ("accounts.mysql.poll_interval_s", Restart),
    ("accounts.mysql.read_timeout_s", Restart),
    ("accounts.mysql.unknown_account_wait_s", Restart),
    ("accounts.mysql.references", Restart),
    ("accounts.mysql.accounts_query", Restart),
    ("accounts.mysql.webhooks_query", Restart),
    ("accounts.mysql.flows_query", Restart),
    ("accounts.mysql.rules_query", Restart),
    ("accounts.mysql.version_query", Restart),
    ("catalogue.internal", Applied),
    ("correlation.phase2_wait", Applied),
    ("correlation.phase2_order", Applied),
    ("correlation.phase2_gather_s", Applied),
    ("correlation.correlation_ttl_s", Applied),
    ("correlation.report_timeout_s", Applied),
    ("correlation.on_report_timeout", Applied),
    ("correlation.dedup_window_s", Applied),
    ("statuses.final", Applied),
    ("statuses.intermediate", Applied),
    ("statuses.aliases", Applied),
    ("statuses.unknown", Applied),
    ("delivery.request_timeout_ms", Applied),
    ("delivery.connect_timeout_ms", Applied),
    ("delivery.connection_max_age_s", Applied),
    // All connections share the resolver.
    ("delivery.name_servers", Restart),
    // The files and the memory of the instance are planned for its limits.
    ("delivery.in_flight_max", Restart),
    ("delivery.in_flight_max_webhook", Applied),
    ("delivery.uncommitted_max", Restart),
    ("delivery.rate_per_second", Restart),
    ("delivery.rate", Restart),
    ("delivery.attempts_max", Applied),
    ("delivery.age_max_s", Applied),
    ("delivery.allow_addresses", Applied),
    ("delivery.proxy", Applied),
    ("delivery.retry_after_max_s", Applied),
    ("delivery.disable_after_s", Applied),
    ("delivery.retry.initial_interval_ms", Applied),
    ("delivery.retry.multiplier", Applied),
    ("delivery.retry.interval_max_ms", Applied),
    ("delivery.retry.randomization_factor", Applied),
    ("delivery.breaker.failure_ratio", Applied),
    ("delivery.breaker.window_s", Applied),
    ("delivery.breaker.attempts_min", Applied),
    ("delivery.breaker.open_s", Applied),
    // The daemon does not use them.
    ("sink.mongodb.uri", Applied),
    ("sink.mongodb.database", Applied),
    ("sink.mongodb.collection", Applied),
    ("sink.mongodb.id_field", Applied),
    ("sink.mongodb.field", Applied),
    ("sink.mongodb.missing", Applied),
    ("sink.mongodb.write_concern", Applied),
    ("sink.mongodb.batch_documents_max", Applied),
    ("sink.mongodb.batch_bytes_max", Applied),
    ("sink.mongodb.request_timeout_ms", Applied),
    ("sink.mongodb.listen", Applied),
];

/// Returns the effect of SIGHUP on `key`, which may be a property below a listed key.
pub(in crate::config) fn reload(key: &str) -> Reload {
    let stands_below = |known: &str| {
        key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    RELOADS.iter().find(|(known, _)| stands_below(known)).map_or(Restart, |(_, reload)| *reload)
}

/// The form in which the value of a key is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Show {
    /// Unchanged, except the credentials and the query of a URL.
    Plain,
    /// As an absolute path.
    Path,
    /// The value is not shown, because it may be a secret.
    Hidden,
}

use Show::{Hidden, Path, Plain};

/// Every key of both files whose value is text, without the names of a list's items. Numbers, booleans and words of a
/// closed set are shown. A value with the type of a secret is never shown.
pub(in crate::config) const TEXTS: &[(&str, Show)] = &[
    ("kafka.bootstrap_servers", Plain),
    ("kafka.group_id", Plain),
    ("kafka.instance_id", Plain),
    // The rules of librdkafka's properties decide, one by one.
    ("kafka.client", Hidden),
    ("topics.flow_complete", Plain),
    ("topics.delivery_report", Plain),
    ("topics.flow_started", Plain),
    ("topics.events", Plain),
    ("topics.dead_letter", Plain),
    ("topics.changelog", Plain),
    ("topics.inbox", Plain),
    ("schema_registry.url", Plain),
    ("schema_registry.username", Plain),
    ("store.directory", Path),
    ("http.listen", Plain),
    ("traces.endpoint", Plain),
    ("traces.headers", Hidden),
    ("traces.service_name", Plain),
    ("sink.mongodb.database", Plain),
    ("sink.mongodb.collection", Plain),
    ("sink.mongodb.id_field", Plain),
    ("sink.mongodb.field", Plain),
    ("sink.mongodb.listen", Plain),
    ("accounts.file", Path),
    ("accounts.mysql.ca_file", Path),
    ("accounts.mysql.client_certificate_file", Path),
    ("accounts.mysql.client_key_file", Path),
    ("accounts.mysql.accounts_query", Plain),
    ("accounts.mysql.webhooks_query", Plain),
    ("accounts.mysql.flows_query", Plain),
    ("accounts.mysql.rules_query", Plain),
    ("accounts.mysql.version_query", Plain),
    ("catalogue.internal", Path),
    ("statuses.final", Plain),
    ("statuses.intermediate", Plain),
    ("statuses.aliases", Plain),
    ("delivery.rate", Plain),
    ("delivery.name_servers", Plain),
    ("delivery.allow_addresses", Plain),
    ("account.rate", Plain),
    ("account.group", Plain),
    ("account.values", Hidden),
    ("account.notify", Plain),
    ("template.name", Plain),
    ("template.group", Plain),
    ("template.format", Hidden),
    ("template.format_file", Plain),
    ("template.tokens", Plain),
    ("webhook.name", Plain),
    ("webhook.notes", Plain),
    // A template and a constant may contain anything.
    ("webhook.url", Plain),
    ("webhook.auth.username", Plain),
    ("webhook.auth.token_url", Plain),
    ("webhook.auth.client_id", Plain),
    ("webhook.auth.scope", Plain),
    ("webhook.auth.audience", Plain),
    ("webhook.headers.name", Plain),
    ("webhook.query.name", Plain),
    ("webhook.template", Hidden),
    ("webhook.template_file", Plain),
    ("webhook.mandatory", Plain),
    ("webhook.optional", Plain),
    ("webhook.tokens", Plain),
    ("webhook.method_name", Plain),
    ("webhook.values", Hidden),
    ("webhook.signatures.header", Plain),
    ("webhook.signatures.prefix", Plain),
    ("webhook.signatures.content", Plain),
    ("webhook.rate", Plain),
    ("webhook.response.namespaces", Plain),
    ("webhook.response.map.save_in", Plain),
    ("webhook.response.map.path", Plain),
    ("webhook.ca_file", Plain),
    ("webhook.client_certificate_file", Plain),
    ("webhook.client_key_file", Plain),
    ("rule.on", Plain),
    ("rule.webhook", Plain),
    ("rule.after", Plain),
    ("rule.when.variable", Plain),
    ("rule.when.equals", Plain),
    ("rule.when.one_of", Plain),
];

/// Returns the form in which the value of `pattern`, a key without the names of items, is shown. `schema` is the key's
/// schema.
pub(in crate::config) fn show(pattern: &str, schema: &Json) -> Show {
    if is_secret(schema) {
        return Hidden;
    }
    if !is_text(schema) {
        return Plain;
    }
    TEXTS.iter().find(|(known, _)| *known == pattern).map_or(Hidden, |(_, show)| *show)
}

/// Returns whether the value has the type of a secret.
pub(in crate::config) fn is_secret(schema: &Json) -> bool {
    schema.get("writeOnly").is_some_and(|it| *it == Json::Bool(true))
}

/// Returns whether the value may contain any text: directly, in a list or in a table.
pub(in crate::config) fn is_text(schema: &Json) -> bool {
    let below = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    let branches = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
    if below.chain(branches).any(is_text) {
        return true;
    }
    let is_word = schema.get("enum").is_some() || schema.get("oneOf").is_some();
    let is_string = |kind: &Json| kind == "string";
    let types = schema.get("type");
    let may_be = types.is_some_and(|types| {
        is_string(types) || types.as_array().is_some_and(|types| types.iter().any(is_string))
    });
    may_be && !is_word
}

/// The keys of a webhook, each with the key of `ringback.toml` that applies if the webhook does not set it.
pub(in crate::config) const INHERITED: &[(&str, &str)] = &[
    ("request_timeout_ms", "delivery.request_timeout_ms"),
    ("connect_timeout_ms", "delivery.connect_timeout_ms"),
    ("connection_max_age_s", "delivery.connection_max_age_s"),
    ("in_flight_max", "delivery.in_flight_max_webhook"),
    ("retry.attempts_max", "delivery.attempts_max"),
    ("retry.age_max_s", "delivery.age_max_s"),
    ("retry.initial_interval_ms", "delivery.retry.initial_interval_ms"),
    ("retry.multiplier", "delivery.retry.multiplier"),
    ("retry.interval_max_ms", "delivery.retry.interval_max_ms"),
    ("retry.randomization_factor", "delivery.retry.randomization_factor"),
    ("retry.retry_after_max_s", "delivery.retry_after_max_s"),
    ("retry.disable_after_s", "delivery.disable_after_s"),
    ("breaker.failure_ratio", "delivery.breaker.failure_ratio"),
    ("breaker.window_s", "delivery.breaker.window_s"),
    ("breaker.attempts_min", "delivery.breaker.attempts_min"),
    ("breaker.open_s", "delivery.breaker.open_s"),
];
