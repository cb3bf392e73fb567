//! Which tokens a call revokes, and for how long.

use std::time::Duration;

use carillon_common::{
    auth::{Revocation, Revoked},
    backend::{Note, RevokeOrder},
    errors::ProblemKind,
    ids::{Millis, TokenId, UserId},
    settings::{AuthSettings, Credentials},
};

use crate::{
    error::ApiError,
    extract::{FieldReader, Fields},
};

/// Longest reason, in bytes.
pub(crate) const REASON_BYTES: usize = 255;

/// Tokens to be revoked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RevokeRequest {
    pub(crate) what: Revoked,
    /// Of a user whose token is not named: never absent.
    issued_before: Option<Millis>,
    /// When the tokens end by themselves, where the caller knows.
    expires_at: Option<Millis>,
    reason: Option<String>,
}

impl RevokeRequest {
    /// Reads the call, at `now`.
    ///
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(
        fields: &Fields<'_>,
        auth: &AuthSettings,
        now: Millis,
    ) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let is_named = reader.has("user") || reader.has("jti");
        let user: Option<UserId> = reader.written("user");
        let jti: Option<TokenId> = reader.written("jti");
        let issued_before = reader.time("issued_before");
        let expires_at = reader.time("expires_at");
        let reason = reader.text("reason");
        if issued_before.is_some_and(|before| before > now.saturating_add(millis(auth.leeway))) {
            let detail =
                "issued_before lies ahead: tokens that are not issued yet cannot be revoked";
            reader.refuse(
                ProblemKind::InvalidField,
                "issued_before",
                detail.to_owned(),
            );
        }
        if expires_at.is_some_and(|end| end <= now) {
            let detail = "expires_at has passed: the tokens have ended by themselves";
            reader.refuse(ProblemKind::InvalidField, "expires_at", detail.to_owned());
        }
        if reason.as_ref().is_some_and(|it| it.len() > REASON_BYTES) {
            let detail = format!("reason may have at most {REASON_BYTES} bytes");
            reader.refuse(ProblemKind::InvalidField, "reason", detail);
        }
        if !is_named {
            let detail = "user is missing, and jti: say whose tokens to revoke, or which one";
            reader.refuse(ProblemKind::MissingField, "user", detail.to_owned());
        }
        let errors = reader.finish();
        let Some(what) = Revoked::of(user, jti).filter(|_| errors.is_empty()) else {
            return Err(ApiError::InvalidFields(errors));
        };
        let now = what.jti().is_none().then_some(now);
        Ok(Self {
            what,
            issued_before: issued_before.or(now),
            expires_at,
            reason: reason.map(std::borrow::Cow::into_owned),
        })
    }
}

/// The order that a call at `now` comes to, of the service of this name.
pub(crate) fn revoke_order(
    request: RevokeRequest,
    by: &str,
    now: Millis,
    auth: &AuthSettings,
    credentials: &Credentials,
) -> RevokeOrder {
    // A token is good for so much longer than it says. One whose end is not known may last for so much longer than it may,
    // too, and may have been issued so much later.
    let leeway = millis(auth.leeway);
    let lasts = || millis(longest(auth, credentials)).saturating_add(leeway.saturating_mul(2));
    let until = request
        .expires_at
        .unwrap_or_else(|| now.saturating_add(lasts()));
    RevokeOrder {
        revocation: Revocation {
            what: request.what,
            issued_before: request.issued_before,
            until: until.saturating_add(leeway),
        },
        note: Note {
            at: now,
            by: by.to_owned(),
            reason: request.reason,
        },
        most: auth.max_revocations,
    }
}

