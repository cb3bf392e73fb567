//! Whom TLS trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// For the connections of one command: the roots that this machine trusts (those in SSL_CERT_FILE or
/// SSL_CERT_DIR, where these are set). Where it has none, as in an image of this program alone, those of
/// Mozilla, which are built in. Reads a large file: made once, and shared.
pub(crate) fn client() -> Arc<ClientConfig> {
    Arc::new(config(machine()))
}

fn machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // What cannot be read or parsed is left out, as browsers do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn config(machine: RootCertStore) -> ClientConfig {
    let roots = if machine.is_empty() {
        RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
    } else {
        machine
    };
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
        let built_in = config(RootCertStore::empty());
        let http = reqwest::Client::builder().tls_backend_preconfigured(built_in);
        assert!(http.build().is_ok());
        assert!(!webpki_roots::TLS_SERVER_ROOTS.is_empty());
    }
}
