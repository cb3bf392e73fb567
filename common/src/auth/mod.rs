//! Who is there: tokens of clients, keys of services, and values that must not be seen.

mod api_key;
mod channel;
mod claims;
mod glob;
mod issuer;
pub(crate) mod jwks;
mod key;
mod keyring;
mod kind;
mod mint;
mod presented;
mod reach;
mod remote;
mod revocations;
mod revoked;
mod secret;
mod send_rate;
mod service;
#[cfg(test)]
mod tests;
mod ticket;
mod token;
mod verifier;
mod warrant;

pub use self::api_key::{ApiKey, ApiKeys};
pub use self::channel::{ChannelPattern, may_join};
pub use self::claims::{Claims, TokenTimes, UNDATED};
pub use self::keyring::Keyring;
pub use self::kind::CredentialKind;
pub use self::mint::{MintError, NewToken, mint};
pub use self::presented::{Caller, Presented, Unproven};
pub use self::reach::Reach;
pub use self::revocations::Revocations;
pub use self::revoked::{Revocation, Revoked};
pub use self::secret::Secret;
pub use self::send_rate::SendRate;
pub use self::service::Service;
pub use self::ticket::{Ticket, TicketHash};
pub use self::token::{MAX_TOKEN_BYTES, TokenError};
pub(crate) use self::verifier::Issuers;
pub use self::verifier::Verifier;
pub use self::warrant::Warrant;
pub use crate::settings::Scope;

/// The credentials of an `Authorization: Bearer …` header (RFC 6750 §2.1), from its value.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, credentials) = authorization.trim().split_once(' ')?;
    let credentials = credentials.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !credentials.is_empty()).then_some(credentials)
}
