//! Where a device's token comes from.

use std::{error::Error as StdError, fmt, sync::Arc};

use carillon_common::auth::{CredentialKind, Secret};

use crate::Error;

type Read = dyn Fn() -> Result<Secret<String>, Box<dyn StdError + Send + Sync>> + Send + Sync;

/// Gives the token (a JWT) of each connection.
#[derive(Clone)]
pub struct TokenSource(Arc<Read>);

impl TokenSource {
    /// The same token for every connection; when it expires, the gateway refuses the next one.
    pub fn fixed(token: impl Into<String>) -> Self {
        let token = Secret::new(token.into());
        Self::new(move || Ok(token.clone()))
    }

    /// Whatever `read` gives when a connection is made. It should not block for long.
    pub fn new(
        read: impl Fn() -> Result<Secret<String>, Box<dyn StdError + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self) -> Result<Secret<String>, Error> {
        let token = (self.0)().map_err(|error| Error::Token(error.to_string()))?;
        match CredentialKind::of(token.expose()) {
            Some(CredentialKind::ApiKey) => Err(Error::ApiKeyAsToken),
            _ => Ok(token),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource(…)")
    }
}
