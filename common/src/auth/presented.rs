//! The service that a request comes from, or what stood in the place of its credentials.

use axum::http::{HeaderMap, header};

use super::{Claims, CredentialKind, Service, TokenError, bearer};
use crate::settings::Credentials;

/// What stood in the place of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Nothing at all.
    Nothing,
    /// More than one header, of which another on the way may have looked at another.
    Several,
    /// Another scheme of authorization, or none.
    OtherScheme,
    /// A JWT, where no issuer of services is known.
    Token,
    /// What the configuration holds of a key.
    KeyHash,
    /// Something else; a key that is not known, most likely.
    Unknown,
}

/// Why a request comes from no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// No service could be known here: there is neither a key nor an issuer of services.
    Nobody,
    /// What stood in the place of its credentials.
    Presented(Presented),
    /// Its token is refused.
    Token(TokenError),
}

/// Who makes a request that both may.
#[derive(Debug)]
pub enum Caller {
    /// By its key, or by a token of an issuer of services.
    Service(Service),
    /// By a token of its user's.
    Client(Claims),
}

impl Credentials {
    /// The claims of the client that a request comes from, if what it shows is a token, and not a service's.
    ///
    /// # Errors
    /// Why a client's token is refused; what no verifier knows is told as a client's.
    pub(super) fn client(
        &self,
        headers: &HeaderMap,
        now_ms: i64,
    ) -> Result<Option<Claims>, Unproven> {
        let presented = credentials(headers).map_err(Unproven::Presented)?;
        if CredentialKind::of(presented) != Some(CredentialKind::Token) {
            return Ok(None);
        }
        // Whose token it is, only its signature and its audience tell.
        let is_services = |error| match error {
            TokenError::Key | TokenError::Algorithm => !self.services.is_empty(),
            _ => self.services.verify_service(presented, now_ms).is_ok(),
        };
        match self.verifier.verify(presented, now_ms) {
            Ok(claims) => Ok(Some(claims)),
            Err(error) if is_services(error) => Ok(None),
            Err(error) => Err(Unproven::Token(error)),
        }
    }

    /// The service that a request comes from, by an API key or by a token that is valid at `now_ms` (Unix
    /// time in ms).
    ///
    /// # Errors
    /// What stood in the place of either.
    pub fn service(&self, headers: &HeaderMap, now_ms: i64) -> Result<Service, Unproven> {
        if self.api_keys.is_empty() && self.services.is_empty() {
            return Err(Unproven::Nobody);
        }
        let presented = credentials(headers).map_err(Unproven::Presented)?;
        if let Some(key) = self.api_keys.authenticate(presented) {
            return Ok(key.into());
        }
        // A key has no dot.
        if presented.contains('.') && !self.services.is_empty() {
            let verified = self.services.verify_service(presented, now_ms);
            return verified.map_err(Unproven::Token);
        }
        Err(Unproven::Presented(unknown(presented)))
    }
}

/// What a request shows (RFC 6750 §2.1).
fn credentials(headers: &HeaderMap) -> Result<&str, Presented> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let header = match (values.next(), values.next()) {
        (Some(only), None) => only,
        (None, _) => return Err(Presented::Nothing),
        (Some(_), Some(_)) => return Err(Presented::Several),
    };
    let presented = header.to_str().ok().and_then(bearer);
    presented.ok_or(Presented::OtherScheme)
}

fn unknown(presented: &str) -> Presented {
    match CredentialKind::of(presented) {
        Some(CredentialKind::Token) => Presented::Token,
        Some(CredentialKind::KeyHash) => Presented::KeyHash,
        Some(CredentialKind::ApiKey) | None => Presented::Unknown,
    }
}
