//! `security-kafka.md`: each configuration of the page logs in at a real broker, and each wrong one says what is wrong.

use super::page::{Page, Reader};
use crate::harness::PATIENCE;
use crate::harness::broker::{Broker, Door, Listener};
use crate::harness::child::{free_port, run_dir};
use crate::harness::samples::flow;
use crate::harness::stage::Stage;
use crate::harness::tokens::Tokens;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use toml::{Table, Value};

const PASSWORD: &str = "hush";

/// Certificates and keys in one directory, as PEM.
struct Files(PathBuf);

impl Files {
    fn write() -> Self {
        let directory = run_dir().join("guide-security-files");
        std::fs::create_dir_all(&directory).expect("a directory");
        let files = Self(directory);
        let [ours, other] = ["ours", "other"].map(|name| {
            let mut parameters = CertificateParams::default();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            CertifiedIssuer::self_signed(parameters, key).expect("an authority")
        });
        files.save("kafka-ca.pem", &ours.pem());
        files.save("other-ca.pem", &other.pem());
        for name in ["server", "ringback"] {
            let names = vec!["localhost".to_owned()];
            let mut parameters = CertificateParams::new(names).expect("parameters");
            parameters.distinguished_name = rcgen::DistinguishedName::new();
            parameters.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            let certificate = parameters.signed_by(&key, &ours).expect("a certificate").pem();
            files.save(&format!("{name}.pem"), &certificate);
            files.save(&format!("{name}.key"), &key.serialize_pem());
            // Kafka reads the key and its certificate from one file.
            files.save(&format!("{name}-both.pem"), &(key.serialize_pem() + &certificate));
        }
        std::fs::rename(files.path("ringback.pem"), files.path("kafka-client.pem"))
            .expect("a file");
        let encrypted = Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout"])
            .arg(format!("pass:{PASSWORD}"))
            .arg("-in")
            .arg(files.path("ringback.key"))
            .arg("-out")
            .arg(files.path("kafka-client.key"))
            .output();
        assert!(encrypted.expect("openssl runs").status.success());
        files.save("kafka-password", PASSWORD);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn save(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }
}

/// The listeners of the page, each with its port.
struct Ports {
    tls: u16,
    mtls: u16,
    sasl: u16,
}

/// Starts a broker with the page's three listeners and an authorizer.
fn broker(files: &Files, ports: &Ports) -> Broker {
    let login = "org.apache.kafka.common.security";
    // The broker's own door needs the same.
    let logins = ["door", "login"].map(|listener| {
        let of = format!("listener.name.{listener}");
        format!(
            "{of}.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_ringback=\"{PASSWORD}\";
{of}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
{of}.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"ringback\";
"
        )
    });
    let (keys, authority) = (files.path("server-both.pem"), files.path("kafka-ca.pem"));
    let settings = format!(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:CN=ringback;User:ringback
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
{}",
        keys.display(),
        authority.display(),
        logins.concat(),
    );
    let scram = format!("SCRAM-SHA-512=[name=ringback,password={PASSWORD}]");
    Broker::start_with(&Door {
        settings: &settings,
        format: &["--add-scram", &scram],
        listeners: &[
            Listener { name: "TLS", protocol: "SSL", port: ports.tls },
            Listener { name: "MTLS", protocol: "SSL", port: ports.mtls },
            Listener { name: "LOGIN", protocol: "SASL_SSL", port: ports.sasl },
        ],
    })
}

/// Lets the stage use a configuration of the page, with the short time-outs of tests.
fn configure(stage: &mut Stage, configuration: &Table) {
    let kafka = configuration["kafka"].as_table().expect("a section");
    let mut client = kafka["client"].as_table().expect("a section").clone();
    client.insert("session.timeout.ms".into(), Value::Integer(6000));
    client.insert("transaction.timeout.ms".into(), Value::Integer(5000));
    stage.set("kafka.bootstrap_servers", kafka["bootstrap_servers"].clone());
    stage.set("kafka.client", client);
}

/// A configuration of the page with a mistake, and the part of the message that the page quotes.
struct Mistake<'a> {
    configuration: &'a Table,
    /// Properties with their wrong values. `None` removes the property.
    wrong: &'a [(&'a str, Option<&'a str>)],
    says: &'a str,
}

