//! Why a store did not do what it was asked.

use std::time::Duration;

use super::{AtStart, Fault};

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The inbox is full and no device has ever acked.
    #[error("the inbox holds its limit of unread notifications and no device has ever read any")]
    InboxFull,
    /// As many notifications wait for their time as may for one user.
    #[error("as many notifications wait for their time as may for one user (inbox.scheduled)")]
    TooManyScheduled,
    /// It is due too long ago, or too far ahead.
    #[error("a notification is due too long ago, or too far ahead")]
    NotThen,
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used before with another body")]
    IdempotencyMismatch,
    /// A newer connection holds the session.
    #[error("a newer connection took this session over")]
    Replaced,
    /// The user has as many connections as may be, on all gateways.
    #[error("the user has too many connections")]
    TooManyConnections,
    /// The user keeps as many subscriptions as may be.
    #[error("the user keeps too many subscriptions")]
    TooManyChannels,
    /// As many revocations as may be are in force.
    #[error("there are as many revocations as may be (auth.max_revocations)")]
    TooManyRevocations,
    /// The user has as many tickets as may be; some lapse within this time.
    #[error("the user has as many tickets as may be (auth.tickets_per_user)")]
    TooManyTickets(Duration),
    /// The store's own bound is reached (in-memory store).
    #[error("the store is full: {0}")]
    StoreFull(&'static str),
    /// Nothing was done.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// Nothing was done: the store is there, and refuses for a reason that somebody has to end.
    #[error("{0}")]
    Refused(Fault),
    /// The store refused a part of it, after it had begun: what was written before stays.
    #[error("refused after it had begun: {0}")]
    Partly(Fault),
    /// It may or may not have been done; the same order may be given again.
    #[error("the store did not confirm in time: {0}")]
    Unknown(String),
    /// The store answered what it should not: a defect, or a foreign hand in its data.
    #[error("the store gave an unexpected answer: {0}")]
    Unexpected(String),
}

impl BackendError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Refused(_)
                | Self::Partly(_)
                | Self::Unknown(_)
                | Self::StoreFull(_)
        )
    }

    /// Whether it may succeed in a moment, so that whoever waits for an answer can go on waiting.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unknown(_) => true,
            Self::Refused(fault) => fault.kind.passes(),
            _ => false,
        }
    }

    /// What a service that starts does about it.
    pub fn at_start(&self) -> AtStart {
        match self {
            Self::Refused(fault) | Self::Partly(fault) => fault.kind.at_start(),
            error if error.is_retryable() => AtStart::Wait,
            _ => AtStart::End,
        }
    }
}
