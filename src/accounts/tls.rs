//! A webhook's certificates. They are read and checked when the configuration is loaded, not at the first delivery.

use super::entry::WebhookEntry;
use crate::delivery::{CertificateFile, Secret, Tls};
use crate::document::{Context, Place};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads the certificates that `entry` names.
pub(super) fn read(entry: &WebhookEntry, place: &Place<'_>, context: &mut Context<'_>) -> Tls {
    let files = [&entry.ca_file, &entry.client_certificate_file, &entry.client_key_file];
    let [ca, certificate, key] = files.map(|file| file.as_deref());
    of_files(ca, certificate, key, place, context)
}

/// Reads the certificates in the files that `ca_file`, `client_certificate_file` and `client_key_file` of the table at
/// `place` name.
pub(crate) fn of_files(
    ca: Option<&str>,
    certificate: Option<&str>,
    key: Option<&str>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Tls {
    let ca_pem = ca.and_then(|path| {
        let place = place.key("ca_file");
        let pem = context.bytes(&place, path)?;
        authorities(&pem, &place, context).then_some(pem)
    });
    let client_pem = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => client(certificate, key, place, context),
        (Some(_), None) => {
            let place = place.key("client_certificate_file");
            context.fault(&place, "has no key", "set `client_key_file` too, or remove it");
            None
        }
        (None, Some(_)) => {
            let place = place.key("client_key_file");
            context.fault(
                &place,
                "has no certificate",
                "set `client_certificate_file` too, or remove it",
            );
            None
        }
    };
    let authorities = ca.zip(ca_pem.as_deref());
    let chain = certificate.zip(client_pem.as_ref().map(|(chain, _)| chain.as_slice()));
    let authorities =
        authorities.and_then(|(path, pem)| CertificateFile::of_authorities(path, pem));
    let chain = chain.and_then(|(path, pem)| CertificateFile::of_chain(path, pem));
    let certificates = authorities.into_iter().chain(chain).collect();
    Tls { ca_pem, client_pem, certificates }
}

fn authorities(pem: &[u8], place: &Place<'_>, context: &mut Context<'_>) -> bool {
    let Some(certificates) = certificates(pem, place, context) else { return false };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        if let Err(error) = roots.add(certificate) {
            let problem = format!("holds a certificate that cannot be trusted: {error}");
            context.fault(place, problem, "name a file of X.509 certificates as PEM");
            return false;
        }
    }
    true
}

fn client(
    certificate: &str,
    key: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<(Vec<u8>, Secret)> {
    let certificate_place = place.key("client_certificate_file");
    let key_place = place.key("client_key_file");
    let chain_pem = context.bytes(&certificate_place, certificate);
    let key_pem = context.secret_bytes(&key_place, key);
    let chain = chain_pem.as_ref().and_then(|pem| certificates(pem, &certificate_place, context));
    let key_pem = key_pem.and_then(|pem| {
        String::from_utf8(pem).ok().or_else(|| {
            context.fault(&key_place, "is not PEM", "name a file with one unencrypted private key");
            None
        })
    })?;
    let Ok(key) = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()) else {
        context.fault(
            &key_place,
            "holds no private key as PEM",
            "name a file with one unencrypted private key",
        );
        return None;
    };
    let provider = rustls::crypto::ring::default_provider();
    match rustls::sign::CertifiedKey::from_der(chain?, key, &provider) {
        Ok(_) => Some((chain_pem?, Secret::new(key_pem))),
        Err(error) => {
            let problem = format!("does not fit the certificate: {error}");
            context.fault(&key_place, problem, "name the private key of this certificate");
            None
        }
    }
}

fn certificates(
    pem: &[u8],
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Option<Vec<_>> =
        CertificateDer::pem_slice_iter(pem).map(Result::ok).collect();
    let certificates = certificates.filter(|certificates| !certificates.is_empty());
    if certificates.is_none() {
        let fix = "name a file that starts with -----BEGIN CERTIFICATE-----";
        context.fault(place, "holds no certificate as PEM", fix);
    }
    certificates
}
