//! Tickets: for half a minute, and once, they stand for a token, so that none stands in a URL.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ChannelPattern, Claims, Secret, Warrant};

/// Start of every ticket, so that people and secret scanners recognise one.
const PREFIX: &str = "ct_";
/// Random bytes of a ticket.
const BYTES: usize = 32;
/// Length of a ticket: the prefix, and 32 bytes in base64url without padding.
const LENGTH: usize = PREFIX.len() + 43;

/// A ticket, which whoever has it may use. Only its hash is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket(Secret<String>);

impl Ticket {
    /// A new one.
    pub fn generate() -> Self {
        let bytes: [u8; BYTES] = rand::random();
        Self(Secret::new(format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(bytes)
        )))
    }

    /// The ticket that `text` is; `None` where it cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let random = text.strip_prefix(PREFIX)?;
        let is_random = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let valid = text.len() == LENGTH && random.bytes().all(is_random);
        valid.then(|| Self(Secret::new(text.to_owned())))
    }

    /// Its text; every use of this name is a place to look at twice.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What a store knows it by. The text has 256 random bits, so that its hash tells nothing of it, and to look it up
    /// takes no comparison of secrets.
    pub fn hash(&self) -> TicketHash {
        let hash: [u8; 32] = Sha256::digest(self.expose()).into();
        TicketHash(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What is kept of a ticket: its SHA-256, 64 hex digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TicketHash(String);

impl TicketHash {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHash(…)")
    }
}

/// The layout of [`Kept`]. One that is not known is no ticket: its client asks for another.
const LAYOUT: u8 = 1;

/// What a store keeps for a ticket: the claims that it stands for.
#[derive(Serialize, Deserialize)]
struct Kept {
    v: u8,
    sub: Box<str>,
    exp_ms: i64,
    iat_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warrant: Option<Warrant>,
}

impl Claims {
    /// As a store keeps them for a ticket.
    pub fn to_kept(&self) -> String {
        let kept = Kept {
            v: LAYOUT,
            sub: self.sub.clone(),
            exp_ms: self.exp_ms,
            iat_ms: self.iat_ms,
            jti: self.jti.clone(),
            channels: self.channels.iter().map(|it| it.as_str().into()).collect(),
            warrant: self.warrant,
        };
        // A struct of texts and numbers: serde_json has nothing to refuse.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// What [`to_kept`](Self::to_kept) wrote; `None` where another version did, or a foreign hand.
    pub fn from_kept(text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(text).ok()?;
        let channels = kept.channels.iter().map(|it| ChannelPattern::new(it));
        let channels = channels.collect::<Option<_>>()?;
        (kept.v == LAYOUT).then_some(Self {
            sub: kept.sub,
            exp_ms: kept.exp_ms,
            iat_ms: kept.iat_ms,
            jti: kept.jti,
            channels,
            warrant: kept.warrant,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::UNDATED;

    #[test]
    fn a_ticket_is_known_by_its_looks_and_shows_itself_nowhere() {
        let ticket = Ticket::generate();
        assert_eq!(Ticket::new(ticket.expose()).as_ref(), Some(&ticket));
        assert_ne!(ticket, Ticket::generate());
        let shown = format!("{ticket:?} {:?}", ticket.hash());
        assert_eq!(shown, "Ticket(Secret(…)) TicketHash(…)");
        assert_eq!(ticket.hash().as_str().len(), 64);
        assert!(
            !ticket
                .hash()
                .as_str()
                .contains(&ticket.expose()[PREFIX.len()..])
        );
        let good = ticket.expose();
        for other in [
            "",
            "ct_",
            &good[..LENGTH - 1],
            &format!("{good}A"),
            &good.replacen("ct_", "ck_", 1),
            &good.replacen("ct_", "CT_", 1),
            &format!("{}.", &good[..LENGTH - 1]),
            &format!("{} ", &good[..LENGTH - 1]),
            "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        ] {
            assert_eq!(Ticket::new(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_kept_comes_back_whole() {
        let claims = Claims {
            sub: "alice".into(),
            exp_ms: 1_900_000_000_000,
            iat_ms: UNDATED,
            jti: Some("a\"b".into()),
            channels: [ChannelPattern::new("private:*").unwrap()].into(),
            warrant: Some(Warrant {
                key: u64::MAX,
                iss: 3,
                algorithm: jsonwebtoken::Algorithm::EdDSA,
            }),
        };
        assert_eq!(Claims::from_kept(&claims.to_kept()), Some(claims.clone()));
        let plain = Claims {
            jti: None,
            channels: [].into(),
            warrant: None,
            ..claims.clone()
        };
        assert_eq!(Claims::from_kept(&plain.to_kept()), Some(plain));
        let later = claims.to_kept().replacen("\"v\":1", "\"v\":2", 1);
        for other in [
            "",
            "{}",
            "null",
            &later,
            &claims.to_kept().replace("private:*", "a b"),
        ] {
            assert_eq!(Claims::from_kept(other), None, "{other}");
        }
    }
}
