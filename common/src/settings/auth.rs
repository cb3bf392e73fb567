//! `[auth]`: who signs the tokens of clients, and the keys of services.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{leaves, settings, words};
use crate::auth::Secret;

settings! {
    /// `[auth]`: who may connect and who may send, as it is written; see
    /// [`credentials`](Self::credentials) for what that comes to.
    pub struct AuthSettings {
        /// Tolerated difference of clocks.
        pub leeway: Duration,
        /// The longest that a token may last; zero for any.
        pub max_lifetime: Duration,
        /// Keys that client tokens are verified with.
        pub issuers: Vec<IssuerSettings>,
        /// Keys of services.
        pub api_keys: Vec<ApiKeySettings>,
        /// Folder with more of both.
        pub dir: Option<PathBuf>,
    }
}

settings! {
    /// `[[auth.issuers]]`: one key of one issuer, bound to its algorithms.
    pub struct IssuerSettings {
        /// For errors.
        pub name: String,
        /// The only algorithms that the key serves, all of one family.
        pub algorithms: Vec<TokenAlgorithm>,
        /// HMAC secret.
        pub secret: Option<Secret<String>>,
        /// File that holds the secret; a line break at its end is not part of it.
        pub secret_file: Option<PathBuf>,
        /// Public key in PEM.
        pub public_key: Option<String>,
        /// File that holds the public key.
        pub public_key_file: Option<PathBuf>,
        /// Required `iss`.
        pub issuer: Option<String>,
        /// Required `aud`.
        pub audience: Option<String>,
        /// The key's id.
        pub kid: Option<String>,
    }
}

settings! {
    /// `[[auth.api_keys]]`: a key of a service, known by its hash alone.
    pub struct ApiKeySettings {
        /// The service's name, for logs.
        pub name: String,
        /// SHA-256 of the key, 64 hex digits.
        pub hash: String,
        /// What the key may do.
        pub scopes: Vec<Scope>,
    }
}

/// A signature algorithm of tokens (RFC 7518 §3.1, RFC 8037). There is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum TokenAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

words!(TokenAlgorithm {
    Hs256: "HS256",
    Hs384: "HS384",
    Hs512: "HS512",
    Rs256: "RS256",
    Rs384: "RS384",
    Rs512: "RS512",
    Ps256: "PS256",
    Ps384: "PS384",
    Ps512: "PS512",
    Es256: "ES256",
    Es384: "ES384",
    EdDsa: "EdDSA",
});

/// What a service may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Send to users.
    Send,
    /// Send to channels and to everyone.
    Broadcast,
    /// Ask who is online and what waits.
    Read,
    /// Operate gateways; includes nothing else.
    Admin,
}

words!(Scope {
    Send: "send",
    Broadcast: "broadcast",
    Read: "read",
    Admin: "admin"
});
leaves!(Vec<TokenAlgorithm>, Vec<Scope>);
