//! Converts the content of `ringback.toml` to the daemon's settings.

mod checks;
mod client;
mod database;
mod retired;
mod sink;
mod statuses;
mod traces;

pub(in crate::config) use client::is_shown as shows_property;

use super::file::{self, OneOrMore, SettingsFile};
use super::{
    DeliverySettings, HttpSettings, Path, Read, RegistrySettings, Settings, StoreSettings,
};
use crate::accounts::{Bounds, Defaults, Retry, rate};
use crate::codec::source::{Envelope, Unwrap};
use crate::config::effective::{self, Listed};
use crate::config::environment;
use crate::definition::catalogue::{self, Methods};
use crate::delivery::{AddressPolicy, BreakerPolicy};
use crate::document::{
    self, Context, Fault, Node, Place, Value, Variables, prune, read_toml, schema_of,
};
use crate::domain::{CorrelationPolicy, OnReportTimeout, Phase2Order, Phase2Wait};
use crate::log::{KafkaSettings, TopicNames};
use crate::store::OnCorruption;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Returns the settings with all their faults. The error is that of a file that is not TOML.
pub(super) fn read(file: &Path, variables: &Variables) -> Result<Read, Fault> {
    let mut tree = read_toml(file)?;
    let schema = schema_of::<SettingsFile>();
    let mut faults = Vec::new();
    normalise_client(&mut tree, &mut faults);
    faults.extend(environment::apply(&mut tree, &retired::beside(&schema), variables));
    let (of_retired, mut warnings) = retired::remove(&mut tree);
    faults.extend(of_retired);
    faults.extend(prune(&mut tree, &schema));
    client_as_text(&mut tree);
    let base = file.parent().unwrap_or(Path::new(""));
    let mut context = Context::new(base, variables, faults);
    let written: SettingsFile = context.typed(&tree);
    let settings = settings(file, written, &Place::root(&tree), &mut context);
    let Context { faults, warnings: of_values, secret_files, secret_variables, referred, .. } =
        context;
    warnings.extend(of_values);
    let entries = effective::collect(&tree, base, &schema, &referred, Listed::All);
    let settings = Settings { secret_files, secret_variables, ..settings };
    Ok(Read { settings, entries, faults, warnings })
}

/// Flattens `security.protocol = "SSL"`: nested tables for TOML, but one property for librdkafka.
fn normalise_client(tree: &mut Node, faults: &mut Vec<Fault>) {
    let client = tree.get_mut("kafka").and_then(|kafka| kafka.get_mut("client"));
    if let Some(Node { value: Value::Table(table), .. }) = client {
        document::flatten(table, |_| true, faults);
    }
}

/// Converts numbers and booleans to text, which librdkafka needs.
fn client_as_text(tree: &mut Node) {
    let client = tree.get_mut("kafka").and_then(|kafka| kafka.get_mut("client"));
    let Some(Node { value: Value::Table(table), .. }) = client else { return };
    for node in table.values_mut() {
        if let Value::Scalar(scalar) = &mut node.value
            && !scalar.is_str()
        {
            *scalar = toml::Value::String(scalar.to_string());
        }
    }
}

