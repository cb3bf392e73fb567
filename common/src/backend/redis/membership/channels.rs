//! The channels that a gateway follows.

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::RedisMembership;
use crate::{
    backend::{BackendError, Channels, Page},
    ids::{ChannelName, Cursor},
};

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
        self.lease.shared.log_end(channel, true).await
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
        let shared = &self.lease.shared;
        try_join_all(channels.iter().map(|it| shared.log_end(it, false))).await
    }

    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        self.lease.shared.history(channel, after, u32::MAX).await
    }
}
