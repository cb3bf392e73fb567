//! What is kept about tokens, as both services use it.

use async_trait::async_trait;

use super::{revoked, store::RedisBackend, tickets};
use crate::{
    auth::{Claims, Revocations, Revoked, TicketHash},
    backend::{BackendError, Listed, RevokeOrder, TicketOrder, Tokens},
};

#[async_trait]
impl Tokens for RedisBackend {
    fn revocations(&self) -> Revocations {
        self.shared.revoked.revocations.clone()
    }

    async fn revoke(&self, order: &RevokeOrder) -> Result<(), BackendError> {
        revoked::revoke(&self.shared, order).await
    }

    async fn take_back(&self, what: &Revoked) -> Result<bool, BackendError> {
        revoked::take_back(&self.shared, what).await
    }

    async fn list_revocations(
        &self,
        after: Option<&Revoked>,
        most: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        revoked::list(&self.shared, after, most).await
    }

    async fn put_ticket(&self, order: &TicketOrder) -> Result<(), BackendError> {
        tickets::put(&self.shared, order).await
    }

    async fn redeem_ticket(&self, ticket: &TicketHash) -> Result<Option<Claims>, BackendError> {
        tickets::redeem(&self.shared, ticket).await
    }
}
