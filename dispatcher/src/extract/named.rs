//! What a request's path names, percent-decoded and checked.

use std::{fmt, str::FromStr};

use axum::extract::{FromRequestParts, Path};
use carillon_common::ids::{ChannelName, Cursor, NotificationId, UserId};
use http::request::Parts;

use crate::error::ApiError;

/// The rule of every name.
const ENCODED: &str = "must be UTF-8, percent-encoded";

/// The user in a path.
pub(crate) struct UserInPath(pub(crate) UserId);

/// A user and a channel in a path; never that of broadcasts.
pub(crate) struct AssignmentInPath(pub(crate) UserId, pub(crate) ChannelName);

/// A user's notification in a path.
pub(crate) struct NotificationInPath(pub(crate) UserId, pub(crate) Which);

/// A user's notification in a path that waits for its time: by its identity, for it has no position yet.
pub(crate) struct ScheduledInPath(pub(crate) UserId, pub(crate) NotificationId);

/// How a notification is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// By its identity.
    Id(NotificationId),
    /// By its position.
    Cursor(Cursor),
}

/// The channel in a path; never that of broadcasts.
pub(crate) struct ChannelInPath(pub(crate) ChannelName);

impl<S: Send + Sync> FromRequestParts<S> for UserInPath {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(named(head, "user").await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ChannelInPath {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let channel = named(head, "channel").await?;
        not_everyone(channel).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AssignmentInPath {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (user, channel) = of_user(head).await?;
        let channel = not_everyone(read(&channel, "channel")?)?;
        Ok(Self(user, channel))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NotificationInPath {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (user, which) = of_user(head).await?;
        Ok(Self(user, read(&which, "notification")?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ScheduledInPath {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (user, id) = of_user(head).await?;
        let id = id
            .parse()
            .map_err(|_| refusal("notification", "must be a notification's id"))?;
        Ok(Self(user, id))
    }
}

/// The user in a path, and what of the user's.
async fn of_user(head: &mut Parts) -> Result<(UserId, String), ApiError> {
    let texts = Path::<(String, String)>::from_request_parts(head, &()).await;
    let Path((user, which)) = texts.map_err(|_| refusal("user", ENCODED))?;
    Ok((read(&user, "user")?, which))
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().map(Self::Id);
        id.or_else(|_| text.parse().map(Self::Cursor))
            .map_err(|_| "must be a notification's id, or a cursor as the send answered it")
    }
}

async fn named<T: FromStr<Err: fmt::Display>>(head: &mut Parts, what: &str) -> Result<T, ApiError> {
    let text = Path::<String>::from_request_parts(head, &()).await;
    let Ok(Path(text)) = text else {
        return Err(refusal(what, ENCODED));
    };
    read(&text, what)
}

fn read<T: FromStr<Err: fmt::Display>>(text: &str, what: &str) -> Result<T, ApiError> {
    text.parse().map_err(|rule| refusal(what, rule))
}

/// A channel that may be named in a path.
fn not_everyone(channel: ChannelName) -> Result<ChannelName, ApiError> {
    match channel.is_broadcast() {
        false => Ok(channel),
        true => Err(refusal("channel", "`*` is reserved")),
    }
}

fn refusal(what: &str, rule: impl fmt::Display) -> ApiError {
    ApiError::InvalidPath(format!("the {what} in the path: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_named_by_its_id_or_its_cursor() {
        let id = "018f4e6e-0000-7000-8000-000000000001";
        assert_eq!(id.parse(), Ok(Which::Id(id.parse().unwrap())));
        let cursor = Cursor { seq: 5, nonce: 9 };
        assert_eq!("5-9".parse(), Ok(Which::Cursor(cursor)));
        for text in ["", "5", "5-", "x-9", "018f4e6e", "5-9-1"] {
            assert!(text.parse::<Which>().is_err(), "{text}");
        }
    }
}
