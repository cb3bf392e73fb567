//! Tickets: each is kept under its hash, and goes as it is read.

use redis::Value;

use super::shared::Shared;
use crate::{
    auth::{Claims, TicketHash},
    backend::{BackendError, TicketOrder},
    ids::UserId,
};

/// Keeps a ticket, unless its user has as many as may be.
pub(super) async fn put(shared: &Shared, order: &TicketOrder) -> Result<(), BackendError> {
    let ttl_ms = u64::try_from(order.ttl.as_millis()).unwrap_or(u64::MAX);
    let now = shared.clock.now();
    let (home, tickets) = shared.keys.tickets(&order.user);
    let ticket = order.ticket.as_str();
    let mut pipeline = redis::pipe();
    let lapsed = pipeline.cmd("ZREMRANGEBYSCORE").arg(&tickets);
    lapsed.arg("-inf").arg(now);
    let add = pipeline.cmd("ZADD").arg(&tickets);
    add.arg(now.saturating_add_unsigned(ttl_ms)).arg(ticket);
    let count = pipeline.cmd("ZCOUNT").arg(&tickets);
    count.arg("-inf").arg("+inf");
    let expire = pipeline.cmd("EXPIRE").arg(&tickets);
    expire.arg(order.ttl.as_secs() + 1);
    // Counted with itself, so that those who ask at once do not all pass.
    let (_, _, count, _): (Value, Value, usize, Value) =
        shared.link.pipeline(home, &pipeline).await?;
    if count > order.most {
        forget(shared, &order.user, ticket).await?;
        return Err(BackendError::TooManyTickets(order.ttl));
    }
    let (partition, key) = shared.keys.ticket(ticket);
    let mut set = redis::cmd("SET");
    set.arg(key).arg(order.claims.to_kept());
    set.arg("PX").arg(ttl_ms);
    shared.link.call::<Value>(partition, &set).await?;
    Ok(())
}

/// What a ticket stands for. It goes in the same step, so that of two who show it at once one gets it.
pub(super) async fn redeem(
    shared: &Shared,
    ticket: &TicketHash,
) -> Result<Option<Claims>, BackendError> {
    let (partition, key) = shared.keys.ticket(ticket.as_str());
    let mut take = redis::cmd("GETDEL");
    take.arg(key);
    let kept: Option<String> = shared.link.call(partition, &take).await?;
    let Some(claims) = kept.as_deref().and_then(Claims::from_kept) else {
        return Ok(None);
    };
    if let Ok(user) = UserId::new(&claims.sub)
        && let Err(error) = forget(shared, &user, ticket.as_str()).await
    {
        tracing::debug!(%error, "a ticket that was used counts as its user's until it lapses");
    }
    Ok(Some(claims))
}

/// No longer counts a ticket as its user's.
async fn forget(shared: &Shared, user: &UserId, ticket: &str) -> Result<(), BackendError> {
    let (home, tickets) = shared.keys.tickets(user);
    let mut remove = redis::cmd("ZREM");
    remove.arg(tickets).arg(ticket);
    shared.link.call::<Value>(home, &remove).await?;
    Ok(())
}
