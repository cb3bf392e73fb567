//! A token ends with the key that it is signed with.

use carillon_common::settings::AuthSettings;

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
