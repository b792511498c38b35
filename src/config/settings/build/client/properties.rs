//! Every property of librdkafka, and who sets it: users, users within bounds, or only the daemon.
//!
//! A property that is missing in these lists is refused. So no property of a newer librdkafka can be set before it has
//! a rule.

use Rule::{Free, Hidden, Owned, Within};

/// The rule for setting a property.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Users may set it to any value that librdkafka accepts.
    Free,
    /// Like `Free`, but the value is not shown: it is a secret, or may contain one.
    Hidden,
    /// Users may set it to a whole number between these two. The text describes the problem with other values.
    Within(i64, i64, &'static str),
    /// Only the daemon sets it: the reason, and the alternative.
    Owned(&'static str, &'static str),
}

/// The largest value of librdkafka's numbers.
const MOST: i64 = i32::MAX as i64;

/// Other names of a property.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("bootstrap.servers", "metadata.broker.list"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("retries", "message.send.max.retries"),
    ("compression.type", "compression.codec"),
    ("acks", "request.required.acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

const REMOVE: &str = "remove it";
const OFFSETS: &str =
    "offsets are committed with the state, and committing them separately would lose records";
const CALLBACK: &str = "a file can't set it, only a program can";
const VERSIONS: &str =
    "transactions need brokers that say which versions of Kafka's protocol they know";
const KERBEROS: &str = "this build has no Kerberos";
const FILE_OFFSETS: &str =
    "offsets are stored in Kafka, so that any instance can continue from them";

/// Every property with its rule, without aliases.
#[rustfmt::skip]
pub(super) const RULES: &[(&str, Rule)] = &[
    // Properties that the daemon's guarantees need.
    ("metadata.broker.list", Owned("kafka.bootstrap_servers says where the brokers are", "set kafka.bootstrap_servers")),
    ("group.id", Owned("the group is part of the state's identity", "set kafka.group_id")),
    ("group.instance.id", Owned("it is the instance's name in the group", "set kafka.instance_id")),
    ("transactional.id", Owned("it is composed of the group's and the instance's name", "set kafka.group_id and kafka.instance_id")),
    ("group.protocol", Owned("only the classic protocol lets a transaction prove its membership of the group", REMOVE)),
    ("group.protocol.type", Owned("members of another type can't join the group", REMOVE)),
    ("group.remote.assignor", Owned("partitions of one number must go to one instance, with their state", REMOVE)),
    ("partition.assignment.strategy", Owned("partitions of one number must go to one instance, with their state", REMOVE)),
    ("auto.offset.reset", Owned("any value except `earliest` skips the records of a new partition or stops reading", REMOVE)),
    ("enable.auto.commit", Owned(OFFSETS, REMOVE)),
    ("auto.commit.enable", Owned(OFFSETS, REMOVE)),
    ("auto.commit.interval.ms", Owned(OFFSETS, "remove it; kafka.commit_interval_ms sets how long a transaction collects records")),
    ("enable.auto.offset.store", Owned(OFFSETS, REMOVE)),
    ("offset.store.method", Owned(FILE_OFFSETS, REMOVE)),
    ("offset.store.path", Owned(FILE_OFFSETS, REMOVE)),
    ("offset.store.sync.interval.ms", Owned(FILE_OFFSETS, REMOVE)),
    ("isolation.level", Owned("records of aborted transactions must not be read", REMOVE)),
    ("enable.partition.eof", Owned("a restore learns from it that a partition was read to its end", REMOVE)),
    ("statistics.interval.ms", Owned("lag, readiness and the ends of partitions need statistics every second", REMOVE)),
    ("enable.idempotence", Owned("transactions need it to be true", REMOVE)),
    ("enable.gapless.guarantee", Owned("transactions leave no gaps anyway, and with it any failed record stops the producer", REMOVE)),
    ("request.required.acks", Owned("a record that only one broker has stored may be lost", REMOVE)),
    ("queuing.strategy", Owned("records must be sent in order", REMOVE)),
    ("queue.buffering.backpressure.threshold", Owned("transactions need it to be 1", REMOVE)),
    ("partitioner", Owned("records of one uuid must go to the partition that owns it", REMOVE)),
    ("partitioner_cb", Owned("records of one uuid must go to the partition that owns it", REMOVE)),
    ("msg_order_cmp", Owned("records must be sent in order", REMOVE)),
    ("delivery.report.only.error", Owned("the daemon gets the offsets of its records from delivery reports", REMOVE)),
    ("allow.auto.create.topics", Owned("a topic that Kafka creates by itself has the wrong settings", "create missing topics with `ringback topics --create`")),
    ("topic.blacklist", Owned("a topic that is hidden is never read", "remove it; [topics] says which topics are read")),
    // Properties that a file can't set.
    ("plugin.library.paths", Owned("a plug-in can change any record", REMOVE)),
    ("interceptors", Owned("a plug-in can change any record", REMOVE)),
    ("internal.termination.signal", Owned("the signal would end threads that are not librdkafka's", REMOVE)),
    ("enabled_events", Owned(CALLBACK, REMOVE)),
    ("error_cb", Owned(CALLBACK, REMOVE)),
    ("throttle_cb", Owned(CALLBACK, REMOVE)),
    ("stats_cb", Owned(CALLBACK, REMOVE)),
    ("log_cb", Owned(CALLBACK, REMOVE)),
    ("log.queue", Owned("the daemon reads librdkafka's log lines from this queue", REMOVE)),
    ("background_event_cb", Owned(CALLBACK, REMOVE)),
    ("socket_cb", Owned(CALLBACK, REMOVE)),
    ("connect_cb", Owned(CALLBACK, REMOVE)),
    ("closesocket_cb", Owned(CALLBACK, REMOVE)),
    ("open_cb", Owned(CALLBACK, REMOVE)),
    ("resolve_cb", Owned(CALLBACK, REMOVE)),
    ("opaque", Owned(CALLBACK, REMOVE)),
    ("default_topic_conf", Owned(CALLBACK, "set the topic's properties themselves")),
    ("oauthbearer_token_refresh_cb", Owned(CALLBACK, "set sasl.oauthbearer.method to \"oidc\"")),
    ("ssl.certificate.verify_cb", Owned(CALLBACK, REMOVE)),
    ("ssl_engine_callback_data", Owned(CALLBACK, REMOVE)),
    ("ssl_key", Owned(CALLBACK, "set ssl.key.location or ssl.key.pem")),
    ("ssl_certificate", Owned(CALLBACK, "set ssl.certificate.location or ssl.certificate.pem")),
    ("ssl_ca", Owned(CALLBACK, "set ssl.ca.location or ssl.ca.pem")),
    ("consume_cb", Owned(CALLBACK, REMOVE)),
    ("consume.callback.max.messages", Owned("the daemon consumes without a callback", REMOVE)),
    ("rebalance_cb", Owned(CALLBACK, REMOVE)),
    ("offset_commit_cb", Owned(CALLBACK, REMOVE)),
    ("dr_cb", Owned(CALLBACK, REMOVE)),
    ("dr_msg_cb", Owned(CALLBACK, REMOVE)),
    // Properties that this build does not have, or that Kafka no longer supports.
    ("api.version.request", Owned(VERSIONS, REMOVE)),
    ("api.version.fallback.ms", Owned(VERSIONS, REMOVE)),
    ("broker.version.fallback", Owned(VERSIONS, REMOVE)),
    ("enable.sasl.oauthbearer.unsecure.jwt", Owned("anyone can make a token without a signature", "set sasl.oauthbearer.method to \"oidc\"")),
    ("sasl.kerberos.service.name", Owned(KERBEROS, REMOVE)),
    ("sasl.kerberos.principal", Owned(KERBEROS, REMOVE)),
    ("sasl.kerberos.kinit.cmd", Owned(KERBEROS, REMOVE)),
    ("sasl.kerberos.keytab", Owned(KERBEROS, REMOVE)),
    ("sasl.kerberos.min.time.before.relogin", Owned(KERBEROS, REMOVE)),
    // Sizes and times, with the bounds that the largest record and a restore need.
    ("receive.message.max.bytes", Within(MESSAGE_BYTES + 512, MOST, "a dead letter of 16 MiB could not be read")),
    ("fetch.wait.max.ms", Within(0, 10_000, "a restore would not see the end of a partition in time")),
    ("queue.buffering.max.kbytes", Within(MESSAGE_BYTES / 1024, MOST, "a dead letter of 16 MiB would wait for ever")),
    ("queue.buffering.max.messages", Within(1000, MOST, "a transaction's records would not fit")),
    ("topic.metadata.refresh.interval.ms", Within(1, 3_600_000, "new partitions would never be found, and their records not read")),
    ("max.in.flight.requests.per.connection", Within(1, 5, "transactions allow no more than 5")),
    ("message.send.max.retries", Within(1, MOST, "a single lost answer would fail the transaction")),
    ("socket.timeout.ms", Within(1000, 300_000, "Kafka could not answer in time")),
    ("request.timeout.ms", Within(1000, 900_000, "Kafka could not store a record in time")),
    ("session.timeout.ms", Within(1, 3_600_000, "librdkafka allows no other values")),
    ("heartbeat.interval.ms", Within(1, 3_600_000, "librdkafka allows no other values")),
    ("max.poll.interval.ms", Within(1, 86_400_000, "librdkafka allows no other values")),
    ("transaction.timeout.ms", Within(1000, 900_000, "Kafka allows at most 15 minutes, and a transaction that hangs delays every restore for this time")),
    ("message.timeout.ms", Within(1000, 900_000, "a record needs time to be written, but must not outlast its transaction")),
    // Properties that only change speed, connections and security.
    ("builtin.features", Free),
    ("client.id", Free),
    ("client.rack", Free),
    ("client.dns.lookup", Free),
    // Consumers use this value. A producer's is never lower than a dead letter needs.
    ("message.max.bytes", Free),
    ("message.copy.max.bytes", Free),
    ("metadata.recovery.strategy", Free),
    ("metadata.recovery.rebootstrap.trigger.ms", Free),
    ("metadata.max.age.ms", Free),
    ("topic.metadata.refresh.fast.interval.ms", Free),
    ("topic.metadata.refresh.fast.cnt", Free),
    ("topic.metadata.refresh.sparse", Free),
    ("topic.metadata.propagation.max.ms", Free),
    ("debug", Free),
    ("log_level", Free),
    ("log.thread.name", Free),
    ("log.connection.close", Free),
    ("enable.random.seed", Free),
    ("enable.metrics.push", Free),
    ("socket.blocking.max.ms", Free),
    ("socket.send.buffer.bytes", Free),
    ("socket.receive.buffer.bytes", Free),
    ("socket.keepalive.enable", Free),
    ("socket.nagle.disable", Free),
    ("socket.max.fails", Free),
    ("socket.connection.setup.timeout.ms", Free),
    ("broker.address.ttl", Free),
    ("broker.address.family", Free),
    ("connections.max.idle.ms", Free),
    ("reconnect.backoff.jitter.ms", Free),
    ("reconnect.backoff.ms", Free),
    ("reconnect.backoff.max.ms", Free),
    ("retry.backoff.ms", Free),
    ("retry.backoff.max.ms", Free),
    ("api.version.request.timeout.ms", Free),
    ("security.protocol", Free),
    ("ssl.cipher.suites", Free),
    ("ssl.curves.list", Free),
    ("ssl.sigalgs.list", Free),
    ("ssl.key.location", Free),
    ("ssl.key.password", Hidden),
    ("ssl.key.pem", Hidden),
    ("ssl.certificate.location", Free),
    ("ssl.certificate.pem", Free),
    ("ssl.ca.location", Free),
    ("ssl.ca.pem", Free),
    ("ssl.ca.certificate.stores", Free),
    ("ssl.crl.location", Free),
    ("ssl.keystore.location", Free),
    ("ssl.keystore.password", Hidden),
    ("ssl.providers", Free),
    ("ssl.engine.location", Free),
    ("ssl.engine.id", Free),
    ("enable.ssl.certificate.verification", Free),
    ("ssl.endpoint.identification.algorithm", Free),
    ("https.ca.location", Free),
    ("https.ca.pem", Free),
    ("sasl.mechanisms", Free),
    ("sasl.username", Free),
    ("sasl.password", Hidden),
    ("sasl.oauthbearer.config", Hidden),
    ("sasl.oauthbearer.method", Free),
    ("sasl.oauthbearer.client.id", Free),
    ("sasl.oauthbearer.client.secret", Hidden),
    ("sasl.oauthbearer.scope", Free),
    ("sasl.oauthbearer.extensions", Hidden),
    ("sasl.oauthbearer.token.endpoint.url", Free),
    ("sasl.oauthbearer.grant.type", Free),
    ("sasl.oauthbearer.assertion.algorithm", Free),
    ("sasl.oauthbearer.assertion.private.key.file", Free),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Hidden),
    ("sasl.oauthbearer.assertion.private.key.pem", Hidden),
    ("sasl.oauthbearer.assertion.file", Free),
    ("sasl.oauthbearer.assertion.claim.aud", Free),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Free),
    ("sasl.oauthbearer.assertion.claim.iss", Free),
    ("sasl.oauthbearer.assertion.claim.jti.include", Free),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Free),
    ("sasl.oauthbearer.assertion.claim.sub", Free),
    ("sasl.oauthbearer.assertion.jwt.template.file", Free),
    ("sasl.oauthbearer.metadata.authentication.type", Free),
    ("coordinator.query.interval.ms", Free),
    ("queued.min.messages", Free),
    ("queued.max.messages.kbytes", Free),
    ("fetch.queue.backoff.ms", Free),
    ("fetch.message.max.bytes", Free),
    ("fetch.max.bytes", Free),
    ("fetch.min.bytes", Free),
    ("fetch.error.backoff.ms", Free),
    ("check.crcs", Free),
    ("queue.buffering.max.ms", Free),
    ("compression.codec", Free),
    ("compression.level", Free),
    ("batch.num.messages", Free),
    ("batch.size", Free),
    ("sticky.partitioning.linger.ms", Free),
    ("produce.offset.report", Free),
];

