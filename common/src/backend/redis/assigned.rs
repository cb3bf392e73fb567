//! The channels that services put users on.

use async_trait::async_trait;
use redis::{Value, cmd};

use super::{
    calls::{Assign, Unassign, number, word},
    reply::Reply,
    store::RedisBackend,
};
use crate::{
    backend::{Assignment, Assignments, BackendError},
    ids::{ChannelName, UserId},
};

#[async_trait]
impl Assignments for RedisBackend {
    async fn assign(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<Assignment, BackendError> {
        // Before the user is on it: what is published in between is owed as well.
        let end = self.shared.log_end(channel, true).await?;
        let keys = self.shared.keys.user(user);
        let call = Assign {
            assigned: &keys.assigned,
            subs: &keys.subs,
            presence: &keys.presence,
            user_name: word(user.as_str()),
            channel: word(channel.as_str()),
            cursor: number(end),
            most: number(self.shared.options.limits.assigned),
            gateway_channel: self
                .shared
                .keys
                .gateway_channel_prefix(keys.partition)
                .into(),
        };
        let value = self.shared.commit(keys.partition, call).await?;
        let mut reply = Reply::new(value)?;
        let what = reply.text()?;
        match what.as_str() {
            "full" => Err(BackendError::TooManyChannels),
            what => Ok(Assignment {
                since: reply.parse()?,
                is_new: what == "ok",
            }),
        }
    }

    async fn unassign(&self, user: &UserId, channel: &ChannelName) -> Result<bool, BackendError> {
        let keys = self.shared.keys.user(user);
        let call = Unassign {
            assigned: &keys.assigned,
            subs: &keys.subs,
            presence: &keys.presence,
            user_name: word(user.as_str()),
            channel: word(channel.as_str()),
            gateway_channel: self
                .shared
                .keys
                .gateway_channel_prefix(keys.partition)
                .into(),
        };
        match self.shared.commit(keys.partition, call).await? {
            Value::Int(was) => Ok(was != 0),
            other => Err(BackendError::Unexpected(format!("{other:?} in a reply"))),
        }
    }

    async fn assigned(&self, user: &UserId) -> Result<Vec<ChannelName>, BackendError> {
        let keys = self.shared.keys.user(user);
        let mut ask = cmd("HKEYS");
        ask.arg(&keys.assigned);
        let names: Vec<String> = self.shared.link.call(keys.partition, &ask).await?;
        let names = names.iter().filter_map(|name| ChannelName::new(name).ok());
        let mut channels: Vec<_> = names.collect();
        channels.sort_unstable();
        Ok(channels)
    }
}
