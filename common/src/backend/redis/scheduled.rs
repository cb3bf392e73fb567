//! What waits for its time: kept beside the inbox of its user, and given to that when it is due.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use redis::Value;
use tokio::time::{error::Elapsed, timeout};

use super::{
    accepting::{millis, nonce, seconds},
    calls::{self, Cancel, Fire, ReadAgenda, TakeDue, number, word},
    reply::Reply,
    shared::Shared,
    store::RedisBackend,
    version,
};
use crate::{
    backend::{
        Agenda, Awaited, BackendError, Cancellation, Due, FARTHEST_AHEAD, Fired, LATEST_PAST,
        LeftReason, PAGE_BYTES, Place, Schedule, SendOrder, Sent, Waiting,
        schedule::{TAKEN_AT_ONCE, TAKEN_FOR, TRIED_AGAIN},
    },
    ids::{Millis, NotificationId, UserId},
};

/// A primary that takes longer to say what is due is passed over: the others' notifications must not wait for it.
const LOOKED_FOR: Duration = Duration::from_millis(500);

impl Shared {
    /// Keeps a notification until it is due.
    pub(super) async fn schedule(
        &self,
        order: &SendOrder,
        due: Millis,
    ) -> Result<Sent, BackendError> {
        let keys = self.keys.user(&order.user);
        let dedup = self.keys.user_dedup(&order.user, &order.idempotency.key);
        let schedule = calls::Schedule {
            user: &keys.user,
            presence: &keys.presence,
            dedup: &dedup,
            scheduled: &keys.scheduled,
            waiting: &keys.waiting,
            due: &keys.due,
            user_name: word(order.user.as_str()),
            id: number(order.id),
            due_ms: number(due),
            ttl_ms: millis(order.ttl.min(self.options.limits.inbox_ttl)),
            most: number(self.options.limits.scheduled),
            late_ms: millis(LATEST_PAST),
            ahead_ms: millis(FARTHEST_AHEAD),
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
        let value = self.traced(trace, keys.partition, schedule).await?;
        let mut reply = Reply::new(value)?;
        let outcome = reply.text()?;
        match outcome.as_str() {
            "mismatch" => return Err(BackendError::IdempotencyMismatch),
            "many" => return Err(BackendError::TooManyScheduled),
            "past" | "far" => return Err(BackendError::NotThen),
            _ => {}
        }
        let due = reply.parse()?;
        let places = reply.texts()?;
        Ok(Sent {
            cursor: None,
            due: Some(due),
            devices: self.count_devices(&places),
            user_seen: reply.flag()?,
            repeated: outcome != "ok",
            former: false,
        })
    }

    /// The partitions in which something is due, as far as each primary tells.
    async fn partitions_due(&self) -> (Vec<u16>, Option<BackendError>) {
        let now = self.clock.now();
        let topology = self.link.topology().borrow().clone();
        let looks = topology.primaries().iter().filter_map(|primary| {
            let partitions = topology.owned_by(primary);
            let first = *partitions.first()?;
            let mut pipeline = redis::pipe();
            for partition in &partitions {
                let look = pipeline.cmd("ZRANGEBYSCORE");
                look.arg(self.keys.due(*partition)).arg("-inf").arg(now);
                look.arg("LIMIT").arg(0).arg(1);
            }
            Some(async move {
                let looking = self.link.pipeline::<Vec<Vec<Value>>>(first, &pipeline);
                let found = timeout(LOOKED_FOR, looking).await.map_err(late)??;
                let found = partitions.into_iter().zip(found);
                let due = found.filter(|(_, users)| !users.is_empty());
                Ok::<_, BackendError>(due.map(|(partition, _)| partition).collect::<Vec<_>>())
            })
        });
        let (mut partitions, mut failure) = (Vec::new(), None);
        for looked in join_all(looks).await {
            match looked {
                Ok(due) => partitions.extend(due),
                Err(error) => failure = Some(error),
            }
        }
        (partitions, failure)
    }

    async fn take_due_of(&self, partition: u16) -> Result<Vec<UserId>, BackendError> {
        let due = self.keys.due(partition);
        let call = TakeDue {
            due: &due,
            most: number(TAKEN_AT_ONCE),
            for_ms: millis(TAKEN_FOR),
        };
        let mut taken = Reply::new(Value::Array(vec![self.call(partition, call).await?]))?;
        let users = taken.texts()?.into_iter();
        // What is no user is of nobody's making here.
        Ok(users.filter_map(|user| UserId::new(&user).ok()).collect())
    }
}

#[async_trait]
impl Schedule for RedisBackend {
    async fn agenda(
        &self,
        user: &UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Agenda, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = ReadAgenda {
            scheduled: &keys.scheduled,
            waiting: &keys.waiting,
            after_ms: number(after.map_or(0, |place| place.due)),
            after_id: after.map(|place| number(place.id)).unwrap_or_default(),
            limit: number(limit),
            bytes: number(PAGE_BYTES),
        };
        let value = self.shared.read(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        let records = reply.texts()?.into_iter();
        Ok(Agenda {
            waiting: records.map(read_record).collect::<Result<_, _>>()?,
            more: reply.flag()?,
        })
    }

    async fn awaited(&self, user: &UserId, id: NotificationId) -> Result<Awaited, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = calls::Awaited {
            left: &keys.left,
            scheduled: &keys.scheduled,
            id: number(id),
        };
        let value = self.shared.read(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        let what = reply.text()?;
        if what == "waiting" {
            return Ok(Awaited::Waiting(Box::new(read_record(reply.text()?)?)));
        }
        Ok(LeftReason::of_word(&what).map_or(Awaited::Gone, Awaited::Left))
    }

    async fn cancel(
        &self,
        user: &UserId,
        id: NotificationId,
    ) -> Result<Cancellation, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = Cancel {
            left: &keys.left,
            scheduled: &keys.scheduled,
            waiting: &keys.waiting,
            due: &keys.due,
            user_name: word(user.as_str()),
            id: number(id),
            life_s: number(self.shared.life_s()),
        };
        let value = self.shared.commit(keys.partition, call).await?;
        Ok(match Reply::new(value)?.text()?.as_str() {
            "ok" => Cancellation::Done,
            "gone" => Cancellation::Gone,
            _ => Cancellation::Left,
        })
    }

