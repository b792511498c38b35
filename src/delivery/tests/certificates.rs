//! Tests of the certificates that an endpoint shows and of those that it demands.

use super::server::{Server, tls, tls_ok};
use super::{attempt, endpoint, run, webhook};
use crate::delivery::{Secret, Tls, Webhook};
use crate::domain::{ErrorReason, Outcome, Verdict};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// A private certificate authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the certificate as `ca_file` contains it.
    pub(super) fn pem(&self) -> Option<Vec<u8>> {
        Some(self.0.pem().into_bytes())
    }

    /// Creates a certificate for a host or a client with this name.
    pub(super) fn identity(&self, name: &str) -> Identity {
        self.sign(CertificateParams::new([name.to_owned()]).unwrap())
    }

    fn expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.der().clone(), key, clients_of: None, alpn: Vec::new() }
    }
}

/// A certificate and its key.
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    clients_of: Option<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
}

impl Identity {
    /// Makes the server demand a client certificate of `authority`.
    fn asking_for(self, authority: &Authority) -> Self {
        Self { clients_of: Some(authority.0.der().clone()), ..self }
    }

    /// Makes the server offer these protocols.
    pub(super) fn speaking(self, alpn: &[&str]) -> Self {
        Self { alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(), ..self }
    }

    /// Returns certificate and key as `client_certificate_file` and `client_key_file` contain them.
    fn client_pem(&self) -> Option<(Vec<u8>, Secret)> {
        let certificate = pem("CERTIFICATE", &self.certificate);
        Some((certificate.into_bytes(), Secret::new(self.key.serialize_pem())))
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match &self.clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let mut config =
            builder.with_single_cert(vec![self.certificate.clone()], key.into()).unwrap();
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Makes one attempt over TLS with `certificates` at an endpoint that shows `identity`.
fn outcome(identity: &Identity, certificates: Tls) -> (Server, Outcome) {
    let mut result = None;
    run(async {
        let server = tls(identity, tls_ok).await;
        let url = format!("https://{}/", server.address);
        let endpoint = endpoint(Webhook { tls: certificates, ..webhook(&url) });
        result = Some((attempt(&endpoint).await, server));
    });
    let (outcome, server) = result.unwrap();
    (server, outcome)
}

#[track_caller]
fn is_delivered(identity: &Identity, tls: Tls) {
    let (_, outcome) = outcome(identity, tls);
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Delivered, Some(200)), "{outcome:?}");
    assert_eq!(outcome.response, "ok");
}

/// Checks that the attempt fails and is retried later, because certificates get renewed.
#[track_caller]
fn is_unreachable(identity: &Identity, tls: Tls, says: &str) {
    let (server, outcome) = outcome(identity, tls);
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Retry, None), "{outcome:?}");
    assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
    assert!(outcome.error.as_ref().is_some_and(|error| error.contains(says)), "{outcome:?}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_private_authority_is_trusted_only_where_it_is_configured() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    is_delivered(&identity, Tls { ca_pem: authority.pem(), client_pem: None, ..Tls::default() });
    is_unreachable(&identity, Tls::default(), "UnknownIssuer");
    let other = Authority::new().pem();
    is_unreachable(
        &identity,
        Tls { ca_pem: other, client_pem: None, ..Tls::default() },
        "certificate",
    );
}

#[test]
fn a_certificate_of_another_name_or_that_has_expired_is_refused() {
    let authority = Authority::new();
    let trusting = || Tls { ca_pem: authority.pem(), client_pem: None, ..Tls::default() };
    is_unreachable(&authority.identity("other.example"), trusting(), "not valid for name");
    is_unreachable(&authority.expired("127.0.0.1"), trusting(), "certificate expired");
}

/// Creates a certificate like `openssl req -x509`: its own authority and the server's certificate in one.
fn self_signed(names: &[&str], is_over: bool) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    if is_over {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Identity { certificate, key, clients_of: None, alpn: Vec::new() }
}

#[test]
fn a_self_signed_authority_is_trusted_as_a_server_certificate_where_it_is_configured() {
    let naming = |identity: &Identity| Tls {
        ca_pem: Some(pem("CERTIFICATE", &identity.certificate).into_bytes()),
        client_pem: None,
        ..Tls::default()
    };
    let own = self_signed(&["127.0.0.1"], false);
    is_delivered(&own, naming(&own));
    let other = self_signed(&["127.0.0.1"], false);
    is_unreachable(&own, naming(&other), "put this certificate itself into ca_file");
    is_unreachable(&own, Tls::default(), "put this certificate itself into ca_file");
    let over = self_signed(&["127.0.0.1"], true);
    is_unreachable(&over, naming(&over), "certificate expired");
    let elsewhere = self_signed(&["other.example"], false);
    is_unreachable(&elsewhere, naming(&elsewhere), "not valid for name");
    let nameless = self_signed(&[], false);
    is_unreachable(&nameless, naming(&nameless), "-addext subjectAltName=DNS:127.0.0.1");
}

#[test]
fn a_client_certificate_is_sent_where_one_is_demanded() {
    let (authority, customers) = (Authority::new(), Authority::new());
    let identity = authority.identity("127.0.0.1").asking_for(&customers);
    let showing = |client: Option<Identity>| Tls {
        ca_pem: authority.pem(),
        client_pem: client.and_then(|client| client.client_pem()),
        ..Tls::default()
    };
    is_delivered(&identity, showing(Some(customers.identity("ringback"))));
    is_unreachable(&identity, showing(None), "CertificateRequired");
    is_unreachable(
        &identity,
        showing(Some(authority.identity("ringback"))),
        "received fatal alert",
    );
}
