//! The place of one test: its own topics, group, endpoint and configuration.

use super::broker;
use super::changelog;
use super::child::{mortal, run_dir};
use super::daemon::binary;
use super::kafka::{Kafka, Message, Record, Tail};
use super::receiver::Receiver;
use super::samples::ACCOUNT;
use super::{PATIENCE, wait_until};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use toml::{Table, Value};

/// The name of the webhook that every stage has from the beginning.
pub(crate) const WEBHOOK: &str = "crm";

/// The changelog's settings: compaction runs even during short tests.
const COMPACTED: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "2000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "604800000"),
];

/// The kinds of topics, each with its key in `[topics]`.
pub(crate) const TOPICS: [(&str, &str); 6] = [
    ("flow_complete", "flow-complete"),
    ("delivery_report", "sms-delivery-report"),
    ("events", "events"),
    ("dead_letter", "dead-letter"),
    ("changelog", "changelog"),
    ("inbox", "inbox"),
];

/// The topics, endpoint and configuration of a test. A changed setting applies to daemons that start afterwards.
pub(crate) struct Stage {
    pub(crate) kafka: Kafka,
    pub(crate) receiver: Receiver,
    name: String,
    dir: PathBuf,
    settings: Table,
    accounts: Vec<Table>,
    webhooks: Vec<Table>,
    flows: Vec<Table>,
    variables: Vec<(String, String)>,
    shell: Option<&'static str>,
    /// The topics that have other names than those of their kinds.
    renamed: BTreeMap<&'static str, String>,
}

impl Stage {
    /// Creates a stage on the run's broker. Two partitions allow records in the wrong one.
    pub(crate) fn new(name: &str) -> Self {
        Self::on(broker::shared(), name, 2)
    }

    /// Creates a stage on this broker, with `partitions` partitions of every topic.
    pub(crate) fn on(kafka: Kafka, name: &str, partitions: i32) -> Self {
        let stage = Self::without_topics(kafka, name);
        let names = TOPICS.map(|(_, kind)| (kind, stage.topic(kind)));
        let topics = names.each_ref().map(|(kind, name)| {
            let settings = if *kind == "changelog" { COMPACTED } else { &[] };
            (name.as_str(), partitions, settings)
        });
        stage.kafka.create_topics(&topics);
        stage
    }

    /// Creates a stage whose topics do not exist.
    pub(crate) fn without_topics(kafka: Kafka, name: &str) -> Self {
        let dir = run_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory for the test");
        let receiver = Receiver::start();
        let url = receiver.url("/hooks/phonon");
        let mut stage = Self {
            kafka,
            receiver,
            name: name.to_owned(),
            dir,
            settings: Table::new(),
            accounts: Vec::new(),
            webhooks: Vec::new(),
            flows: Vec::new(),
            variables: Vec::new(),
            shell: None,
            renamed: BTreeMap::new(),
        };
        stage.defaults();
        stage.add_account(ACCOUNT);
        stage.add_webhook(WEBHOOK, ACCOUNT, &url);
        stage
    }

    /// Sets short timers. All other settings keep the daemon's defaults.
    fn defaults(&mut self) {
        for (key, kind) in TOPICS {
            self.set(&format!("topics.{key}"), self.topic(kind));
        }
        self.set("kafka.bootstrap_servers", self.kafka.bootstrap().to_owned());
        self.set("kafka.group_id", self.group());
        let mut client = Table::new();
        client.insert("session.timeout.ms".into(), Value::Integer(6000));
        client.insert("transaction.timeout.ms".into(), Value::Integer(5000));
        self.set("kafka.client", client);
        self.set("accounts.file", "accounts.toml");
        self.set("delivery.allow_addresses", vec!["127.0.0.0/8", "::1/128"]);
        self.set("delivery.retry.initial_interval_ms", 50);
        self.set("delivery.retry.interval_max_ms", 200);
        self.set("delivery.retry.randomization_factor", 0.0);
        // Only tests of the breaker want to hold failing endpoints back.
        self.set("delivery.breaker.attempts_min", 100_000);
    }

    /// Returns the name of the stage's topic of this kind.
    pub(crate) fn topic(&self, kind: &str) -> String {
        self.renamed.get(kind).cloned().unwrap_or_else(|| format!("{}.{kind}", self.name))
    }

