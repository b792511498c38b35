//! Creates clients of every kind and drops them again, to check whether librdkafka accepts their properties.

use super::client;
use super::report::Reports;
use super::settings::KafkaSettings;
use rdkafka::admin::AdminClient;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};

/// A client that fetches tokens starts at once. Nothing answers at this address, so no request leaves this host.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// An error of librdkafka about the properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRefusal {
    /// The property, if librdkafka names it.
    pub property: Option<String>,
    /// librdkafka's own text, which may quote a value.
    pub text: String,
}

impl From<KafkaError> for ClientRefusal {
    fn from(error: KafkaError) -> Self {
        if let KafkaError::ClientConfig(_, text, property, _) = error {
            return Self { property: Some(property), text };
        }
        // Other errors are a value with a zero byte, or a thread that the system can't start.
        let words = if let KafkaError::ClientCreation(text) = &error { Some(text) } else { None };
        Self { property: None, text: words.map_or_else(|| error.to_string(), Clone::clone) }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

/// Creates a client of each kind, without a connection.
///
/// # Errors
/// The first property that librdkafka rejects.
pub fn try_clients(settings: &KafkaSettings) -> Result<(), ClientRefusal> {
    let _: BaseConsumer<Reports> =
        offline(client::consumer(settings)).create_with_context(Reports)?;
    let _: BaseConsumer<Reports> =
        offline(client::observer(settings, "read_committed")).create_with_context(Reports)?;
    let _: BaseProducer<Reports> =
        offline(client::producer(settings, "trial")).create_with_context(Reports)?;
    let _: AdminClient<Reports> = offline(client::admin(settings)).create_with_context(Reports)?;
    Ok(())
}

fn offline(mut config: ClientConfig) -> ClientConfig {
    config.remove("bootstrap.servers");
    // A consumer without a group is closed at once.
    config.remove("group.id");
    config.remove("group.instance.id");
    let fetches_tokens = ["token.endpoint.url", "metadata.authentication.type"]
        .into_iter()
        .any(|name| config.get(&format!("sasl.oauthbearer.{name}")).is_some());
    if fetches_tokens {
        config.set("sasl.oauthbearer.token.endpoint.url", NOWHERE);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::{client, offline};
    use crate::log::KafkaSettings;

    /// The trial runs during the check of a configuration file, so it must neither connect nor fetch a token.
    #[test]
    fn a_trial_client_knows_no_address_and_no_group() {
        let url = "sasl.oauthbearer.token.endpoint.url";
        let cloud = "sasl.oauthbearer.metadata.authentication.type";
        for properties in
            [&[(url, "https://login.example.com/")][..], &[(cloud, "azure_imds")], &[]]
        {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let settings = KafkaSettings {
                bootstrap_servers: "kafka.example.com:9092".to_owned(),
                group_id: "g".to_owned(),
                instance_id: "i".to_owned(),
                commit_interval_ms: 100,
                client: properties.iter().map(owned).collect(),
            };
            for config in [
                client::consumer(&settings),
                client::observer(&settings, "read_committed"),
                client::producer(&settings, "trial"),
                client::admin(&settings),
            ] {
                let config = offline(config);
                let all = config.config_map();
                let left = all.values().filter(|value| value.contains("example.com"));
                let left: Vec<_> = left.collect();
                assert!(left.is_empty(), "{left:?}");
                for name in ["bootstrap.servers", "group.id", "group.instance.id"] {
                    assert_eq!(config.get(name), None);
                }
                assert_eq!(config.get(url).is_some(), !settings.client.is_empty());
            }
        }
    }
}