/// The longest that a token may last from now on. What the issuers of this service allow bounds it where those of clients
/// are known here; others may be known to the gateways.
fn longest(auth: &AuthSettings, credentials: &Credentials) -> Duration {
    let clients = credentials.verifier.longest_lifetime();
    let services = match credentials.services.is_empty() {
        true => Some(Duration::ZERO),
        false => credentials.services.longest_lifetime(),
    };
    let both = clients.zip(services).map(|(one, two)| one.max(two));
    both.unwrap_or(auth.revocation_ttl)
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use carillon_common::settings::{IssuerSettings, Scope, Settings};

    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const HOUR: Millis = 3_600_000;

    fn read(body: &str) -> Result<RevokeRequest, ApiError> {
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        RevokeRequest::read(&fields, &Settings::default().auth, NOW)
    }

    /// Where it is wrong, and what is told.
    fn refused(body: &str) -> Vec<(String, String)> {
        let Err(ApiError::InvalidFields(errors)) = read(body) else {
            panic!("{body} is taken");
        };
        let told = errors
            .into_iter()
            .map(|it| (it.problem.pointer, it.problem.detail));
        told.collect()
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn a_user_a_token_or_both_are_named() {
        let request = read(r#"{"user":"alice"}"#).unwrap();
        assert_eq!(request.what, Revoked::User(user("alice")));
        assert_eq!(request.issued_before, Some(NOW), "those that there are");
        let request = read(r#"{"jti":"1"}"#).unwrap();
        assert_eq!(request.what, Revoked::Token(TokenId::new("1").unwrap()));
        assert_eq!(request.issued_before, None);
        let both =
            r#"{"user":"alice","jti":"1","reason":"lost phone","issued_before":1700000000.5}"#;
        let request = read(both).unwrap();
        assert!(matches!(request.what, Revoked::TokenOf(..)));
        assert_eq!(request.issued_before, Some(1_700_000_000_500));
        assert_eq!(request.reason.as_deref(), Some("lost phone"));
        let text = r#"{"user":"alice","issued_before":"2026-01-01T01:00:00+01:00"}"#;
        assert_eq!(read(text).unwrap().issued_before, Some(1_767_225_600_000));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let long = format!(r#"{{"user":"a","reason":"{}"}}"#, "x".repeat(256));
        for (body, pointer, told) in [
            ("{}", "/user", "user is missing"),
            (r#"{"user":null}"#, "/user", "user is missing"),
            (r#"{"user":""}"#, "/user", "1 to 255 bytes"),
            (r#"{"user":7}"#, "/user", "must be a string"),
            (r#"{"jti":""}"#, "/jti", "1 to 255 bytes"),
            (
                r#"{"user":"a","issued_before":"today"}"#,
                "/issued_before",
                "must be a time",
            ),
            (
                r#"{"user":"a","issued_before":-1}"#,
                "/issued_before",
                "must be a time",
            ),
            (
                r#"{"user":"a","issued_before":1700000000000}"#,
                "/issued_before",
                "must be a time",
            ),
            (
                r#"{"user":"a","issued_before":1800000031}"#,
                "/issued_before",
                "lies ahead",
            ),
            (
                r#"{"user":"a","expires_at":1799999999}"#,
                "/expires_at",
                "has passed",
            ),
            (
                r#"{"user":"a","users":["b"]}"#,
                "/users",
                "known are user, jti",
            ),
            (&long, "/reason", "at most 255 bytes"),
        ] {
            let errors = refused(body);
            assert_eq!(errors.len(), 1, "{body}: {errors:?}");
            assert_eq!(errors[0].0, pointer, "{body}");
            assert!(errors[0].1.contains(told), "{body}: {errors:?}");
        }
        // Within what clocks may differ by.
        assert!(read(r#"{"user":"a","issued_before":1800000029}"#).is_ok());
    }

    #[test]
    fn a_revocation_lasts_as_long_as_its_tokens_could() {
        let until = |body: &str, change: &dyn Fn(&mut AuthSettings)| {
            let mut auth = Settings::default().auth;
            auth.issuers = vec![IssuerSettings::hs256("test", &"s".repeat(32))];
            change(&mut auth);
            let credentials = auth.credentials().unwrap();
            let order = revoke_order(read(body).unwrap(), "ops", NOW, &auth, &credentials);
            assert_eq!(
                (order.most, &*order.note.by, order.note.at),
                (10_000, "ops", NOW)
            );
            order.revocation.until - NOW
        };
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let user = r#"{"user":"alice"}"#;
        // What clocks may differ by: when it was issued, in how long it lasts, and when it is read.
        let clocks = 3 * 30_000;
        assert_eq!(until(user, &|_| ()), 30 * 24 * HOUR + clocks);
        let one_for_all = |auth: &mut AuthSettings| auth.max_lifetime = hours(1);
        assert_eq!(until(user, &one_for_all), HOUR + clocks);
        let one_longer = |auth: &mut AuthSettings| {
            auth.max_lifetime = hours(1);
            auth.issuers[0].max_lifetime = Some(hours(2));
        };
        assert_eq!(until(user, &one_longer), 2 * HOUR + clocks);
        let one_without = |auth: &mut AuthSettings| {
            auth.max_lifetime = hours(1);
            auth.issuers[0].max_lifetime = Some(Duration::ZERO);
        };
        assert_eq!(until(user, &one_without), 30 * 24 * HOUR + clocks);
        // The gateways may know issuers that this service does not.
        let of_services = |auth: &mut AuthSettings| {
            auth.max_lifetime = hours(1);
            let issuer = &mut auth.issuers[0];
            issuer.scopes = Some(vec![Scope::Send]);
            issuer.issuer = Some("i".to_owned());
            issuer.audience = Some("a".to_owned());
        };
        assert_eq!(until(user, &of_services), 30 * 24 * HOUR + clocks);
        let told = format!(r#"{{"jti":"1","expires_at":{}}}"#, NOW / 1000 + 60);
        // Of an end that is told, what the reader's may differ by is enough.
        assert_eq!(until(&told, &|_| ()), 60_000 + 30_000);
    }
}
