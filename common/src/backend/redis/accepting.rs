//! Accepting a notification: one call, which appends and hints.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::{
    reply::Reply,
    store::{Core, number, word},
    version::PROTOCOL,
};
use crate::{
    backend::{BackendError, PublishOrder, Published, SendOrder, Sent},
    ids::Cursor,
    telemetry::spans::Trace,
};

impl Core {
    pub(super) async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        let limits = &self.options.limits;
        let keys = self.keys.user(&order.user);
        let dedup = self.keys.user_dedup(&order.user, &order.idempotency.key);
        let former = order.idempotency.former.as_ref();
        let former = former.map(|former| self.keys.user_dedup(&order.user, &former.key));
        let mut args = vec![
            word(order.user.as_str()),
            number(order.id),
            nonce(),
            millis(order.ttl.min(limits.inbox_ttl)),
            number(limits.inbox_max),
            number(limits.inbox_keep),
            number(limits.devices),
            number(limits.device_ttl.as_secs()),
            number(self.life_s()),
            self.keys.gateway_channel_prefix(keys.partition).into(),
            word(&order.idempotency.body_hash),
            seconds(order.idempotency.ttl),
            order.body.clone(),
        ];
        args.extend(order.parent().map(number));
        let names = [
            &keys.inbox,
            &keys.user,
            &keys.left,
            &keys.presence,
            &dedup,
            &keys.buried,
        ];
        let names: Vec<&str> = names
            .into_iter()
            .chain(&former)
            .map(String::as_str)
            .collect();
        let trace = order.trace.as_ref();
        let value = self
            .traced(trace, keys.partition, "send", &names, &args)
            .await?;
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
        let mut args = vec![
            word(order.channel.as_str()),
            number(order.id),
            nonce(),
            millis(order.ttl.min(order.retention)),
            number(order.history.max(1)),
            seconds(order.retention),
            self.keys.channel_channel(&order.channel).into(),
            word(&order.idempotency.body_hash),
            seconds(order.idempotency.ttl),
            number(self.life_s()),
            order.body.clone(),
        ];
        args.extend(order.parent().map(number));
        let end = self.keys.log_end(&order.channel);
        let names = [&log, &dedup, &end];
        let names: Vec<&str> = names
            .into_iter()
            .chain(&former)
            .map(String::as_str)
            .collect();
        let trace = order.trace.as_ref();
        let value = self
            .traced(trace, partition, "publish", &names, &args)
            .await?;
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
    async fn traced(
        &self,
        trace: Option<&Trace>,
        partition: u16,
        function: &str,
        names: &[&str],
        args: &[Bytes],
    ) -> Result<Value, BackendError> {
        let mut call = trace.map(|trace| trace.call(format!("c{PROTOCOL}_{function}")));
        let answer = self.commit(partition, function, names, args).await;
        if let (Some(call), Err(error)) = (&mut call, &answer) {
            call.failed(in_a_word(error));
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

fn nonce() -> Bytes {
    number(rand::random_range(1..=u32::MAX))
}

fn millis(duration: Duration) -> Bytes {
    number(duration.as_millis())
}

/// At least a second, which is as fine as Redis' EX is.
fn seconds(duration: Duration) -> Bytes {
    number(duration.as_secs().max(1))
}
