//! A service that has shown who it is, and what its token says.

use std::sync::Arc;

use super::reach::Reach;
use super::token::{Compact, TokenError};
use super::{ApiKey, Revocations, SendRate, Verifier};
use crate::backend::Quota;
use crate::settings::Scope;

/// A service that has shown who it is, by an API key or by a token of an issuer of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it is called in logs and metrics: the name of its API key, or its issuer's.
    pub name: Arc<str>,
    /// Whose idempotency keys it uses: `name`, and of a token also its `sub`. The next API key, and the
    /// next token, has the same.
    pub identity: Arc<str>,
    scopes: Arc<[Scope]>,
    /// All of them limit it: what the configuration says, and what its token says.
    reach: [Arc<Reach>; 2],
    send_rate: SendRate,
    /// What its token says of itself; none of an API key.
    token: Option<Arc<Dated>>,
}

/// By what a service's token could be revoked.
#[derive(Debug, PartialEq, Eq)]
struct Dated {
    sub: Box<str>,
    jti: Option<Box<str>>,
    iat_ms: i64,
}

impl Service {
    /// Whether it was given `scope`.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// How fast it may send, where all others have `usual`; none for any.
    pub fn send_quota(&self, usual: Option<Quota>) -> Option<Quota> {
        self.send_rate.quota(usual)
    }

    /// Whether its token was revoked, as far as this list knows at `now_ms`.
    pub(super) fn is_revoked(&self, revocations: &Revocations, now_ms: i64) -> bool {
        self.token.as_ref().is_some_and(|token| {
            revocations.include(&token.sub, token.jti.as_deref(), token.iat_ms, now_ms)
        })
    }

    /// Whether it may send to this user.
    pub fn may_reach_user(&self, user: &str) -> bool {
        self.reach.iter().all(|reach| reach.includes_user(user))
    }

    /// Whether no user is kept from it.
    pub fn may_reach_every_user(&self) -> bool {
        self.reach.iter().all(|reach| reach.includes_every_user())
    }

    /// Whether it may send to this channel, or under its name.
    pub fn may_reach_channel(&self, channel: &str) -> bool {
        let mut all = self.reach.iter();
        all.all(|reach| reach.includes_channel(channel))
    }

    /// Whether it may send to everyone.
    pub fn may_reach_everyone(&self) -> bool {
        self.reach.iter().all(|reach| reach.includes_everyone())
    }
}

impl From<&ApiKey> for Service {
    fn from(key: &ApiKey) -> Self {
        Self {
            name: key.name.clone(),
            identity: key.name.clone(),
            scopes: key.scopes.clone(),
            reach: [key.reach.clone(), key.reach.clone()],
            send_rate: key.send_rate,
            token: None,
        }
    }
}

/// What a service's token says besides (RFC 8693 §4.2, RFC 9068 §2.2.3).
#[derive(serde::Deserialize)]
struct Says {
    scope: Option<Box<str>>,
    users: Option<Vec<Box<str>>>,
}

impl Verifier {
    /// The service whose token this is, if it is signed by a known key and valid at `now_ms`. Its
    /// scopes are those that its issuer may give and its `scope` names; others there are not looked at.
    pub(super) fn verify_service(&self, token: &str, now_ms: i64) -> Result<Service, TokenError> {
        let token = Compact::parse(token)?;
        let (key, payload) = self.signed_payload(&token)?;
        payload.check(&key.issuer, now_ms, self.times())?;
        let issuer = &key.issuer;
        // Those without are in the other verifier.
        let grant = issuer.grant.as_ref().ok_or(TokenError::Key)?;
        let says: Says = serde_json::from_slice(&token.payload)
            .map_err(|_| TokenError::Claim("scope must be a text, and users a list of texts"))?;
        let scope = says.scope.as_deref().unwrap_or_default();
        let scopes = grant.scopes.iter().copied();
        let scopes = scopes.filter(|it| scope.split(' ').any(|name| name == it.as_str()));
        let reach = Reach::new(says.users.as_deref(), payload.channels.as_deref());
        let reach = reach.map_err(|_| {
            TokenError::Claim(
                "users and channels must be lists of 1 to 256 names or globs; left out, they are any",
            )
        })?;
        let sub = payload.sub.as_deref().unwrap_or_default();
        Ok(Service {
            name: issuer.name.clone(),
            identity: format!("{} {sub}", issuer.name).into(),
            scopes: scopes.collect(),
            reach: [grant.reach.clone(), Arc::new(reach)],
            send_rate: SendRate::Usual,
            token: Some(Arc::new(Dated {
                sub: sub.into(),
                iat_ms: payload.issued_ms(),
                jti: payload.jti.clone(),
            })),
        })
    }
}
