//! The files of encrypted connections, read anew for each: whoever renews them restarts nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Encrypted connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file with the authorities to trust instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a Redis that asks who connects.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A PEM file with the certificate, and those between it and the authority.
    pub cert_file: PathBuf,
    /// A PEM file with its private key.
    pub key_file: PathBuf,
}

/// What is wrong with one of the files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct TlsFileError {
    /// `ca_file`, `cert_file` or `key_file`.
    pub setting: &'static str,
    /// Never holds what stands in the file.
    pub problem: String,
}

impl TlsFileError {
    fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }
}

/// What is in the files.
pub(crate) struct Pem {
    pub(crate) authorities: Option<Vec<u8>>,
    /// A certificate and its key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    pub(crate) fn read(&self) -> Result<Pem, TlsFileError> {
        let authorities = match &self.ca_file {
            Some(path) => Some(read("ca_file", path)?),
            None => None,
        };
        let identity = match &self.identity {
            Some(Identity {
                cert_file,
                key_file,
            }) => Some((read("cert_file", cert_file)?, read("key_file", key_file)?)),
            None => None,
        };
        Ok(Pem {
            authorities,
            identity,
        })
    }
}

/// The files as rustls takes them: everything that the library would find wrong with them at the first
/// connection is found here.
///
/// # Errors
/// The first file that cannot be used, and why.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, TlsFileError> {
    let Pem {
        authorities,
        identity,
    } = tls.read()?;
    let mut roots = RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in chain("ca_file", &pem)? {
                roots.add(certificate).map_err(|error| {
                    TlsFileError::new("ca_file", format!("is no authority to trust: {error}"))
                })?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFileError::new("ca_file", error.to_string()))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else {
        return Ok(config.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| TlsFileError::new("key_file", format!("holds no private key: {error}")))?;
    config
        .with_client_auth_cert(chain("cert_file", &certificate)?, key)
        .map_err(|error| {
            let problem =
                format!("does not belong to backend.cert_file, or cannot be used: {error}");
            TlsFileError::new("key_file", problem)
        })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|error| {
        TlsFileError::new(
            setting,
            format!("{} cannot be read: {error}", path.display()),
        )
    })
}

fn chain(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(TlsFileError::new(setting, "holds no certificate in PEM")),
        Err(error) => Err(TlsFileError::new(setting, format!("is not PEM: {error}"))),
    }
}