    async fn take_due(&self) -> Result<Due, BackendError> {
        let (partitions, mut failure) = self.shared.partitions_due().await;
        let takes = partitions
            .into_iter()
            .map(|partition| self.shared.take_due_of(partition));
        let mut due = Due::default();
        for taken in join_all(takes).await {
            match taken {
                Ok(users) => {
                    due.more |= users.len() >= TAKEN_AT_ONCE;
                    due.users.extend(users);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if due.users.is_empty() => Err(error),
            _ => Ok(due),
        }
    }

    async fn fire(&self, user: &UserId) -> Result<Fired, BackendError> {
        let shared = &self.shared;
        let limits = &shared.options.limits;
        let keys = shared.keys.user(user);
        let call = Fire {
            inbox: &keys.inbox,
            user: &keys.user,
            left: &keys.left,
            presence: &keys.presence,
            buried: &keys.buried,
            collapse: &keys.collapse,
            scheduled: &keys.scheduled,
            waiting: &keys.waiting,
            due: &keys.due,
            user_name: word(user.as_str()),
            nonce: nonce(),
            max: number(limits.inbox_max),
            keep: number(limits.inbox_keep),
            most_devices: number(limits.devices),
            device_ttl_s: number(limits.device_ttl.as_secs()),
            life_s: number(shared.life_s()),
            gateway_channel: shared.keys.gateway_channel_prefix(keys.partition).into(),
            again_ms: millis(TRIED_AGAIN),
        };
        let value = shared.commit(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        let what = reply.text()?;
        let (due, now): (Millis, Millis) = (reply.parse()?, reply.parse()?);
        let places = reply.texts()?;
        let more = reply.flag()?;
        Ok(match what.as_str() {
            "ok" => Fired::Done {
                lag: Duration::from_millis(u64::try_from(now - due).unwrap_or_default()),
                devices: shared.count_devices(&places),
                more,
            },
            "expired" => Fired::Expired { more },
            "full" => Fired::Full,
            _ => Fired::None,
        })
    }
}

fn late(_: Elapsed) -> BackendError {
    BackendError::Unavailable("a primary does not say in time what is due".to_owned())
}

/// `1|id|due|accepted|ttl|hash|collapse key|span|body`
fn read_record(text: String) -> Result<Waiting, BackendError> {
    let read = |text: &str| {
        let mut parts = text.splitn(9, '|');
        if !version::is_readable(parts.next()?) {
            return None;
        }
        let (id, due, accepted_at) = (parts.next()?, parts.next()?, parts.next()?);
        let ttl = parts.next()?.parse().ok()?;
        let key = parts.nth(1)?;
        Some(Waiting {
            id: id.parse().ok()?,
            due: due.parse().ok()?,
            accepted_at: accepted_at.parse().ok()?,
            ttl: Duration::from_millis(ttl),
            collapse_key: match key {
                "" => None,
                key => Some(key.parse().ok()?),
            },
            body: Bytes::copy_from_slice(parts.nth(1)?.as_bytes()),
        })
    };
    read(&text).ok_or_else(|| {
        BackendError::Unexpected("what waits there is of another version".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_read_as_the_library_writes_it() {
        let id = "018f4e6e-0000-7000-8000-000000000001";
        let text = format!(r#"1|{id}|30|10|2000|f00|order-1|00-1-2-01|{{"a":"|"}}"#);
        let waiting = read_record(text).unwrap();
        assert_eq!(waiting.id.to_string(), id);
        assert_eq!((waiting.due, waiting.accepted_at), (30, 10));
        assert_eq!(
            (waiting.expires_at(), &*waiting.body),
            (2_030, br#"{"a":"|"}"#.as_slice())
        );
        assert_eq!(waiting.collapse_key.unwrap().as_str(), "order-1");
        let plain = read_record(format!("1|{id}|30|10|2000|-|||{{}}")).unwrap();
        assert_eq!(plain.collapse_key, None);
        for text in [
            String::new(),
            format!("9|{id}|30|10|2000|-|||{{}}"),
            format!("1|{id}|30|10|2000|-||"),
            "1|x|30|10|2000|-||{}".to_owned(),
        ] {
            assert!(read_record(text.clone()).is_err(), "{text}");
        }
    }
}
