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
        /// How long a revocation lasts where nothing says when its tokens end.
        pub revocation_ttl: Duration,
        /// Most revocations.
        pub max_revocations: usize,
        /// How long a ticket lasts.
        pub ticket_ttl: Duration,
        /// Tickets of one user at a time.
        pub tickets_per_user: usize,
        /// How long a connection may last whose ticket a service asked for.
        pub ticket_session: Duration,
        /// Name of the cookie that holds a token, where one may.
        pub cookie: Option<String>,
        /// How old a key set becomes before it is fetched again.
        pub jwks_refresh: Duration,
        /// Time between two fetches of a key set for keys that it lacks; the longest between two attempts
        /// while they fail.
        pub jwks_interval: Duration,
        /// Longest time of one fetch.
        pub jwks_timeout: Duration,
        /// Whether a key set may come over http from another machine.
        pub jwks_http: bool,
        /// Keys that tokens are verified with.
        pub issuers: Vec<IssuerSettings>,
        /// Keys of services.
        pub api_keys: Vec<ApiKeySettings>,
        /// Folder with more of both.
        pub dir: Option<PathBuf>,
    }
}

settings! {
    /// `[[auth.issuers]]`: one key of one issuer, or all that it publishes, bound to their algorithms.
    pub struct IssuerSettings {
        /// For errors and logs; of a services' issuer also the sender's name.
        pub name: String,
        /// The only algorithms that are accepted; those of one key are all of one family.
        pub algorithms: Vec<TokenAlgorithm>,
        /// HMAC secret.
        pub secret: Option<Secret<String>>,
        /// File that holds the secret; a line break at its end is not part of it.
        pub secret_file: Option<PathBuf>,
        /// Public key in PEM.
        pub public_key: Option<String>,
        /// File that holds the public key.
        pub public_key_file: Option<PathBuf>,
        /// Where the issuer publishes its keys (RFC 7517 §5).
        pub jwks_url: Option<String>,
        /// The authorities to trust there instead of the public ones.
        pub jwks_ca_file: Option<PathBuf>,
        /// Required `iss`.
        pub issuer: Option<String>,
        /// Required `aud`.
        pub audience: Option<String>,
        /// The key's id.
        pub kid: Option<String>,
        /// The longest that its tokens may last, instead of `auth.max_lifetime`.
        pub max_lifetime: Option<Duration>,
        /// Makes it an issuer of services: the most that its tokens allow.
        pub scopes: Option<Vec<Scope>>,
        /// Of services: the users that they may send to.
        pub users: Option<Vec<String>>,
        /// Of services: the channels that they may send to.
        pub channels: Option<Vec<String>>,
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
        /// The users that it may send to; any without.
        pub users: Option<Vec<String>>,
        /// The channels that it may send to; any without.
        pub channels: Option<Vec<String>>,
        /// Notifications a second, instead of `dispatcher.sends_per_key`; zero for any.
        pub sends_per_second: Option<u32>,
        /// How many at once.
        pub sends_burst: Option<u32>,
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
    /// Operate gateways, and revoke tokens; includes nothing else.
    Admin,
    /// Have tickets made for users: whoever has one reads as its user does.
    Tickets,
}

words!(Scope {
    Send: "send",
    Broadcast: "broadcast",
    Read: "read",
    Admin: "admin",
    Tickets: "tickets"
});
leaves!(Vec<TokenAlgorithm>, Vec<Scope>);
