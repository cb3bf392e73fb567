//! The channels that a gateway follows.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Value;

use super::RedisMembership;
use crate::{
    backend::{
        BackendError, Channels, PAGE_BYTES, Page,
        redis::{
            calls::{Follow, ReadLog, number},
            reply::{self, Reply},
        },
    },
    ids::{ChannelName, Cursor},
};

impl RedisMembership {
    /// Where a channel's log stands; with `begins`, one that never had an entry begins here.
    async fn log_end(&self, channel: &ChannelName, begins: bool) -> Result<Cursor, BackendError> {
        let shared = &self.lease.shared;
        let partition = shared.keys.partition(channel.as_str());
        let follow = Follow {
            log: &shared.keys.log(channel),
            ending: &shared.keys.log_end(channel),
            life_s: number(shared.life_s()),
            begins: number(u8::from(begins)),
        };
        let value = shared.read(partition, follow).await?;
        Reply::new(Value::Array(vec![value]))?.parse()
    }
}

#[async_trait]
impl Channels for RedisMembership {
    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError> {
        let keys = &self.lease.shared.keys;
        self.lease
            .bus
            .subscribe(
                keys.partition(channel.as_str()),
                keys.channel_channel(channel),
            )
            .await?;
        self.log_end(channel, true).await
    }

    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError> {
        let keys = &self.lease.shared.keys;
        self.lease.bus.unsubscribe(
            keys.partition(channel.as_str()),
            keys.channel_channel(channel),
        );
        Ok(())
    }

    async fn log_ends(&self, channels: &[ChannelName]) -> Result<Vec<Cursor>, BackendError> {
        try_join_all(channels.iter().map(|channel| self.log_end(channel, false))).await
    }

    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        let shared = &self.lease.shared;
        let partition = shared.keys.partition(channel.as_str());
        let read = ReadLog {
            log: &shared.keys.log(channel),
            ending: &shared.keys.log_end(channel),
            after: number(after),
            limit: number(shared.options.limits.page),
            bytes: number(PAGE_BYTES),
            life_s: number(shared.life_s()),
        };
        let value = shared.read(partition, read).await?;
        reply::page(value)
    }
}
