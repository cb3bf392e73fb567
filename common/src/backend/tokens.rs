//! What a store keeps about tokens: which were revoked, and the tickets that stand for some.

use std::time::Duration;

use async_trait::async_trait;

use super::BackendError;
use crate::{
    auth::{Claims, Revocation, Revocations, Revoked, TicketHash},
    ids::{Millis, UserId},
};

/// A store's part about tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The revocations that are known in this process: all that there were when it began, and every later one about a
    /// second after it was accepted, or at once where a hint came. While the store is away, they stay.
    fn revocations(&self) -> Revocations;

    /// Has every process of the deployment know a revocation. What was revoked of the same tokens before stays revoked
    /// with it, so that to give the same order again changes nothing.
    ///
    /// # Errors
    /// [`BackendError::TooManyRevocations`], or a store failure.
    async fn revoke(&self, order: &RevokeOrder) -> Result<(), BackendError>;

    /// Takes a revocation back; answers whether it was in force.
    async fn take_back(&self, what: &Revoked) -> Result<bool, BackendError>;

    /// The revocations after this one, in their order: at most so many.
    async fn list_revocations(
        &self,
        after: Option<&Revoked>,
        most: usize,
    ) -> Result<Vec<Listed>, BackendError>;

    /// Keeps a ticket.
    ///
    /// # Errors
    /// [`BackendError::TooManyTickets`], or a store failure.
    async fn put_ticket(&self, order: &TicketOrder) -> Result<(), BackendError>;

    /// What a ticket stands for, once: it is gone then. `None`: it is not known (any more).
    async fn redeem_ticket(&self, ticket: &TicketHash) -> Result<Option<Claims>, BackendError>;
}

/// A revocation to be accepted.
#[derive(Debug, Clone)]
pub struct RevokeOrder {
    /// Which tokens, and for how long.
    pub revocation: Revocation,
    /// What is told of it.
    pub note: Note,
    /// How many revocations there may be.
    pub most: usize,
}

/// What is told of a revocation, to people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// When it was accepted.
    pub at: Millis,
    /// The name of the key by which.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A revocation, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which tokens, and for how long.
    pub revocation: Revocation,
    /// What is told of it; none where the store has lost that.
    pub note: Option<Note>,
}

/// A ticket to be kept.
#[derive(Debug, Clone)]
pub struct TicketOrder {
    /// The ticket.
    pub ticket: TicketHash,
    /// Whose it is, who may have so many at a time.
    pub user: UserId,
    /// What it stands for.
    pub claims: Claims,
    /// For how long.
    pub ttl: Duration,
    /// How many the user may have.
    pub most: usize,
}
