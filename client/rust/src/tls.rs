//! Whom TLS trusts.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::Error;

/// Trusts the roots that this machine trusts (those in SSL_CERT_FILE or SSL_CERT_DIR, where these are set).
/// Where it has none, as in an image of one program alone, those of Mozilla, which are built in. Reads a
/// large file: made once, and shared.
#[must_use]
pub fn client() -> Arc<ClientConfig> {
    let machine = machine();
    Arc::new(config(if machine.is_empty() {
        mozilla()
    } else {
        machine
    }))
}

/// Trusts these certificates (PEM) and no others: for an authority of one's own.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| Error::Setup(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| Error::Setup(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::Setup("there is no certificate to trust".to_owned()));
    }
    Ok(Arc::new(config(roots)))
}

fn machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // What cannot be read or parsed is left out, as browsers do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn mozilla() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

fn config(roots: RootCertStore) -> ClientConfig {
    #[expect(
        clippy::expect_used,
        reason = "this provider has the default versions; a test makes one"
    )]
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_roots_still_has_a_client() {
        let built_in = config(mozilla());
        let http = reqwest::Client::builder().tls_backend_preconfigured(built_in);
        assert!(http.build().is_ok());
        assert!(!mozilla().is_empty());
    }

    #[test]
    fn an_authority_that_is_none_is_told() {
        for (pem, told) in [
            ("", "no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "",
            ),
        ] {
            let error = trusting(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