    /// Uses another topic of this kind, for daemons and commands that start afterwards.
    pub(crate) fn rename(&mut self, kind: &'static str, topic: String) {
        self.set(&format!("topics.{kind}"), topic.clone());
        self.renamed.insert(kind, topic);
    }

    /// Returns the name of the consumer group.
    pub(crate) fn group(&self) -> String {
        format!("{}.group", self.name)
    }

    /// Returns the directory of instance `number`, with its configuration and store.
    pub(crate) fn instance_dir(&self, number: u8) -> PathBuf {
        self.dir.join(format!("instance-{number}"))
    }

    /// Sets `section.key` of `ringback.toml`.
    pub(crate) fn set(&mut self, path: &str, value: impl Into<Value>) {
        let mut parts: Vec<&str> = path.split('.').collect();
        let key = parts.pop().expect("a path has a key");
        let mut table = &mut self.settings;
        for part in parts {
            let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().expect("a section");
        }
        table.insert(key.to_owned(), value.into());
    }

    /// Deletes the topic of this kind and creates it again.
    pub(crate) fn recreate(&self, kind: &str, partitions: i32) {
        let name = self.topic(kind);
        self.kafka.delete_topics(&[&name]);
        let settings = if kind == "changelog" { COMPACTED } else { &[] };
        wait_until(&format!("{name} is created again"), PATIENCE, || {
            self.kafka.try_create(&(name.as_str(), partitions, settings)).then_some(())
        });
        wait_until(&format!("{name} has its leaders"), PATIENCE, || {
            // The broker may still describe the former topic.
            let is_new = self.kafka.partitions(&name) == partitions;
            let ends = (0..partitions).map(|partition| self.kafka.try_end(&name, partition));
            ends.collect::<Option<Vec<_>>>().filter(|_| is_new)
        });
    }

    /// Adds an account with everything switched on.
    pub(crate) fn add_account(&mut self, id: i64) {
        let mut account = Table::new();
        account.insert("id".into(), id.into());
        account.insert("account.sms.notifyOnDelivery".into(), true.into());
        account.insert("account.sms.notifyOnDelivery.attachflowkeys".into(), true.into());
        account.insert("http_enabled".into(), true.into());
        self.accounts.push(account);
    }

    /// Adds a default webhook of this account.
    pub(crate) fn add_webhook(&mut self, name: &str, account: i64, url: &str) {
        let mut webhook = Table::new();
        webhook.insert("name".into(), name.into());
        webhook.insert("account".into(), account.into());
        webhook.insert("default".into(), true.into());
        webhook.insert("url".into(), url.into());
        self.webhooks.push(webhook);
    }

    /// Adds a `[[flow]]` entry of the samples' account.
    pub(crate) fn add_flow(&mut self, id: i64, webhook_enabled: bool) {
        let mut flow = Table::new();
        flow.insert("id".into(), id.into());
        flow.insert("account".into(), ACCOUNT.into());
        flow.insert("webhook_enabled".into(), webhook_enabled.into());
        self.flows.push(flow);
    }

    /// Sets a variable of the environment of daemons and commands.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Removes all variables for daemons that start from now on.
    #[cfg(feature = "failpoints")]
    pub(crate) fn clear_variables(&mut self) {
        self.variables.clear();
    }

    /// Starts daemons and commands through a shell that runs `command` first.
    pub(crate) fn set_shell(&mut self, command: &'static str) {
        self.shell = Some(command);
    }

