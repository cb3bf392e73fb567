//! Keys, tokens and certificates of a test's deployment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use carillon_common::{
    auth::{ApiKeys, NewToken, mint},
    settings::IssuerSettings,
};
use tempfile::TempDir;

use crate::{
    command::run,
    entrance::{AUTHORITY, KEY, SECRET},
};

/// What clients and services show, as files for the command line and as text for Secrets.
pub(crate) struct Access {
    dir: TempDir,
    /// The API key.
    pub(crate) key: String,
    /// Signs the tokens of clients.
    pub(crate) jwt_secret: String,
    /// The Secret's files of issuers and API keys.
    pub(crate) auth: [(&'static str, String); 3],
}

impl Access {
    /// New ones, and an authority for the ingress's certificates.
    ///
    /// # Errors
    /// When openssl is missing.
    pub(crate) async fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        let (key, hash) = ApiKeys::generate();
        let jwt_secret = new_secret().await?;
        let issuers = "[[issuers]]\nname = \"tests\"\nalgorithms = [\"HS256\"]\nsecret_file = \"jwt.secret\"\n";
        let keys = format!(
            "[[api_keys]]\nname = \"tests\"\nhash = \"{hash}\"\nscopes = [\"send\", \"broadcast\", \"read\", \"admin\"]\n"
        );
        let access = Self {
            key: key.expose().clone(),
            auth: [
                ("issuers.toml", issuers.to_owned()),
                ("jwt.secret", jwt_secret.clone()),
                ("tests.toml", keys),
            ],
            jwt_secret,
            dir,
        };
        fs::write(access.path(KEY), &access.key)?;
        fs::write(access.path(SECRET), &access.jwt_secret)?;
        access.authority().await?;
        access.certify().await?;
        Ok(access)
    }

    async fn authority(&self) -> Result<()> {
        let (key, certificate) = (self.shown("ca.key"), self.shown(AUTHORITY));
        let words = ["-subj", "/CN=the tests' authority"];
        let files = ["-keyout", &key, "-out", &certificate];
        openssl_req(&[&words[..], &files[..]].concat()).await
    }

    /// A new certificate for `localhost`, in the place of the last one.
    ///
    /// # Errors
    /// When openssl cannot.
    pub(crate) async fn certify(&self) -> Result<()> {
        let (ca_key, ca) = (self.shown("ca.key"), self.shown(AUTHORITY));
        let (key, certificate) = (self.shown("tls.key"), self.shown("tls.crt"));
        let words = [
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            // An authority may not stand for a server itself in webpki.
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        let files = [
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        openssl_req(&[&words[..], &files[..]].concat()).await
    }

    /// A client's token, good for an hour.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn token(&self, user: &str) -> Result<String> {
        signed(&self.jwt_secret, user)
    }

    /// The folder of its files.
    #[must_use]
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// One of: [`KEY`], [`SECRET`], [`AUTHORITY`], `tls.key`, `tls.crt`.
    #[must_use]
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as a text.
    #[must_use]
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// A client's token that this secret signs, good for an hour.
///
/// # Errors
/// When it cannot be signed.
pub(crate) fn signed(secret: &str, user: &str) -> Result<String> {
    let issuer = IssuerSettings::hs256("tests", secret);
    let now = jiff::Timestamp::now().as_second();
    let token = NewToken {
        sub: user,
        exp: now + 3_600,
        iat: Some(now),
        nbf: None,
        jti: None,
        channels: &[],
    };
    Ok(mint(&issuer, &token)?)
}

/// A new secret to sign with.
///
/// # Errors
/// When openssl is missing.
pub(crate) async fn new_secret() -> Result<String> {
    let said = run("openssl", &["rand", "-hex", "32"]).await?;
    Ok(said.trim().to_owned())
}

/// Makes a certificate and its key.
async fn openssl_req(words: &[&str]) -> Result<()> {
    let common = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ];
    run("openssl", &[&common[..], words].concat())
        .await
        .context("a certificate for the ingress")?;
    Ok(())
}