/// The size of the largest record, in bytes. Every limit must allow it.
const MESSAGE_BYTES: i64 = crate::log::MESSAGE_BYTES_MAX as i64;

/// Returns the property's own name if `name` is an alias, else `name`.
pub(super) fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| own)
}

/// Returns the rule of `name`, which may be an alias.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let own = canonical(name);
    RULES.iter().find(|(known, _)| *known == own).map(|(_, rule)| *rule)
}

/// Returns every name, including aliases.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name).chain(ALIASES.iter().map(|(alias, _)| *alias))
}

/// Returns whether the value of `name` may be shown, which is true only if a rule says so.
pub(super) fn is_shown(name: &str) -> bool {
    matches!(rule(name), Some(Free | Within(..)))
}

#[cfg(test)]
mod tests {
    use super::{ALIASES, RULES, canonical, is_shown, names};
    use std::collections::BTreeSet;

    #[test]
    fn every_property_of_librdkafka_has_a_rule() {
        let known: BTreeSet<String> = crate::log::known_properties().into_iter().collect();
        let listed: BTreeSet<String> = names().map(str::to_owned).collect();
        assert!(known.len() > 150, "{known:?}");
        assert_eq!(known.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "no rule");
        assert_eq!(listed.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "unknown");
        assert_eq!(names().count(), RULES.len() + ALIASES.len());
        assert_eq!(listed.len(), names().count(), "no name stands twice");
    }

    #[test]
    fn every_alias_means_a_property() {
        for (alias, own) in ALIASES {
            assert_eq!(canonical(alias), *own);
            assert!(RULES.iter().any(|(name, _)| name == own), "{own}");
        }
        assert!(is_shown("client.id") && !is_shown("ssl.key.pem") && !is_shown("no.such.property"));
    }

    /// A name alone proves nothing, but a property with such a name is treated as a secret.
    #[test]
    fn a_property_that_is_named_like_a_secret_is_not_shown() {
        for name in names() {
            let sounds =
                ["password", "passphrase", "secret", "private", ".key.pem", "_key", "config"];
            let is = sounds.iter().any(|part| name.contains(part)) && !name.ends_with(".file");
            assert!(!is || !is_shown(name), "{name}");
        }
    }
}
