//! TLS between the daemon and its database: an own authority, a wrong one, and a client's certificate.

use super::{deliver, stage_on};
use crate::harness::child::run_dir;
use crate::harness::mariadb::MariaDb;
use crate::harness::stage::Stage;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "authority of the tests");
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(parameters, key).expect("an authority")
}

/// Writes a certificate of `authority` and its key, and returns their paths.
fn certificate(authority: &Authority, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut parameters = CertificateParams::new(names).expect("parameters");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.signed_by(&key, authority).expect("a certificate");
    let paths = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    std::fs::write(&paths.0, certificate.pem()).expect("a file");
    std::fs::write(&paths.1, key.serialize_pem()).expect("a file");
    paths
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a command that needs the database, and returns what it prints as an error.
fn refused(stage: &Stage) -> String {
    let done = stage.command(&["account", "list"]);
    assert_eq!(done.code, Some(75), "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "one message: {}", done.err);
    done.err
}

#[test]
fn tls_works_with_an_own_authority_and_a_clients_certificate_and_says_why_it_does_not() {
    let dir = run_dir().join("databases-tls-files");
    std::fs::create_dir_all(&dir).expect("a directory");
    let (ours, other) = (authority(), authority());
    let [ca, wrong] = [("ca.pem", &ours), ("wrong.pem", &other)].map(|(name, authority)| {
        std::fs::write(dir.join(name), authority.pem()).expect("a file");
        dir.join(name)
    });
    let (server_pem, server_key) = certificate(&ours, &dir, "server");
    let (client_pem, client_key) = certificate(&ours, &dir, "client");
    let server = MariaDb::start(&[
        format!("--ssl-ca={}", path(&ca)),
        format!("--ssl-cert={}", path(&server_pem)),
        format!("--ssl-key={}", path(&server_key)),
        "--require-secure-transport=ON".to_owned(),
    ]);
    let (mut stage, schema) = stage_on(&server, "databases-tls");
    let said = refused(&stage);
    assert!(said.contains("whether the user needs TLS"), "without TLS: {said}");

    stage.set("accounts.mysql.tls", "required");
    let said = refused(&stage);
    assert!(
        said.contains("TLS: ") && said.contains("UnknownIssuer"),
        "without the authority: {said}"
    );
    stage.set("accounts.mysql.ca_file", path(&wrong));
    let said = refused(&stage);
    assert!(
        said.contains("accounts.mysql.ca_file") && !said.contains("hush"),
        "with a wrong authority: {said}"
    );

    stage.set("accounts.mysql.ca_file", path(&ca));
    assert_eq!(stage.command(&["account", "list"]).code, Some(0));
    schema.execute(&format!("ALTER USER {}@'%' REQUIRE X509", schema.name()));
    let said = refused(&stage);
    assert!(said.contains("needs a client certificate"), "without a certificate: {said}");
    stage.set("accounts.mysql.client_certificate_file", path(&client_pem));
    stage.set("accounts.mysql.client_key_file", path(&client_key));
    let _daemon = stage.start();
    assert_eq!(deliver(&stage, 1).path, "/crm");
}

#[test]
fn a_server_without_tls_is_refused_unless_tls_is_off() {
    let server = MariaDb::start(&["--skip-ssl".to_owned()]);
    let (mut stage, _) = stage_on(&server, "databases-no-tls");
    assert_eq!(stage.command(&["account", "list"]).code, Some(0));
    stage.set("accounts.mysql.tls", "required");
    let said = refused(&stage);
    assert!(said.contains("does not offer TLS") && said.contains("tls = \"off\""), "{said}");
}