    /// Returns the command that starts the binary, without its arguments.
    pub(crate) fn launcher(&self) -> Command {
        let Some(first) = self.shell else { return mortal(binary()) };
        let mut command = mortal("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(binary());
        command
    }

    /// Returns the variables of [`Stage::set_variable`].
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets a key of the first account.
    pub(crate) fn set_account(&mut self, key: &str, value: impl Into<Value>) {
        self.accounts[0].insert(key.to_owned(), value.into());
    }

    /// Sets a key of the first webhook.
    pub(crate) fn set_webhook(&mut self, key: &str, value: impl Into<Value>) {
        self.webhooks[0].insert(key.to_owned(), value.into());
    }

    /// Changes the webhook that was added last.
    pub(crate) fn set_last_webhook(&mut self, key: &str, value: impl Into<Value>) {
        let webhook = self.webhooks.last_mut().expect("a webhook");
        webhook.insert(key.to_owned(), value.into());
    }

    /// Changes the webhook with this name.
    pub(crate) fn set_named_webhook(&mut self, name: &str, key: &str, value: impl Into<Value>) {
        let is_it = |webhook: &&mut Table| webhook["name"].as_str() == Some(name);
        let webhook = self.webhooks.iter_mut().find(is_it).expect("the webhook");
        webhook.insert(key.to_owned(), value.into());
    }

    /// Removes all webhooks.
    pub(crate) fn no_webhooks(&mut self) {
        self.webhooks.clear();
    }

    /// Writes both files of instance `number` and returns the path of `ringback.toml`.
    pub(crate) fn write_config(&self, number: u8, http_port: u16) -> PathBuf {
        let dir = self.instance_dir(number);
        std::fs::create_dir_all(&dir).expect("a directory for the instance");
        let mut settings = self.settings.clone();
        let mut section = |name: &str, key: &str, value: Value| {
            let section = settings.entry(name).or_insert_with(|| Value::Table(Table::new()));
            let section = section.as_table_mut().expect("a section");
            section.entry(key).or_insert(value);
        };
        section("kafka", "instance_id", format!("{}-{number}", self.name).into());
        section("store", "directory", "data".into());
        section("http", "listen", format!("127.0.0.1:{http_port}").into());
        write_toml(&dir.join("ringback.toml"), &settings);
        self.write_accounts(number);
        dir.join("ringback.toml")
    }

    /// Writes the accounts file of instance `number`, for a reload.
    pub(crate) fn write_accounts(&self, number: u8) {
        let mut accounts = Table::new();
        let entries =
            [("account", &self.accounts), ("webhook", &self.webhooks), ("flow", &self.flows)];
        for (name, tables) in entries {
            if !tables.is_empty() {
                accounts.insert(name.to_owned(), tables.clone().into());
            }
        }
        write_toml(&self.instance_dir(number).join("accounts.toml"), &accounts);
    }

    /// Returns a record for the topic of this kind. Its key is its phonon-uuid, as the gateways write it.
    pub(crate) fn record(&self, kind: &str, value: &Json) -> Record {
        let key = value["phononUuid"].as_str().map(|uuid| uuid.as_bytes().to_vec());
        Record { key, ..self.raw(kind, value.to_string()) }
    }

    /// Returns a record with this value and without a key.
    pub(crate) fn raw(&self, kind: &str, value: impl Into<Vec<u8>>) -> Record {
        Record { topic: self.topic(kind), value: Some(value.into()), ..Record::default() }
    }

    /// Produces flow complete records.
    pub(crate) fn send_flows(&self, flows: &[Json]) {
        let records = flows.iter().map(|flow| self.record("flow-complete", flow));
        self.kafka.produce(&records.collect::<Vec<_>>());
    }

    /// Produces delivery reports.
    pub(crate) fn send_reports(&self, reports: &[Json]) {
        let records = reports.iter().map(|report| self.record("sms-delivery-report", report));
        self.kafka.produce(&records.collect::<Vec<_>>());
    }

    /// Follows the events from the first one on.
    pub(crate) fn events(&self) -> Tail {
        self.kafka.follow(&self.topic("events"))
    }

    /// Waits until there are `count` dead letters, and returns all.
    pub(crate) fn dead_letters(&self, count: usize, timeout: Duration) -> Vec<Message> {
        let mut letters = self.kafka.follow(&self.topic("dead-letter"));
        let enough = |letters: &[Message]| letters.len() >= count;
        letters.wait(&format!("{count} dead letters"), timeout, enough).to_vec()
    }

    /// Waits until the changelog has no row of a uuid, because the deduplication windows have passed.
    pub(crate) fn wait_forgotten(&self, timeout: Duration) {
        wait_until("the changelog has no row of a uuid", timeout, || {
            changelog::uuids(&self.kafka.read(&self.topic("changelog"))).is_empty().then_some(())
        });
    }
}

impl Drop for Stage {
    /// Deletes the topics, because one broker serves hundreds of tests.
    fn drop(&mut self) {
        let names = TOPICS.map(|(_, kind)| self.topic(kind));
        self.renamed.clear();
        let former = TOPICS.map(|(_, kind)| self.topic(kind));
        let mut names: Vec<&str> = names.iter().chain(&former).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        self.kafka.delete_topics(&names);
    }
}

fn write_toml(path: &Path, table: &Table) {
    let text = toml::to_string(table).expect("the table can be written as TOML");
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
