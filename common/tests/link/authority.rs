//! Certificates: an authority of a test's own, and what it signs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use carillon_common::backend::url::RedisUrl;
use carillon_common::tls::{Identity, Tls};
use tempfile::TempDir;

/// Signs servers' and clients' certificates; its files go with it.
pub(crate) struct Authority {
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self {
            dir: TempDir::new().unwrap(),
        };
        openssl(
            &authority.path("ca"),
            &["-subj", "/CN=an authority of tests"],
        );
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for this machine, signed.
    pub(crate) fn sign(&self, name: &str) -> Identity {
        let path = self.path(name);
        let (ca, ca_key) = (self.ca_file(), self.path("ca.key"));
        openssl(
            &path,
            &[
                "-CA",
                &ca.display().to_string(),
                "-CAkey",
                &ca_key.display().to_string(),
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
        );
        Identity {
            cert_file: path.with_extension("pem"),
            key_file: path.with_extension("key"),
        }
    }

    /// What makes a server speak TLS at `port`, and ask clients for a certificate (`yes`) or not (`no`).
    pub(crate) fn server(&self, port: u16, auth_clients: &str) -> Vec<String> {
        let own = self.sign("server");
        let text = |path: &Path| path.display().to_string();
        [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", text(&own.cert_file)),
            ("--tls-key-file", text(&own.key_file)),
            ("--tls-ca-cert-file", text(&self.ca_file())),
            ("--tls-auth-clients", auth_clients.to_owned()),
            ("--tls-replication", "yes".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// A URL that trusts this authority, with what is shown to it.
    pub(crate) fn url(&self, text: &str, identity: Option<Identity>) -> RedisUrl {
        RedisUrl {
            tls: Some(Tls {
                ca_file: Some(self.ca_file()),
                identity,
            }),
            ..RedisUrl::parse(text).unwrap()
        }
    }
}

/// Makes `path.key` and `path.pem`.
fn openssl(path: &Path, more: &[&str]) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout"])
        .arg(path.with_extension("key"))
        .arg("-out")
        .arg(path.with_extension("pem"))
        .args(more)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl makes a certificate");
}
