//! Tokens for users.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

/// Seconds since the epoch, as JWT claims count them.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A token for `user` that is valid for `lives` from now, signed with HS256.
#[must_use]
pub fn hs256(secret: &str, user: &str, lives: Duration) -> String {
    let claims = json!({ "sub": user, "iat": now(), "exp": now() + lives.as_secs() });
    sign(secret, &claims)
}

/// A token with these claims, signed with HS256.
///
/// # Panics
/// Never: HS256 signs any JSON.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "HS256 with a shared secret signs any JSON"
)]
pub fn sign(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("HS256 signs any JSON")
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn is_valid_for_its_user_and_secret() {
        let token = hs256("secret", "alice", Duration::from_secs(60));
        let check = |secret: &str| {
            let key = DecodingKey::from_secret(secret.as_bytes());
            decode::<Value>(&token, &key, &Validation::new(Algorithm::HS256))
        };
        assert_eq!(check("secret").unwrap().claims["sub"], "alice");
        assert!(check("other").is_err());
    }
}
