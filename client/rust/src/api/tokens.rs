//! Tokens that are revoked.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::Error;

/// Which tokens to revoke; absent fields are not sent. A user, a `jti` or both must be there.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Revoke<'a> {
    /// Whose: the `sub` of the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// The token's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<&'a str>,
    /// Only those that were issued before (RFC 3339); none: of a user now, of a `jti` whenever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<String>,
    /// When they end by themselves (RFC 3339), where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why, for those who look later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// A revocation, as the dispatcher has it. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Revocation {
    /// Its name; the same tokens have the same.
    pub id: String,
    /// Whose tokens; none: anybody's.
    #[serde(default)]
    pub user: Option<String>,
    /// Which token; none: all of them.
    #[serde(default)]
    pub jti: Option<String>,
    /// Only those that were issued before; none: whenever.
    #[serde(default)]
    pub issued_before: Option<String>,
    /// When it lapses, because none of its tokens lasts longer.
    pub lapses_at: String,
    /// When it was asked for last.
    #[serde(default)]
    pub revoked_at: Option<String>,
    /// By which key.
    #[serde(default)]
    pub revoked_by: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Revoked {
    revocation: Revocation,
}

#[derive(Deserialize)]
struct Page {
    revocations: Vec<Revocation>,
    next: Option<String>,
}

impl Api {
    /// Revokes tokens on every gateway and dispatcher. Asking again does no harm.
    ///
    /// # Errors
    /// When the call is refused, or nobody knows what came of it.
    pub async fn revoke(&self, tokens: &Revoke<'_>) -> Result<Revocation, Error> {
        let url = self.url(&["tokens", "revoke"]);
        let call = || self.http.post(url.clone()).json(tokens);
        let answer = self.until_done(call).await?;
        let revoked: Revoked = self.read(&answer)?;
        Ok(revoked.revocation)
    }

    /// The revocations that are in force, all pages of them.
    ///
    /// # Errors
    /// When they are not told.
    pub async fn revocations(&self) -> Result<Vec<Revocation>, Error> {
        let mut url = self.url(&["tokens", "revocations"]);
        let mut all = Vec::new();
        loop {
            let page: Page = self.call(Method::GET, url.clone()).await?;
            all.extend(page.revocations);
            let Some(after) = page.next else {
                return Ok(all);
            };
            url.query_pairs_mut().clear().append_pair("after", &after);
        }
    }

    /// Takes a revocation back.
    ///
    /// # Errors
    /// When none of this id is in force, or the call is refused.
    pub async fn take_back(&self, id: &str) -> Result<(), Error> {
        let url = self.url(&["tokens", "revocations", id]);
        self.until_done(|| self.http.delete(url.clone())).await?;
        Ok(())
    }
}