fn settings(
    file: &Path,
    written: SettingsFile,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Settings {
    let at = |section| place.key(section);
    let settings = Settings {
        file: file.to_owned(),
        kafka: kafka(written.kafka, &at("kafka"), context),
        topics: topics(written.topics, &at("topics"), context),
        schema_registry: written
            .schema_registry
            .and_then(|written| registry(&written, &at("schema_registry"), context)),
        store: store(&written.store, &at("store"), context),
        http: http(&written.http, &at("http"), context),
        traces: None,
        accounts_file: context.path(&at("accounts").key("file"), &written.accounts.file),
        accounts_database: database::read(&written.accounts, &at("accounts"), context),
        methods: methods(&written.catalogue, &at("catalogue").key("internal"), context),
        correlation: correlation(&written.correlation, &at("correlation"), context),
        statuses: statuses::read(&written.statuses, &at("statuses"), context),
        sink: None,
        delivery: delivery(written.delivery, &at("delivery"), context),
        secret_files: BTreeSet::new(),
        secret_variables: BTreeSet::new(),
    };
    let (instance_id, place) = (&settings.kafka.instance_id, at("traces"));
    let traces = written.traces.and_then(|it| traces::read(&it, instance_id, &place, context));
    let sink = written.sink.mongodb;
    let place = at("sink").key("mongodb");
    let sink = sink.and_then(|it| sink::mongodb(&it, &settings.http, &place, context));
    Settings { sink, traces, ..settings }
}

/// Returns the functions of the platform.
fn methods(
    written: &file::Catalogue,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Arc<Methods> {
    let built_in = || Arc::new(catalogue::methods().clone());
    let Some(name) = &written.internal else { return built_in() };
    let Some(text) = context.text_of_file(place, name) else { return built_in() };
    match catalogue::extended(&text) {
        Ok(methods) => Arc::new(methods),
        Err(error) => {
            let fix =
                "write it like config/catalogue/internal.toml: a [[method]] for each function";
            context.fault(place, format!("{name}: {error}"), fix);
            built_in()
        }
    }
}

fn store(written: &file::Store, place: &Place<'_>, context: &Context<'_>) -> StoreSettings {
    StoreSettings {
        directory: context.path(&place.key("directory"), &written.directory),
        on_corruption: match written.on_corruption {
            file::OnCorruption::Restore => OnCorruption::Restore,
            file::OnCorruption::Stop => OnCorruption::Stop,
        },
    }
}

fn kafka(written: file::Kafka, place: &Place<'_>, context: &mut Context<'_>) -> KafkaSettings {
    checks::bootstrap_servers(&written.bootstrap_servers, place, context);
    let before = context.faults.len();
    let at = place.key("client");
    let settings = KafkaSettings {
        client: client::properties(&written.client.0, &at, context),
        bootstrap_servers: written.bootstrap_servers,
        group_id: written.group_id,
        instance_id: written.instance_id,
        commit_interval_ms: written.commit_interval_ms,
    };
    if context.faults.len() == before {
        client::together(&settings, &at, context);
    }
    settings
}

fn topics(written: file::Topics, place: &Place<'_>, context: &mut Context<'_>) -> TopicNames {
    let list = |names: OneOrMore| match names {
        OneOrMore::One(name) => vec![name],
        OneOrMore::More(names) => names,
    };
    let names = TopicNames {
        flow_complete: list(written.flow_complete),
        delivery_report: list(written.delivery_report),
        flow_started: written.flow_started.map(list).unwrap_or_default(),
        events: written.events,
        dead_letter: written.dead_letter,
        changelog: written.changelog,
        inbox: written.inbox,
        unwrap: written.unwrap.into_iter().fold(Unwrap::default(), |unwrap, envelope| {
            unwrap.with(match envelope {
                file::Envelope::Connect => Envelope::Connect,
                file::Envelope::Debezium => Envelope::Debezium,
                file::Envelope::Mongodb => Envelope::MongoDb,
                file::Envelope::Cloudevents => Envelope::CloudEvents,
            })
        }),
    };
    checks::topics(&names, place, context);
    names
}

fn registry(
    written: &file::SchemaRegistry,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<RegistrySettings> {
    let password =
        written.password.as_ref().and_then(|text| context.secret(&place.key("password"), text));
    if written.username.is_some() != written.password.is_some() {
        context.fault(place, "has only one of `username` and `password`", "set both or neither");
    }
    let url = checks::registry_url(written.url.as_deref()?, &place.key("url"), context)?;
    Some(RegistrySettings { url, username: written.username.clone(), password })
}

fn http(written: &file::Http, place: &Place<'_>, context: &mut Context<'_>) -> HttpSettings {
    let token = written.token.as_ref().and_then(|text| {
        let place = place.key("token");
        let token = context.secret(&place, text)?;
        checks::token(&token, &place, context);
        Some(token)
    });
    let place = place.key("listen");
    let listen = checks::listen(&written.listen, "127.0.0.1:9464", &place, context)
        .unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], 9464)));
    // A token that can't be read has its own fault.
    checks::guarded(listen, written.token.is_some(), &place, context);
    HttpSettings { listen, token, endpoint_labels_max: written.endpoint_labels_max }
}

