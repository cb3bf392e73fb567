//! Accepting a notification: one call, which appends and hints.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::{
    calls::{Call, Publish, Send, number, word},
    reply::Reply,
    shared::Shared,
    version::PROTOCOL,
};
use crate::{
    backend::{BackendError, PublishOrder, Published, SendOrder, Sent},
    ids::Cursor,
    telemetry::spans::Trace,
};

impl Shared {
    pub(super) async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        let limits = &self.options.limits;
        let keys = self.keys.user(&order.user);
        let dedup = self.keys.user_dedup(&order.user, &order.idempotency.key);
        let former = order.idempotency.former.as_ref();
        let former = former.map(|former| self.keys.user_dedup(&order.user, &former.key));
        let send = Send {
            inbox: &keys.inbox,
            user: &keys.user,
            left: &keys.left,
            presence: &keys.presence,
            dedup: &dedup,
            buried: &keys.buried,
            collapse: &keys.collapse,
            former: former.as_deref(),
            user_name: word(order.user.as_str()),
            id: number(order.id),
            nonce: nonce(),
            ttl_ms: millis(order.ttl.min(limits.inbox_ttl)),
            max: number(limits.inbox_max),
            keep: number(limits.inbox_keep),
            most_devices: number(limits.devices),
            device_ttl_s: number(limits.device_ttl.as_secs()),
            life_s: number(self.life_s()),
            gateway_channel: self.keys.gateway_channel_prefix(keys.partition).into(),
            hash: word(&order.idempotency.body_hash),
            dedup_s: seconds(order.idempotency.ttl),
            collapse_key: order
                .collapse_key
                .as_ref()
                .map_or_else(Bytes::new, |key| word(key.as_str())),
            body: order.body.clone(),
            span: order.parent().map(number).into_iter().collect(),
        };
        let trace = order.trace.as_ref();
        let value = self.traced(trace, keys.partition, send).await?;
        let mut reply = Reply::new(value)?;
        let outcome = reply.text()?;
        match outcome.as_str() {
            "full" => return Err(BackendError::InboxFull),
            "mismatch" => return Err(BackendError::IdempotencyMismatch),
            _ => {}
        }
        let cursor: Cursor = reply.parse()?;
        let places = reply.texts()?;
        Ok(Sent {
            cursor: (cursor != Cursor::ZERO).then_some(cursor),
            due: None,
            devices: self.count_devices(&places),
            user_seen: reply.flag()?,
            repeated: outcome != "ok",
            former: outcome == "former",
        })
    }

    pub(super) async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        let partition = self.keys.partition(order.channel.as_str());
        let log = self.keys.log(&order.channel);
        let dedup = self
            .keys
            .channel_dedup(&order.channel, &order.idempotency.key);
        let former = order.idempotency.former.as_ref();
        let former = former.map(|former| self.keys.channel_dedup(&order.channel, &former.key));
        let ending = self.keys.log_end(&order.channel);
        let publish = Publish {
            log: &log,
            dedup: &dedup,
            ending: &ending,
            former: former.as_deref(),
            channel: word(order.channel.as_str()),
            id: number(order.id),
            nonce: nonce(),
            ttl_ms: millis(order.ttl.min(order.retention)),
            most: number(order.history.max(1)),
            retention_s: seconds(order.retention),
            hint_channel: self.keys.channel_channel(&order.channel).into(),
            hash: word(&order.idempotency.body_hash),
            dedup_s: seconds(order.idempotency.ttl),
            life_s: number(self.life_s()),
            body: order.body.clone(),
            span: order.parent().map(number).into_iter().collect(),
        };
        let trace = order.trace.as_ref();
        let value = self.traced(trace, partition, publish).await?;
        let mut reply = Reply::new(value)?;
        match reply.text()?.as_str() {
            "mismatch" => Err(BackendError::IdempotencyMismatch),
            outcome => Ok(Published {
                repeated: outcome != "ok",
                former: outcome == "former",
                cursor: reply.parse()?,
            }),
        }
    }

    /// Calls a function that accepts something, with a span of its own where the request is traced.
    pub(super) async fn traced<'a, C: Call<'a>>(
        &self,
        trace: Option<&Trace>,
        partition: u16,
        call: C,
    ) -> Result<Value, BackendError> {
        let mut span = trace.map(|trace| trace.call(format!("c{PROTOCOL}_{}", C::FUNCTION)));
        let answer = self.commit(partition, call).await;
        if let (Some(span), Err(error)) = (&mut span, &answer) {
            span.failed(in_a_word(error));
        }
        answer
    }
}

fn in_a_word(error: &BackendError) -> &'static str {
    match error {
        BackendError::Unavailable(_) => "unavailable",
        BackendError::Unknown(_) => "unknown",
        BackendError::Refused(fault) | BackendError::Partly(fault) => fault.kind.as_str(),
        _ => "unexpected",
    }
}

pub(super) fn nonce() -> Bytes {
    number(rand::random_range(1..=u32::MAX))
}

pub(super) fn millis(duration: Duration) -> Bytes {
    number(duration.as_millis())
}

/// At least a second, which is as fine as Redis' EX is.
pub(super) fn seconds(duration: Duration) -> Bytes {
    number(duration.as_secs().max(1))
}
