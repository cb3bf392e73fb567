//! To whom a service may send, apart from what it may do.

use super::{ChannelPattern, glob};

/// Most globs of a list.
const MOST: usize = 256;
/// Longest glob of users, in bytes: as a user's id.
const MAX_USER_BYTES: usize = 255;

/// The users and channels that a service may send to; any, where nothing is said of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    users: Option<Box<[Box<str>]>>,
    channels: Option<Box<[ChannelPattern]>>,
}

/// What is wrong with a list of globs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongGlobs {
    #[error("is empty, so that nothing would be allowed")]
    Empty,
    #[error("has more than 256 entries")]
    TooMany,
    #[error("holds what is no name and no glob")]
    NoGlob,
}

impl Reach {
    /// With these globs.
    ///
    /// # Errors
    /// The list that is wrong, and how.
    pub(super) fn new<T: AsRef<str>>(
        users: Option<&[T]>,
        channels: Option<&[T]>,
    ) -> Result<Self, (&'static str, WrongGlobs)> {
        let user = |glob: &str| {
            let fits = (1..=MAX_USER_BYTES).contains(&glob.len());
            fits.then(|| Box::<str>::from(glob))
        };
        Ok(Self {
            users: globs(users, user).map_err(|wrong| ("users", wrong))?,
            channels: globs(channels, ChannelPattern::new).map_err(|wrong| ("channels", wrong))?,
        })
    }

    /// Whether it may send to this user.
    pub fn includes_user(&self, user: &str) -> bool {
        let Some(globs) = &self.users else {
            return true;
        };
        globs.iter().any(|it| glob::covers(it, user))
    }

    /// Whether no user is kept from it.
    pub fn includes_every_user(&self) -> bool {
        self.users.is_none()
    }

    /// Whether it may send to this channel.
    pub fn includes_channel(&self, channel: &str) -> bool {
        let Some(globs) = &self.channels else {
            return true;
        };
        globs.iter().any(|it| it.matches(channel))
    }

    /// Whether it may send to everyone: only who is kept from no user and no channel may.
    pub fn includes_everyone(&self) -> bool {
        self.users.is_none() && self.channels.is_none()
    }
}

fn globs<T: AsRef<str>, G>(
    texts: Option<&[T]>,
    read: impl Fn(&str) -> Option<G>,
) -> Result<Option<Box<[G]>>, WrongGlobs> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    if texts.is_empty() {
        return Err(WrongGlobs::Empty);
    }
    if texts.len() > MOST {
        return Err(WrongGlobs::TooMany);
    }
    let globs: Option<_> = texts.iter().map(|text| read(text.as_ref())).collect();
    globs.map(Some).ok_or(WrongGlobs::NoGlob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_all_that_is_reached() {
        let anyone = Reach::new::<&str>(None, None).unwrap();
        assert!(anyone.includes_user("alice") && anyone.includes_channel("orders"));
        assert!(anyone.includes_everyone());

        let shop = Reach::new(Some(&["shop-*", "auth0|7"][..]), Some(&["orders.*"][..])).unwrap();
        for (user, reached) in [
            ("shop-1", true),
            ("shop-", true),
            ("auth0|7", true),
            ("auth0|77", false),
            ("Shop-1", false),
            ("", false),
        ] {
            assert_eq!(shop.includes_user(user), reached, "{user}");
        }
        for (channel, reached) in [("orders.eu", true), ("orders", false), ("billing", false)] {
            assert_eq!(shop.includes_channel(channel), reached, "{channel}");
        }
        let users_alone = Reach::new(Some(&["*"][..]), None).unwrap();
        assert!(users_alone.includes_user("anyone") && users_alone.includes_channel("orders"));
        assert!(!users_alone.includes_everyone() && !shop.includes_everyone());
    }

    #[test]
    fn lists_that_allow_nothing_are_mistakes() {
        let many = vec!["a"; 257];
        let long = "u".repeat(256);
        for (users, channels, expected) in [
            (Some(&[][..]), None, ("users", WrongGlobs::Empty)),
            (None, Some(&[][..]), ("channels", WrongGlobs::Empty)),
            (Some(&many[..]), None, ("users", WrongGlobs::TooMany)),
            (Some(&[""][..]), None, ("users", WrongGlobs::NoGlob)),
            (Some(&[&*long][..]), None, ("users", WrongGlobs::NoGlob)),
            (None, Some(&["a b"][..]), ("channels", WrongGlobs::NoGlob)),
        ] {
            assert_eq!(Reach::new(users, channels), Err(expected));
        }
    }
}
