//! What a credential looks like, so that one that stands in the place of another is told so.

/// A kind of credential, by its looks alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A JWT: clients show it to a gateway.
    Token,
    /// A key that `carillon apikey new` made: services show it to a dispatcher.
    ApiKey,
    /// What the configuration holds of such a key.
    KeyHash,
}

impl CredentialKind {
    /// The kind that `text` seems to be of, if of any.
    pub fn of(text: &str) -> Option<Self> {
        if text.starts_with(super::api_key::PREFIX) {
            return Some(Self::ApiKey);
        }
        // Every JWT's header is an object, and so begins with `{"`.
        if text.starts_with("eyJ") && text.matches('.').count() == 2 {
            return Some(Self::Token);
        }
        let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then_some(Self::KeyHash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ApiKeys;

    #[test]
    fn a_credential_is_known_by_its_looks() {
        let (key, hash) = ApiKeys::generate();
        for (text, kind) in [
            (key.expose().as_str(), Some(CredentialKind::ApiKey)),
            (&hash, Some(CredentialKind::KeyHash)),
            ("eyJhbGciOiJIUzI1NiJ9.e30.c2ln", Some(CredentialKind::Token)),
            ("eyJhbGciOiJIUzI1NiJ9.e30", None),
            ("hunter2", None),
            ("", None),
        ] {
            assert_eq!(CredentialKind::of(text), kind, "{text}");
        }
    }
}
