//! Where clients and services come in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use carillon_client::{Api, Secret, tls};
use carillon_tests::poll::eventually;
use tokio::time::sleep;

use crate::command::run;

/// The file of an API key.
pub(crate) const KEY: &str = "key";
/// The file of the secret that signs the tokens of clients.
pub(crate) const SECRET: &str = "jwt";
/// The file of the authority that signs its certificates.
pub(crate) const AUTHORITY: &str = "ca.crt";

/// Between two looks at what others have to bring about.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The addresses of a deployment, and what is shown there.
pub(crate) struct Entrance {
    /// Where clients connect: one of these each, separated by commas.
    pub(crate) sockets: String,
    /// Where services call.
    pub(crate) rest: String,
    /// The folder of [`KEY`], [`SECRET`] and, where it speaks TLS, [`AUTHORITY`].
    credentials: PathBuf,
    /// What services call there: each call once, so that what is refused shows.
    pub(crate) api: Api,
}

impl Entrance {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When the credentials are not there.
    pub(crate) fn new(sockets: String, rest: String, credentials: &Path) -> Result<Self> {
        let authority = credentials.join(AUTHORITY);
        let trusted = match authority.exists() {
            true => tls::trusting(&fs::read(authority)?)?,
            false => tls::client(),
        };
        let key = Secret::new(fs::read_to_string(credentials.join(KEY))?);
        Ok(Self {
            api: Api::trusting(&rest, key, Duration::ZERO, &trusted)?,
            sockets,
            rest,
            credentials: credentials.to_owned(),
        })
    }

    /// A file of the credentials.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> String {
        self.credentials.join(name).display().to_string()
    }

    /// What makes `carillon` trust it: a variable and its value, where it speaks TLS.
    #[must_use]
    pub(crate) fn trusted(&self) -> Option<(&'static str, String)> {
        let there = self.credentials.join(AUTHORITY).exists();
        there.then(|| ("SSL_CERT_FILE", self.file(AUTHORITY)))
    }

    /// How many users are online.
    ///
    /// # Errors
    /// When there is no such answer.
    pub(crate) async fn online(&self) -> Result<u64> {
        Ok(self.api.online_count().await?)
    }

    /// The gateways whose lease holds: generation and users of each.
    ///
    /// # Errors
    /// When there is no such answer.
    pub(crate) async fn gateways(&self) -> Result<BTreeMap<u64, u64>> {
        let gateways = self.api.gateways().await?;
        Ok(gateways
            .iter()
            .map(|it| (it.generation, it.users))
            .collect())
    }

    /// That the gateways have everyone, each user once.
    ///
    /// # Errors
    /// When they have not.
    pub(crate) async fn has_everyone(&self, everyone: u64) -> Result<()> {
        let gateways = self.gateways().await?;
        let there: u64 = gateways.values().sum();
        ensure!(
            there == everyone,
            "{there} users of {everyone} in {gateways:?}"
        );
        Ok(())
    }

    /// Waits until the gateways have everyone, each user once.
    ///
    /// # Errors
    /// When they have not within this time.
    pub(crate) async fn everyone_back(&self, everyone: usize, within: Duration) -> Result<()> {
        eventually("everyone is back", within, async || {
            sleep(LOOK_EVERY).await;
            self.has_everyone(everyone as u64).await
        })
        .await
    }

    /// Waits until calls are answered.
    ///
    /// # Errors
    /// When they are not within this time.
    pub(crate) async fn answers(&self, within: Duration) -> Result<()> {
        eventually("calls are answered", within, async || {
            sleep(LOOK_EVERY).await;
            self.online().await.map(drop)
        })
        .await
    }

    /// Runs a command of `carillon` that calls the REST API.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn carillon(&self, words: &[&str]) -> Result<String> {
        let trusted = self.trusted().map(|(name, file)| format!("{name}={file}"));
        let carillon = crate::program("carillon")?.display().to_string();
        let key = self.file(KEY);
        let mut command: Vec<_> = trusted.iter().map(String::as_str).collect();
        command.push(&carillon);
        command.extend(words);
        command.extend(["--api", &self.rest, "--key-file", &key]);
        run("env", &command).await
    }
}
