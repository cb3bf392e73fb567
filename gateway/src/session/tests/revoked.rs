//! A token ends with the key that it is signed with.

use carillon_common::{
    auth::{Revocation, Revocations, Revoked},
    ids::TokenId,
    settings::AuthSettings,
};

use super::*;

const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn second() -> Duration {
    Duration::from_secs(1)
}

impl Desk {
    /// These are the secrets of issuers from now on.
    fn know(&mut self, secrets: &[&str]) {
        let auth = AuthSettings {
            issuers: (secrets.iter())
                .map(|it| IssuerSettings::hs256("test", it))
                .collect(),
            ..self.session.rules.settings.auth.clone()
        };
        let keyring = &self.session.rules.keyring;
        keyring.replace(auth.credentials().unwrap());
    }

    fn revoked(&mut self) -> Said {
        self.event(Event::Revocation(second()))
    }
}

fn signed_with(secret: &str) -> String {
    let new = carillon_common::auth::NewToken {
        sub: "alice",
        exp: WALL / 1_000 + 600,
        ..Default::default()
    };
    carillon_common::auth::mint(&IssuerSettings::hs256("test", secret), &new).unwrap()
}

#[test]
fn who_has_another_key_is_not_disturbed() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::live(dialect);
        desk.know(&[OTHER, SECRET]);
        assert!(desk.revoked().written.is_empty());
        assert_eq!(desk.wait(2 * second()).closed, None);
    }
}

#[test]
fn who_had_the_key_is_told_and_closed_as_when_a_token_ends() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::live(dialect);
        desk.know(&[OTHER]);
        let said = desk.revoked();
        if dialect.tells() {
            assert_eq!(said.types(), ["token_expiring"]);
            assert_eq!(said.written[0]["expires_at"], "2026-01-01T00:00:01.000Z");
        } else {
            assert!(said.written.is_empty());
        }
        // Told once, and not put off.
        assert!(
            desk.event(Event::Revocation(5 * second()))
                .written
                .is_empty()
        );
        let said = desk.wait(second() / 2);
        assert_eq!((said.closed, said.written.len()), (None, 0));
        assert_eq!(
            desk.session.next_deadline(desk.now),
            desk.now.mono + second() / 2
        );
        assert_eq!(
            desk.wait(second() / 2).closed,
            Some(CloseCode::TokenExpired)
        );
    }
}

#[test]
fn who_renews_it_in_time_stays_and_is_told_of_the_next_end() {
    let mut desk = Desk::live(Dialect::V1);
    desk.know(&[OTHER]);
    desk.revoked();
    let renew = |secret: &str| format!(r#"{{"type":"auth","token":"{}"}}"#, signed_with(secret));
    assert_eq!(
        desk.client(&renew(SECRET)).written[0]["code"],
        "token_refused"
    );
    assert_eq!(desk.client(&renew(OTHER)).types(), ["authenticated"]);
    assert_eq!(desk.wait(2 * second()).closed, None);
    assert!(desk.revoked().written.is_empty());
    desk.now.wall += 545_000;
    assert_eq!(desk.wait(Duration::ZERO).types(), ["token_expiring"]);
}

#[test]
fn a_key_that_comes_back_in_time_stands() {
    let mut desk = Desk::live(Dialect::Simple);
    desk.know(&[]);
    desk.revoked();
    desk.know(&[SECRET]);
    desk.revoked();
    assert_eq!(desk.wait(2 * second()).closed, None);
}

impl Desk {
    /// These are revoked from now on, as far as the gateway knows.
    fn revoke(&mut self, what: Revoked, issued_before: Option<Millis>) -> Said {
        let keyring = &self.session.rules.keyring;
        keyring.follow(Revocations::default());
        keyring.revocations().unwrap().learn([Revocation {
            what,
            issued_before,
            until: WALL + 3_600_000,
        }]);
        self.event(Event::Revoked)
    }
}

fn user(name: &str) -> Revoked {
    Revoked::User(UserId::new(name).unwrap())
}

#[test]
fn who_has_a_revoked_token_is_closed_at_once_with_the_reason() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::live(dialect);
        let said = desk.revoke(user("alice"), Some(WALL));
        assert_eq!(said.closed, Some(CloseCode::Revoked));
        assert!(said.written.is_empty(), "{:?}", said.written);
    }
    let code = CloseCode::Revoked;
    assert_eq!((code.code(), code.reason()), (4001, "token_revoked"));
}

#[test]
fn who_has_another_token_is_not_disturbed() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::live(dialect);
        let said = desk.revoke(user("bob"), None);
        assert_eq!((said.closed, said.written.len()), (None, 0));
        let token = Revoked::Token(TokenId::new("1").unwrap());
        assert_eq!(desk.revoke(token, None).closed, None);
    }
}

#[test]
fn a_token_that_is_renewed_is_judged_for_itself() {
    let mut desk = Desk::live(Dialect::V1);
    let frame = |iat: Millis, jti: &str| {
        let new = carillon_common::auth::NewToken {
            sub: "alice",
            exp: WALL / 1_000 + 600,
            iat: Some(iat / 1_000),
            jti: Some(jti),
            ..Default::default()
        };
        let issuer = IssuerSettings::hs256("test", SECRET);
        let token = carillon_common::auth::mint(&issuer, &new).unwrap();
        format!(r#"{{"type":"auth","token":"{token}"}}"#)
    };
    assert_eq!(
        desk.client(&frame(WALL - 5_000, "1")).types(),
        ["authenticated"]
    );
    assert_eq!(desk.revoke(user("alice"), Some(WALL - 5_000)).closed, None);
    let second = Revoked::Token(TokenId::new("2").unwrap());
    assert_eq!(desk.revoke(second, None).closed, None);
    for revoked in [frame(WALL - 6_000, "1"), frame(WALL, "2")] {
        let said = desk.client(&revoked);
        assert_eq!(said.written[0]["code"], "token_revoked");
        assert_eq!(said.written[0]["retryable"], false);
        assert_eq!(said.closed, None, "the old one is still good");
    }
    let first = Revoked::TokenOf(UserId::new("alice").unwrap(), TokenId::new("1").unwrap());
    assert_eq!(desk.revoke(first, None).closed, Some(CloseCode::Revoked));
}
