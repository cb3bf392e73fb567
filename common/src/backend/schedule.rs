//! What waits for its time: notifications that were accepted to be delivered later.
//!
//! They stand beside the inbox of their user, so that one step takes one of them and appends it there. Only the store's
//! time says when that is, and whoever asks first does it, so that it happens once, however many ask.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;

use super::LeftReason;
use crate::ids::{CollapseKey, Millis, NotificationId, UserId};

/// How far ahead a notification may be due.
pub const FARTHEST_AHEAD: Duration = Duration::from_secs(30 * 86_400);

/// How long ago it may have been due when it is accepted: then it is delivered at once. Clocks differ, and requests take
/// their time.
pub const LATEST_PAST: Duration = Duration::from_secs(60);

/// How long whoever was told of a user for whom something is due has it alone. If nothing happens then, others are told.
pub(super) const TAKEN_FOR: Duration = Duration::from_millis(500);

/// When it is tried again where the inbox is full.
pub(super) const TRIED_AGAIN: Duration = Duration::from_secs(10);

/// Of each part of a store, how many users are told of at once for whom something is due.
pub(super) const TAKEN_AT_ONCE: usize = 16;

/// A notification that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its identity.
    pub id: NotificationId,
    /// When it is due.
    pub due: Millis,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// How long it may be delivered from then on.
    pub ttl: Duration,
    /// What of the user's it replaces then.
    pub collapse_key: Option<CollapseKey>,
    /// The JSON of [`crate::notification::Notification`].
    pub body: Bytes,
}

impl Waiting {
    /// Where it stands among those of its user.
    pub fn place(&self) -> Place {
        Place {
            due: self.due,
            id: self.id,
        }
    }

    /// From when on it is not delivered any more.
    pub fn expires_at(&self) -> Millis {
        let ttl = Millis::try_from(self.ttl.as_millis()).unwrap_or(Millis::MAX / 2);
        self.due.saturating_add(ttl)
    }
}

/// A place in the order in which a user's notifications are due, written `time_id`. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When what stands there is due.
    pub due: Millis,
    /// Which of those that are due at once it is.
    pub id: NotificationId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.due, self.id)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |(due, id): (&str, &str)| {
            let digits = (1..=16).contains(&due.len()) && due.bytes().all(|b| b.is_ascii_digit());
            let due = due.parse().ok().filter(|_| digits)?;
            let id = id.parse().ok()?;
            Some(Self { due, id })
        };
        text.split_once('_')
            .and_then(read)
            .ok_or("must be the `next` of the page before")
    }
}

/// A page of what waits for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    /// By when it is due.
    pub waiting: Vec<Waiting>,
    /// Whether there is more after these.
    pub more: bool,
}

/// What is known of a notification that was accepted for later, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// It waits.
    Waiting(Box<Waiting>),
    /// It never came into the inbox, and why; not known for ever.
    Left(LeftReason),
    /// Nothing is known: it came into the inbox, or never was.
    Gone,
}

/// What came of taking one back that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// It is delivered to nobody.
    Done,
    /// It had left before: taken back, or its time had passed.
    Left,
    /// Nothing of this id waits: it came into the inbox, or never was.
    Gone,
}

/// Users for whom something is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Nobody else is told of these for a moment.
    pub users: Vec<UserId>,
    /// Whether there may be others already.
    pub more: bool,
}

/// What became of the notification of a user's that was due first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// None was due, or somebody else was first.
    None,
    /// It is in the inbox.
    Done {
        /// How long after it was due.
        lag: Duration,
        /// Connected devices at that moment, on gateways whose lease held.
        devices: u32,
        /// Whether the next is due as well.
        more: bool,
    },
    /// Its time had passed before it could be delivered, which is noted.
    Expired {
        /// Whether the next is due as well.
        more: bool,
    },
    /// The inbox is full; it goes on waiting, and is tried again after a while.
    Full,
}

impl Fired {
    /// Whether the next of the user's is due as well.
    pub fn more(self) -> bool {
        match self {
            Self::Done { more, .. } | Self::Expired { more } => more,
            Self::None | Self::Full => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_is_written() {
        let place = Place {
            due: 1_767_225_600_123,
            id: "018f4e6e-0000-7000-8000-000000000001".parse().unwrap(),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in [
            "",
            "_",
            "1767225600123",
            "1767225600123_",
            "1767225600123_x",
            "-1_018f4e6e-0000-7000-8000-000000000001",
            "99999999999999999_018f4e6e-0000-7000-8000-000000000001",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_in_the_order_in_which_they_are_due() {
        let place = |due, id: u128| Place {
            due,
            id: NotificationId::from_u128(id),
        };
        assert!(place(1, 9) < place(2, 1) && place(2, 1) < place(2, 2));
    }
}
