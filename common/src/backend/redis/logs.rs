//! The logs of channels, as gateways and dispatchers read them, and which channels are followed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Value, cmd};
use tokio::sync::Mutex;

use super::{
    calls::{Follow, ReadLog, number},
    link,
    reply::{self, Reply},
    shared::Shared,
};
use crate::{
    backend::{BackendError, PAGE_BYTES, Page},
    ids::{ChannelName, Cursor},
};

/// How long a list of the followed channels is good enough: to make one, Redis looks at all of them.
const LISTED_AGE: Duration = Duration::from_secs(1);

impl Shared {
    /// A page of a channel's log after `after`, of at most `limit` entries.
    pub(super) async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError> {
        let partition = self.keys.partition(channel.as_str());
        let read = ReadLog {
            log: &self.keys.log(channel),
            ending: &self.keys.log_end(channel),
            after: number(after),
            limit: number(limit.min(self.options.limits.page)),
            bytes: number(PAGE_BYTES),
            life_s: number(self.life_s()),
        };
        let value = self.read(partition, read).await?;
        reply::page(value)
    }

    /// Where a channel's log stands; with `begins`, one that never had an entry begins here.
    pub(super) async fn log_end(
        &self,
        channel: &ChannelName,
        begins: bool,
    ) -> Result<Cursor, BackendError> {
        let partition = self.keys.partition(channel.as_str());
        let follow = Follow {
            log: &self.keys.log(channel),
            ending: &self.keys.log_end(channel),
            life_s: number(self.life_s()),
            begins: number(u8::from(begins)),
        };
        let value = self.read(partition, follow).await?;
        Reply::new(Value::Array(vec![value]))?.parse()
    }

    /// The channels that somebody has subscribed to the hints of, by name.
    async fn subscribed(&self) -> Result<Arc<[ChannelName]>, BackendError> {
        if !self.link.topology().borrow().is_complete() {
            let why = "not every partition has a primary";
            return Err(BackendError::Unavailable(why.to_owned()));
        }
        let mut ask = cmd("PUBSUB");
        ask.arg("SHARDCHANNELS").arg(self.keys.channel_channels());
        let mut channels = Vec::new();
        for (_, answer) in self.link.each_primary(&ask).await {
            let names: Vec<String> = link::read(answer?)?;
            let of_channels = names.iter().filter_map(|name| self.keys.channel_of(name));
            channels.extend(of_channels.filter(|channel| !channel.is_broadcast()));
        }
        // While a slot moves, its channels may be at both of its nodes.
        channels.sort_unstable();
        channels.dedup();
        Ok(channels.into())
    }
}

/// The channels that are followed, as they were a moment ago.
#[derive(Debug, Default)]
pub(super) struct Followed(Mutex<Option<Listed>>);

#[derive(Debug)]
struct Listed {
    at: Instant,
    channels: Arc<[ChannelName]>,
}

impl Followed {
    /// The channels by name. However many ask, Redis is asked once in [`LISTED_AGE`].
    pub(super) async fn channels(
        &self,
        shared: &Shared,
    ) -> Result<Arc<[ChannelName]>, BackendError> {
        let mut listed = self.0.lock().await;
        if let Some(Listed { at, channels }) = &*listed
            && at.elapsed() < LISTED_AGE
        {
            return Ok(channels.clone());
        }
        let channels = shared.subscribed().await?;
        *listed = Some(Listed {
            at: Instant::now(),
            channels: channels.clone(),
        });
        Ok(channels)
    }
}
