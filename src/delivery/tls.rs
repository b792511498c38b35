//! TLS settings of endpoints. The system's root certificates are read once and shared by all endpoints.

use super::named::NamedVerifier;
use super::webhook::{Tls, Webhook};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder};
use rustls_platform_verifier::Verifier;
use std::sync::Arc;

/// Why a webhook's certificates can't be used. The message names the configuration key and never quotes a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `ca_file` or `client_certificate_file` is wrong.
    #[error("a certificate can't be read")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// `client_key_file` can't be parsed as a private key.
    #[error("the client's key can't be read")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// rustls refuses the combination.
    #[error("TLS can't be set up")]
    Setup(#[source] rustls::Error),
}

/// The system's root certificates.
pub struct Trust {
    provider: Arc<CryptoProvider>,
    system: Arc<NamedVerifier>,
    /// The settings with only the system's root certificates.
    plain: ClientConfig,
}

impl Trust {
    /// Reads the system's root certificates.
    ///
    /// # Errors
    /// They can't be read.
    pub fn new() -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let platform = Verifier::new(provider.clone()).map_err(TlsError::Setup)?;
        let system = Arc::new(NamedVerifier::new(Arc::new(platform), Vec::new()));
        let plain = builder(&provider, system.clone())?.with_no_client_auth();
        Ok(Self { provider, system, plain })
    }

    /// Returns the TLS settings of `webhook`.
    ///
    /// # Errors
    /// One of its certificates can't be used.
    pub fn config(&self, webhook: &Webhook) -> Result<ClientConfig, TlsError> {
        if webhook.tls.ca_pem.is_none() && webhook.tls.client_pem.is_none() {
            return Ok(self.plain());
        }
        let builder = builder(&self.provider, self.verifier(&webhook.tls)?)?;
        Ok(match &webhook.tls.client_pem {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                    .map_err(TlsError::Key)?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, key)
                    .map_err(TlsError::Setup)?
            }
        })
    }

    /// Returns TLS settings that trust only the system's root certificates. The copies share their sessions.
    #[must_use]
    pub fn plain(&self) -> ClientConfig {
        self.plain.clone()
    }

    fn verifier(&self, tls: &Tls) -> Result<Arc<NamedVerifier>, TlsError> {
        let Some(pem) = &tls.ca_pem else { return Ok(self.system.clone()) };
        let named = certificates(pem)?;
        let platform = Verifier::new_with_extra_roots(named.clone(), self.provider.clone());
        let platform = platform.map_err(TlsError::Setup)?;
        Ok(Arc::new(NamedVerifier::new(Arc::new(platform), named)))
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<NamedVerifier>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(TlsError::Certificate)
}
