//! A broker at which clients log in by password or token (the door), and whose authorizer refuses users without rights.

use super::broker::{Broker, Door, java};
use super::child::run_dir;
use super::stage::Stage;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use toml::{Table, Value};

/// The password of all users.
const PASSWORD: &str = "hush";
/// The number of users that have a password but no rights.
const USERS: usize = 200;

/// A program that grants or revokes rights, one per line of its input: user, kind, name, type of the name's pattern,
/// operation.
const GRANTS: &str = r#"
import java.io.*;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.resource.*;

public class Grants {
    public static void main(String[] arguments) throws Exception {
        List<AclBinding> all = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] parts = line.split("\t");
            all.add(new AclBinding(
                new ResourcePattern(ResourceType.valueOf(parts[1]), parts[2], PatternType.valueOf(parts[3])),
                new AccessControlEntry("User:" + parts[0], "*", AclOperation.valueOf(parts[4]), AclPermissionType.ALLOW)));
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            if (arguments[1].equals("grant")) {
                admin.createAcls(all).all().get();
            } else {
                admin.deleteAcls(all.stream().map(AclBinding::toFilter).collect(Collectors.toList())).all().get();
            }
        }
    }
}
"#;

/// A right to grant or revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) operation: String,
    /// The kind of resource in Kafka's spelling, such as `TOPIC`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Whether the right covers all names that begin with `name`.
    pub(crate) is_prefix: bool,
}

/// Returns the broker of all tests about logins. The users `token`, `plain` and `scram` have all rights.
pub(crate) fn secured() -> &'static Broker {
    static SECURED: OnceLock<Broker> = OnceLock::new();
    SECURED.get_or_init(|| {
        let login = "org.apache.kafka.common.security";
        let users: Vec<String> = (0..USERS).map(|n| format!("user_u{n}=\"{PASSWORD}\"")).collect();
        let settings = format!(
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:token;User:plain;User:scram
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
connections.max.reauth.ms=60000
listener.name.door.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_plain=\"{PASSWORD}\" {};
listener.name.door.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.door.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"token\";",
            users.join(" ")
        );
        let scram = format!("SCRAM-SHA-256=[name=scram,password={PASSWORD}]");
        let format = &["--add-scram", &scram][..];
        Broker::start_with(&Door { settings: &settings, format, listeners: &[] })
    })
}

/// Returns the name of a user that has no rights yet.
pub(crate) fn nobody() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < USERS, "there are {USERS} users");
    format!("u{number}")
}

/// Grants each right to its user.
pub(crate) fn grant<'a>(grants: impl IntoIterator<Item = (&'a str, &'a Grant)>) {
    change("grant", grants);
}

/// Revokes each right from its user.
pub(crate) fn revoke<'a>(grants: impl IntoIterator<Item = (&'a str, &'a Grant)>) {
    change("revoke", grants);
}

fn change<'a>(how: &str, grants: impl IntoIterator<Item = (&'a str, &'a Grant)>) {
    // The file is written once, because another test may be reading it.
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let program = run_dir().join("Grants.java");
        std::fs::write(&program, GRANTS).expect("a file");
        program
    });
    let mut command = java("-Xmx256m");
    command.arg(program).arg(secured().kafka().bootstrap()).arg(how).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("java runs");
    let mut input = child.stdin.take().expect("a pipe");
    for (user, Grant { operation, kind, name, is_prefix }) in grants {
        let meant = if *is_prefix { "PREFIXED" } else { "LITERAL" };
        let operation = match operation.as_str() {
            "DescribeConfigs" => "DESCRIBE_CONFIGS".to_owned(),
            "AlterConfigs" => "ALTER_CONFIGS".to_owned(),
            other => other.to_uppercase(),
        };
        writeln!(input, "{user}\t{kind}\t{name}\t{meant}\t{operation}").expect("java reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("java ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Stage {
    /// Lets the stage's daemons and commands log in at the door as `user`.
    pub(crate) fn log_in(&mut self, mechanism: &str, user: &str) {
        let properties =
            [("sasl.mechanism", mechanism), ("sasl.username", user), ("sasl.password", PASSWORD)];
        self.log_in_by(&properties);
    }

    /// Like `log_in`, with these properties of the client.
    pub(crate) fn log_in_by(&mut self, properties: &[(&str, &str)]) {
        let mut client = Table::new();
        client.insert("session.timeout.ms".into(), Value::Integer(6000));
        client.insert("transaction.timeout.ms".into(), Value::Integer(5000));
        client.insert("security.protocol".into(), "SASL_PLAINTEXT".into());
        for (name, value) in properties {
            client.insert((*name).to_owned(), (*value).into());
        }
        self.set("kafka.client", client);
        self.set("kafka.bootstrap_servers", secured().door());
    }
}
