//! When the certificates of a file expire.

use crate::domain::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A file of certificates that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// The path as it is configured.
    pub path: Box<str>,
    /// When the file is no longer of use.
    pub expires_at: Timestamp,
}

impl CertificateFile {
    /// Reads when the first certificate of a chain expires. `None`: `pem` has no certificate.
    #[must_use]
    pub fn of_chain(path: &str, pem: &[u8]) -> Option<Self> {
        Some(Self { path: path.into(), expires_at: expiries(pem).min()? })
    }

    /// Reads when the last of these authorities expires. Which of them a server needs is unknown, and a bundle often
    /// has authorities that nothing needs any longer. `None`: `pem` has no certificate.
    #[must_use]
    pub fn of_authorities(path: &str, pem: &[u8]) -> Option<Self> {
        Some(Self { path: path.into(), expires_at: expiries(pem).max()? })
    }
}

fn expiries(pem: &[u8]) -> impl Iterator<Item = Timestamp> {
    CertificateDer::pem_slice_iter(pem).filter_map(|certificate| {
        let certificate = certificate.ok()?;
        let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(Timestamp::from_ms(seconds.saturating_mul(1000)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(year: i32) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["crm.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 1);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_chain_expires_with_its_first_certificate_and_authorities_with_their_last() {
        let both = pem(2031) + &pem(2029);
        let at = |year: i64| Timestamp::from_ms(year * 1000);
        let chain = CertificateFile::of_chain("crm.pem", both.as_bytes()).unwrap();
        assert_eq!((&*chain.path, chain.expires_at), ("crm.pem", at(1_867_017_600)));
        let authorities = CertificateFile::of_authorities("ca.pem", both.as_bytes()).unwrap();
        assert_eq!(authorities.expires_at, at(1_930_089_600));
        for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert_eq!(CertificateFile::of_chain("crm.pem", bad.as_bytes()), None, "{bad}");
        }
    }
}
