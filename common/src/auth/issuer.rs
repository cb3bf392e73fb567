//! What `[[auth.issuers]]` says of an issuer, apart from its keys.

use std::sync::Arc;
use std::time::Duration;

use super::reach::Reach;
use crate::settings::{IssuerSettings, Scope, SettingsError};

/// The rules of an issuer; its keys share them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    /// Required `iss`.
    pub(super) iss: Option<Box<str>>,
    /// Required `aud`.
    pub(super) audience: Option<Box<str>>,
    /// Instead of `auth.max_lifetime`.
    pub(super) max_lifetime: Option<Duration>,
    /// The most that its tokens allow, where they are those of services.
    pub(super) grant: Option<Grant>,
}

/// What the tokens of a services' issuer may allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) scopes: Box<[Scope]>,
    pub(super) reach: Arc<Reach>,
}

/// A mistake of an issuer's table, that names the issuer.
pub(super) fn mistake(
    settings: &IssuerSettings,
    path: &str,
    key: &str,
    problem: &str,
    remedy: &str,
) -> SettingsError {
    let named = match &*settings.name {
        "" => problem.to_owned(),
        name => format!("{problem} (of the issuer `{name}`)"),
    };
    SettingsError::new(format!("{path}.{key}"), named, remedy)
}

impl Issuer {
    /// Reads the rules of `settings`, which stand at `path`.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(super) fn new(settings: &IssuerSettings, path: &str) -> Result<Self, SettingsError> {
        let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
        Ok(Self {
            name: settings.name.as_str().into(),
            iss: boxed(&settings.issuer),
            audience: boxed(&settings.audience),
            max_lifetime: settings.max_lifetime,
            grant: Grant::new(settings, path)?,
        })
    }

    /// Whether its tokens are those of services.
    pub(super) fn is_for_services(&self) -> bool {
        self.grant.is_some()
    }

    /// Whether a token with this `iss` may be one of its.
    pub(super) fn issues(&self, iss: Option<&str>) -> bool {
        self.iss.is_none() || self.iss.as_deref() == iss
    }
}

impl Grant {
    /// None for an issuer of clients.
    fn new(settings: &IssuerSettings, path: &str) -> Result<Option<Self>, SettingsError> {
        let error = |key, problem, remedy| Err(mistake(settings, path, key, problem, remedy));
        let (users, channels) = (settings.users.as_deref(), settings.channels.as_deref());
        let Some(scopes) = &settings.scopes else {
            let limits = [("users", users), ("channels", channels)];
            let Some((key, _)) = limits.into_iter().find(|(_, globs)| globs.is_some()) else {
                return Ok(None);
            };
            let remedy = "list `scopes` if its tokens are those of services, else leave it out";
            return error(key, "limits services, and this issuer has none", remedy);
        };
        if scopes.is_empty() {
            let remedy =
                "list some of send, broadcast, read, admin, tickets; leave it out for clients";
            return error("scopes", "is empty", remedy);
        }
        let needs =
            "is missing, and what an issuer gives a client could pass for a service's token";
        if settings.issuer.is_none() {
            return error("issuer", needs, "set the `iss` of its tokens");
        }
        if settings.audience.is_none() {
            let remedy = "set the `aud` of services' tokens, which no client's has";
            return error("audience", needs, remedy);
        }
        if settings.name.is_empty() {
            return error("name", "is empty", "name it; what it sends is counted so");
        }
        match Reach::new(users, channels) {
            Ok(reach) => Ok(Some(Self {
                scopes: scopes.as_slice().into(),
                reach: Arc::new(reach),
            })),
            Err((key, wrong)) => error(key, &wrong.to_string(), GLOBS),
        }
    }
}

/// What to write in the place of a list of globs that is wrong.
pub(super) const GLOBS: &str =
    "write names or globs (`*` is any run of characters), or leave it out for any";
