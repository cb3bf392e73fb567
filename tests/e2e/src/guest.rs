//! A login and a service beside the deployment's own: their issuer and their API key are in files of their own.

use std::fs;

use anyhow::Result;
use carillon_common::auth::ApiKeys;
use tempfile::TempDir;

use crate::{
    access::{new_secret, signed},
    deployment::Deployment,
    entrance::{AUTHORITY, Entrance, KEY, SECRET},
};

/// A file of a Secret: its name, and what it holds; none takes it away.
pub(crate) type File = (String, Option<String>);

/// Who may connect and send only while the deployment knows these files.
pub(crate) struct Guest {
    name: &'static str,
    secret: String,
    /// The hash of the API key.
    hash: String,
    /// The same way in, with the guest's token and key.
    pub(crate) entrance: Entrance,
    _dir: TempDir,
}

impl Guest {
    /// Of whom the deployment knows nothing yet.
    ///
    /// # Errors
    /// When openssl is missing.
    pub(crate) async fn of(deployment: &Deployment, name: &'static str) -> Result<Self> {
        let dir = TempDir::new()?;
        let (key, hash) = ApiKeys::generate();
        let secret = new_secret().await?;
        fs::write(dir.path().join(KEY), key.expose())?;
        fs::write(dir.path().join(SECRET), &secret)?;
        fs::copy(
            deployment.access.path(AUTHORITY),
            dir.path().join(AUTHORITY),
        )?;
        let (sockets, rest) = (&deployment.entrance.sockets, &deployment.entrance.rest);
        Ok(Self {
            name,
            secret,
            hash,
            entrance: Entrance::new(sockets.clone(), rest.clone(), dir.path())?,
            _dir: dir,
        })
    }

    /// A client's token.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn token(&self, user: &str) -> Result<String> {
        signed(&self.secret, user)
    }

    /// The name of the file of its API key.
    #[must_use]
    pub(crate) fn key_file(&self) -> String {
        format!("{}-key.toml", self.name)
    }

    /// Its API key.
    #[must_use]
    pub(crate) fn key(&self) -> File {
        let Self { name, hash, .. } = self;
        let scopes = r#"["send", "broadcast", "read"]"#;
        let table =
            format!("[[api_keys]]\nname = \"{name}\"\nhash = \"{hash}\"\nscopes = {scopes}\n");
        (self.key_file(), Some(table))
    }

    /// Its API key with a hash that is none.
    #[must_use]
    pub(crate) fn broken_key(&self) -> File {
        let (file, table) = self.key();
        (file, table.map(|it| it.replace("hash = \"", "hash = \"zz")))
    }

    /// Its API key, and what verifies its tokens.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<File> {
        let name = self.name;
        let issuer = format!(
            "[[issuers]]\nname = \"{name}\"\nalgorithms = [\"HS256\"]\nsecret_file = \"{name}.secret\"\n"
        );
        vec![
            self.key(),
            (format!("{name}-issuer.toml"), Some(issuer)),
            (format!("{name}.secret"), Some(self.secret.clone())),
        ]
    }

    /// None of its files.
    #[must_use]
    pub(crate) fn nothing(&self) -> Vec<File> {
        self.all()
            .into_iter()
            .map(|(file, _)| (file, None))
            .collect()
    }
}