fn correlation(
    written: &file::Correlation,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> CorrelationPolicy {
    let (gather_s, place) = (written.phase2_gather_s, place.key("phase2_gather_s"));
    if gather_s > 0 && matches!(written.phase2_wait, file::Wait::Each) {
        let problem =
            "has no effect: with phase2_wait = \"each\", no webhook waits for another SMS";
        context.fault(&place, problem, "remove it, or set phase2_wait = \"all\"");
    } else if gather_s > written.report_timeout_s {
        let fix = format!("write {} or less", written.report_timeout_s);
        context.fault(&place, "is longer than report_timeout_s, which ends the wait", fix);
    }
    CorrelationPolicy {
        phase2_wait: match written.phase2_wait {
            file::Wait::All => Phase2Wait::All,
            file::Wait::Each => Phase2Wait::Each,
        },
        phase2_order: match written.phase2_order {
            file::Order::Strict => Phase2Order::Strict,
            file::Order::Independent => Phase2Order::Independent,
        },
        on_report_timeout: match written.on_report_timeout {
            file::OnTimeout::End => OnReportTimeout::End,
            file::OnTimeout::Notify => OnReportTimeout::Notify,
        },
        phase2_gather_ms: gather_s.saturating_mul(1000),
        correlation_ttl_ms: written.correlation_ttl_s.saturating_mul(1000),
        report_timeout_ms: written.report_timeout_s.saturating_mul(1000),
        dedup_window_ms: written.dedup_window_s.saturating_mul(1000),
    }
}

fn delivery(
    written: file::Delivery,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> DeliverySettings {
    let opened = written.allow_addresses.iter().enumerate().filter_map(|(index, text)| {
        checks::cidr(text, &place.key("allow_addresses").item(index), context)
    });
    let addresses = AddressPolicy::new(opened);
    let name_servers = written.name_servers.iter().enumerate().filter_map(|(index, text)| {
        checks::name_server(text, &place.key("name_servers").item(index), context)
    });
    let name_servers = name_servers.collect();
    let proxy = written.proxy.as_ref().and_then(|text| {
        let place = place.key("proxy");
        let text = context.secret(&place, text)?;
        checks::proxy(&text, &place, context)
    });
    let per_second = Some(written.rate_per_second);
    let rate_per_second = rate::read(per_second, written.rate.as_deref(), place, context);
    let retry = &written.retry;
    if retry.initial_interval_ms > retry.interval_max_ms {
        context.fault(
            &place.key("retry").key("interval_max_ms"),
            "is shorter than `initial_interval_ms`",
            format!("write {} or more", retry.initial_interval_ms),
        );
    }
    let defaults = Defaults {
        request_timeout: Duration::from_millis(written.request_timeout_ms),
        connect_timeout: Duration::from_millis(written.connect_timeout_ms),
        connection_max_age: Duration::from_secs(written.connection_max_age_s),
        in_flight_max: written.in_flight_max_webhook,
        proxy,
        bounds: Bounds {
            attempts_max: written.attempts_max,
            age_max: Duration::from_secs(written.age_max_s),
            retry_after_max: Duration::from_secs(written.retry_after_max_s),
            disable_after: Duration::from_secs(written.disable_after_s),
        },
        retry: Retry {
            initial_interval: Duration::from_millis(retry.initial_interval_ms),
            multiplier: retry.multiplier,
            interval_max: Duration::from_millis(retry.interval_max_ms),
            randomization_factor: retry.randomization_factor,
        },
        breaker: BreakerPolicy {
            failure_ratio: written.breaker.failure_ratio,
            window: Duration::from_secs(written.breaker.window_s),
            attempts_min: written.breaker.attempts_min,
            open: Duration::from_secs(written.breaker.open_s),
        },
    };
    DeliverySettings {
        defaults,
        name_servers,
        in_flight_max: written.in_flight_max,
        uncommitted_max: written.uncommitted_max,
        rate_per_second,
        addresses,
    }
}
