//! The subscriptions that outlive connections.

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;

use super::RedisMembership;
use crate::{
    backend::{
        BackendError, Claimed, Holder, Subscription, Subscriptions,
        redis::{
            calls::{Claim, Keep, number, word},
            keys::{kept_field, use_field},
            reply::Reply,
        },
    },
    ids::{ChannelName, SessionId, UserId},
};

#[async_trait]
impl Subscriptions for RedisMembership {
    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        subscription: &Subscription,
        asked: bool,
    ) -> Result<(), BackendError> {
        let Subscription { channel, cursor } = subscription;
        let (shared, limits) = (&self.lease.shared, &self.lease.shared.options.limits);
        let keys = shared.keys.user(user);
        let value = match holder {
            Holder::Device(_) | Holder::Assigned(_) => number(cursor),
            Holder::Session(_) => format!("{cursor}|0").into(),
        };
        let keep = Keep {
            subs: &keys.subs,
            field: kept_field(holder, channel).into(),
            value,
            channel: word(channel.as_str()),
            asked: match asked {
                true => number(shared.clock.now()),
                false => Bytes::new(),
            },
            most: number(limits.kept),
            restore_ms: number(limits.restore.as_millis()),
            life_s: number(shared.life_s()),
        };
        match shared.call(keys.partition, keep).await? {
            Value::Int(1) => Ok(()),
            _ => Err(BackendError::TooManyChannels),
        }
    }

    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError> {
        let keys = self.lease.shared.keys.user(user);
        let field = kept_field(holder, channel);
        let mut delete = redis::cmd("HDEL");
        delete.arg(&keys.subs).arg(field).arg(use_field(channel));
        self.lease
            .shared
            .link
            .call::<Value>(keys.partition, &delete)
            .await?;
        Ok(())
    }

    async fn claim_subscriptions(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Claimed, BackendError> {
        let shared = &self.lease.shared;
        let keys = shared.keys.user(user);
        let claim = Claim {
            subs: &keys.subs,
            session: word(session.as_str()),
            restore_ms: number(shared.options.limits.restore.as_millis()),
            life_s: number(shared.life_s()),
        };
        let value = shared.read(keys.partition, claim).await?;
        let mut reply = Reply::new(value)?;
        let others_hold = reply.flag()?;
        Ok(Claimed {
            others_hold,
            subscriptions: reply.subscriptions()?,
        })
    }
}
