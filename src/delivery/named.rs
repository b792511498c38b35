//! Server certificates that the operator lists in `ca_file`, and advice for certificates that can't be trusted.
//!
//! `openssl req -x509` makes a certificate that is an authority (CA:TRUE) and also the server's own. WebPKI refuses
//! such a certificate, no matter who signed it. If it is in `ca_file` byte for byte, the operator meant it: then only
//! its name and its dates are checked, as for any other certificate.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::fmt;
use std::sync::Arc;

/// Trusts what the platform's verifier trusts, and the listed certificates.
#[derive(Debug)]
pub(super) struct NamedVerifier {
    platform: Arc<Verifier>,
    named: Vec<CertificateDer<'static>>,
}

impl NamedVerifier {
    pub(super) fn new(platform: Arc<Verifier>, named: Vec<CertificateDer<'static>>) -> Self {
        Self { platform, named }
    }

    /// Decides about a certificate that the platform's verifier refuses.
    fn judged(
        &self,
        error: Error,
        shown: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<ServerCertVerified, Error> {
        if !is_authority(&error) {
            return Err(advised(error));
        }
        if !self.named.iter().any(|known| known.as_ref() == shown.as_ref()) {
            return Err(advice(
                "the server shows the certificate of an authority (CA:TRUE) as its own: put this certificate itself \
                 into ca_file, or give the server one with CA:FALSE"
                    .to_owned(),
            ));
        }
        // WebPKI checks the dates before it reports an authority; a test makes sure of this order.
        verify_server_name(&ParsedCertificate::try_from(shown)?, name).map_err(advised)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for NamedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.platform
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .or_else(|error| self.judged(error, end_entity, server_name))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.platform.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.platform.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.platform.supported_verify_schemes()
    }
}

/// Returns whether the certificate is refused because it is an authority. rustls passes WebPKI's error on without its
/// type.
fn is_authority(error: &Error) -> bool {
    if let Error::InvalidCertificate(CertificateError::Other(other)) = error {
        return format!("{other:?}").contains("CaUsedAsEndEntity");
    }
    false
}

/// Adds to the error what the operator can do, where that is known.
fn advised(error: Error) -> Error {
    if let Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        expected,
        presented,
    }) = &error
        && presented.is_empty()
    {
        let name = expected.to_str();
        return advice(format!(
            "certificate not valid for name {name:?}: it names no host in subjectAltName, and its common name does not count; make \
             one with `-addext subjectAltName=DNS:{name}` (`IP:` for an address)"
        ));
    }
    error
}

/// Makes an error with this text only.
fn advice(text: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Advice(text)))))
}

struct Advice(String);

impl std::error::Error for Advice {}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// rustls prints other errors with `Debug`.
impl fmt::Debug for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