/// Panics unless each mistake is reported as the page says. They run together, because each waits for the broker.
fn fail(broker: &Broker, reader: &Reader<'_>, mistakes: &[Mistake<'_>]) {
    std::thread::scope(|scope| {
        for (number, mistake) in mistakes.iter().enumerate() {
            scope.spawn(move || {
                let mut stage = stage(broker, &format!("guide-security-wrong-{number}"));
                let mut configuration = mistake.configuration.clone();
                let client = configuration["kafka"]["client"].as_table_mut().expect("a section");
                for (key, value) in mistake.wrong {
                    match value {
                        Some(value) => client.insert((*key).to_owned(), (*value).into()),
                        None => client.remove(*key),
                    };
                }
                configure(&mut stage, &configuration);
                let done = stage.command(&["check", "--online"]);
                assert_eq!(done.code, Some(75), "{done:?}");
                reader.sees(mistake.says, &done.err);
                assert!(!done.err.contains(PASSWORD), "{done:?}");
            });
        }
    });
}

/// Creates a stage with the variables of the page.
fn stage(broker: &Broker, name: &str) -> Stage {
    let mut stage = Stage::without_topics(broker.kafka(), name);
    for name in ["KAFKA_PASSWORD", "KAFKA_KEY_PASSWORD", "KAFKA_CLIENT_SECRET"] {
        stage.set_variable(name, PASSWORD);
    }
    stage
}

/// Each configuration delivers a webhook, and none shows a secret.
pub(super) fn logins(page: &Page) {
    let files = Files::write();
    let ports = Ports { tls: free_port(), mtls: free_port(), sasl: free_port() };
    let broker = broker(&files, &ports);
    let tokens = Tokens::start("ringback", Duration::from_secs(3600));
    let mut stage = stage(&broker, "guide-security");
    let inputs = ["flow-complete", "sms-delivery-report"].map(|kind| stage.topic(kind));
    stage.kafka.create_topics(&inputs.each_ref().map(|name| (name.as_str(), 1, &[][..])));
    let mut reader = page
        .follow()
        .call("/etc/ringback", files.0.display().to_string())
        .call("kafka.example.com:9093", format!("localhost:{}", ports.tls))
        .call("kafka.example.com:9094", format!("localhost:{}", ports.mtls))
        .call("kafka.example.com:9095", format!("localhost:{}", ports.sasl))
        .call("https://login.example.com/oauth2/token", tokens.url());
    reader.succeeds(&stage, "ringback check");
    let mut all = Vec::new();
    for number in 0..5 {
        let configuration: Table = reader.program("toml").parse().expect("TOML");
        configure(&mut stage, &configuration);
        let mut daemon = stage.start();
        stage.send_flows(&[flow(&format!("guide-security-{number}"), &[])]);
        stage.receiver.wait_for(number + 1, PATIENCE);
        daemon.stop();
        assert!(!daemon.logged().contains(PASSWORD), "{}", daemon.logged());
        all.push(configuration);
    }
    assert!(tokens.given() > 0);
    reader.succeeds(&stage, "ringback check --online");
    mistakes_are_named(&broker, &reader, &files, &all);
}

/// Each mistake of the page's last table.
fn mistakes_are_named(broker: &Broker, reader: &Reader<'_>, files: &Files, all: &[Table]) {
    let [tls, mtls, plain, scram, token] = all else { panic!("five configurations") };
    let other = files.path("other-ca.pem").display().to_string();
    let without = ["ssl.certificate.location", "ssl.key.location", "ssl.key.password"];
    let nowhere = format!("http://127.0.0.1:{}/", free_port());
    let mut plaintext = tls.clone();
    plaintext["kafka"]["bootstrap_servers"] = broker.kafka().bootstrap().into();
    let wrong_password = &[("sasl.password", Some("wrong"))];
    let mistakes = [
        (tls, &[("ssl.ca.location", Some(other.as_str()))][..], "certificate verify failed"),
        (mtls, &without.map(|key| (key, None)), "bad certificate"),
        (plain, wrong_password, "Authentication failed"),
        (scram, wrong_password, "Authentication failed"),
        (scram, &[("sasl.mechanism", Some("SCRAM-SHA-256"))], "Unsupported SASL mechanism"),
        (
            token,
            &[("sasl.oauthbearer.token.endpoint.url", Some(nowhere.as_str()))],
            "Failed to retrieve OIDC token",
        ),
        (&plaintext, &[], "connecting to a PLAINTEXT broker listener?"),
    ];
    let mistakes =
        mistakes.map(|(configuration, wrong, says)| Mistake { configuration, wrong, says });
    fail(broker, reader, &mistakes);
}
