//! Which tokens a revocation is about, and until when.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::{Millis, TokenId, UserId};

/// Which tokens are revoked. A `sub` is a user's in a client's token, and the service's own in a service's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revoked {
    /// All with this `sub`.
    User(UserId),
    /// Those with this `jti`, whoever has them.
    Token(TokenId),
    /// Those with both.
    TokenOf(UserId, TokenId),
}

impl Revoked {
    /// Those with all that is given; `None` where nothing is.
    pub fn of(user: Option<UserId>, jti: Option<TokenId>) -> Option<Self> {
        match (user, jti) {
            (Some(user), Some(jti)) => Some(Self::TokenOf(user, jti)),
            (Some(user), None) => Some(Self::User(user)),
            (None, Some(jti)) => Some(Self::Token(jti)),
            (None, None) => None,
        }
    }

    /// The `sub`, where one is named.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) | Self::TokenOf(user, _) => Some(user),
            Self::Token(_) => None,
        }
    }

    /// The `jti`, where one is named.
    pub fn jti(&self) -> Option<&TokenId> {
        match self {
            Self::Token(jti) | Self::TokenOf(_, jti) => Some(jti),
            Self::User(_) => None,
        }
    }

    /// As a text, in which no two are the same: the user's length stands before it.
    pub fn encode(&self) -> String {
        match self {
            Self::User(user) => format!("u:{user}"),
            Self::Token(jti) => format!("j:{jti}"),
            Self::TokenOf(user, jti) => format!("b{}:{user}:{jti}", user.as_str().len()),
        }
    }

    /// What [`encode`](Self::encode) wrote.
    pub fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "u" => Some(Self::User(UserId::new(rest).ok()?)),
            "j" => Some(Self::Token(TokenId::new(rest).ok()?)),
            _ => {
                let length = kind.strip_prefix('b')?.parse().ok()?;
                let (user, jti) = (rest.get(..length)?, rest.get(length..)?);
                let jti = jti.strip_prefix(':')?;
                Some(Self::TokenOf(
                    UserId::new(user).ok()?,
                    TokenId::new(jti).ok()?,
                ))
            }
        }
    }

    /// Its name in a URL: of letters, digits, `-` and `_`.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.encode())
    }

    /// The one of this name.
    pub fn from_id(id: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
        Self::decode(&text)
    }
}

/// Tokens are refused that were accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub what: Revoked,
    /// Only those that were issued before (Unix time in ms); `None`: whenever.
    pub issued_before: Option<Millis>,
    /// When it lapses (Unix time in ms): none of them lasts longer.
    pub until: Millis,
}

impl Revocation {
    /// Whether it is about a token that was issued at `iat_ms`, as [`Claims::iat_ms`](super::Claims::iat_ms) has it.
    pub fn includes(&self, iat_ms: Millis) -> bool {
        self.issued_before.is_none_or(|before| iat_ms < before)
    }

    /// Both, of the same tokens, in one: whatever either of them refuses.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let before = self.issued_before.zip(other.issued_before);
        Self {
            what: self.what.clone(),
            issued_before: before.map(|(one, two)| one.max(two)),
            until: self.until.max(other.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::new(text).unwrap()
    }

    fn jti(text: &str) -> TokenId {
        TokenId::new(text).unwrap()
    }

    #[test]
    fn what_is_revoked_has_one_text_and_one_name() {
        let all = [
            Revoked::User(user("alice")),
            Revoked::User(user("a:b")),
            Revoked::Token(jti("alice")),
            Revoked::Token(jti("ü:1")),
            Revoked::TokenOf(user("a"), jti("b:c")),
            Revoked::TokenOf(user("a:b"), jti("c")),
            Revoked::TokenOf(user("é"), jti("é")),
        ];
        for what in &all {
            assert_eq!(Revoked::decode(&what.encode()).as_ref(), Some(what));
            assert_eq!(Revoked::from_id(&what.id()).as_ref(), Some(what));
            let same = all.iter().filter(|it| it.encode() == what.encode());
            assert_eq!(same.count(), 1, "{what:?}");
        }
    }

    #[test]
    fn what_names_nothing_is_nothing() {
        for text in [
            "", "u:", "x:a", "b:a:b", "b9:a:b", "b1:é:b", "b1:a", "b1:ab",
        ] {
            assert_eq!(Revoked::decode(text), None, "{text}");
        }
        for id in ["", "!", "dQ", "/w", "_w"] {
            assert_eq!(Revoked::from_id(id), None, "{id}");
        }
    }

    #[test]
    fn two_of_the_same_refuse_what_either_does() {
        let of = |issued_before, until| Revocation {
            what: Revoked::User(user("alice")),
            issued_before,
            until,
        };
        for (one, two, both) in [
            ((Some(5), 9), (Some(7), 8), (Some(7), 9)),
            ((None, 8), (Some(7), 9), (None, 9)),
            ((Some(7), 9), (None, 8), (None, 9)),
        ] {
            let (one, two) = (of(one.0, one.1), of(two.0, two.1));
            assert_eq!(one.and(&two), of(both.0, both.1));
        }
        assert!(of(Some(5), 9).includes(4) && !of(Some(5), 9).includes(5));
        assert!(of(Some(5), 9).includes(super::super::UNDATED));
        assert!(of(None, 9).includes(Millis::MAX));
    }
}
