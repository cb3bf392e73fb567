//! The names everything else is keyed by, each checked once, where it enters the system.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a name was refused. The text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the rule of this kind of name.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

name!(
    /// A user, as named by the `sub` of its tokens. 1–255 bytes of any text.
    UserId, "a user id", "1 to 255 bytes long", |text| (1..=255).contains(&text.len())
);
impl UserId {
    /// The canary's name: it is in no count of users and of what they are given. The library in Redis knows it,
    /// too.
    pub const CANARY: &'static str = "$canary";

    /// Whether it is the canary.
    pub fn is_canary(&self) -> bool {
        self.as_str() == Self::CANARY
    }
}

name!(
    /// A token's own id (`jti`, RFC 7519 §4.1.7). 1–255 bytes of any text.
    TokenId, "a token's id", "1 to 255 bytes long", |text| (1..=255).contains(&text.len())
);
name!(
    /// A browser or app that names itself and keeps that name over reconnects.
    DeviceId, "a device", "1 to 64 characters of A-Z a-z 0-9 _ . : -",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(is_name_byte)
);
name!(
    /// One tab or app instance over its reconnects; a newer connection of it replaces the older.
    SessionId, "a session", "1 to 64 characters of A-Z a-z 0-9 _ . : -",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(is_name_byte)
);
name!(
    /// A channel: 1–255 of `[A-Za-z0-9_.:-]`.
    ChannelName, "a channel", "1 to 255 characters of A-Z a-z 0-9 _ . : -",
    |text| text == "*" || (1..=255).contains(&text.len()) && text.bytes().all(is_name_byte)
);
name!(
    /// What the newest notification stands for, so that it replaces the one before.
    CollapseKey, "a collapse key", "1 to 64 characters of A-Z a-z 0-9 _ . : -",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(is_name_byte)
);
name!(
    /// A gateway process, unique in the deployment.
    GatewayId, "a gateway name", "1 to 64 characters of A-Z a-z 0-9 _ . -",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte != b':' && is_name_byte(byte))
);

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-')
}

impl GatewayId {
    /// The gateway that runs in a pod: what the pod's name has of its own, the last two of its parts
    /// (`carillon-gateway-5d8f7c9b4d-abcde` is `5d8f7c9b4d-abcde`). Every connection's entry in the
    /// store holds the name, so that a long one costs memory.
    ///
    /// # Errors
    /// The name is not one that Kubernetes gives.
    pub fn of_pod(pod: &str) -> Result<Self, InvalidName> {
        let own = pod.rmatch_indices('-').nth(1).map_or(0, |(at, _)| at + 1);
        Self::new(&pod[own..])
    }
}

impl ChannelName {
    /// The reserved channel of broadcasts. Clients cannot name it.
    pub fn broadcast() -> Self {
        Self("*".into())
    }

    /// Whether this is the reserved channel of broadcasts.
    pub fn is_broadcast(&self) -> bool {
        self.as_str() == "*"
    }
}

/// A time: milliseconds since the Unix epoch, as Redis tells it.
pub type Millis = i64;

/// A notification's identity: UUIDv7, or UUIDv5 of (user, idempotency key). Opaque to clients.
pub type NotificationId = uuid::Uuid;

/// A position in a user's inbox or a channel's log, written `seq-nonce`.
///
/// `seq` is contiguous; `nonce` tells two histories with the same numbers apart (after a failover
/// that lost writes). Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cursor {
    /// Contiguous number, seeded with the time in milliseconds when there is no history.
    pub seq: u64,
    /// Random; makes two notifications that got the same number distinguishable.
    pub nonce: u32,
}

impl Cursor {
    /// Before everything.
    pub const ZERO: Self = Self { seq: 0, nonce: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.nonce)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        text.split_once('-')
            .filter(|(seq, nonce)| digits(seq) && digits(nonce))
            .and_then(|(seq, nonce)| {
                // 2^53 is as far as Redis' Lua counts exactly.
                let seq = seq.parse().ok().filter(|seq| *seq < 1 << 53)?;
                Some(Self {
                    seq,
                    nonce: nonce.parse().ok()?,
                })
            })
            .ok_or(InvalidName {
                what: "a cursor",
                rule: "one that this service gave out",
            })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_names_its_gateway() {
        for (pod, gateway) in [
            ("carillon-gateway-5d8f7c9b4d-abcde", "5d8f7c9b4d-abcde"),
            ("carillon-gateway-0", "gateway-0"),
            ("gateway-0", "gateway-0"),
            ("5d8f7c9b4d-abcde", "5d8f7c9b4d-abcde"),
            ("gateway", "gateway"),
        ] {
            assert_eq!(GatewayId::of_pod(pod).unwrap().as_str(), gateway);
        }
        assert!(GatewayId::of_pod("").is_err() && GatewayId::of_pod("a-b c-d").is_err());
    }

    #[test]
    fn a_cursor_is_read_back_as_written() {
        let cursor = Cursor {
            seq: 1_767_225_600_123,
            nonce: u32::MAX,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn forged_cursors_are_refused() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-2",
            "1-2-3",
            "1-4294967296",
            "9007199254740992-1",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_keep_their_rule() {
        assert!(UserId::new("Ålice {of} : the|pipes\n").is_ok());
        assert!(UserId::new("").is_err());
        assert!(UserId::new(&"x".repeat(256)).is_err());
        assert!(ChannelName::new("private:team-7.eu").is_ok());
        assert!(ChannelName::new("no spaces").is_err());
        assert!(DeviceId::new("~anonymous").is_err());
        assert!(GatewayId::new("a:b").is_err());
    }
}
