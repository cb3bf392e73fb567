//! A sink that remembers what it hears.

use std::time::Duration;

use anyhow::{Result, bail};
use carillon_common::{
    backend::{BusEvent, BusSink},
    ids::{Cursor, UserId},
    notification::Frame,
};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// How many events one recorder holds; a case that is told more has gone wrong.
const MOST: usize = 100_000;

/// Remembers, in order, every event up to a bound.
#[derive(Default)]
pub struct Recorder {
    events: Mutex<Vec<BusEvent>>,
    news: Notify,
}

impl BusSink for Recorder {
    fn on_bus(&self, event: BusEvent) {
        let mut events = self.events.lock();
        if events.len() < MOST {
            events.push(event);
        }
        drop(events);
        self.news.notify_waiters();
    }
}

impl Recorder {
    /// What was heard so far.
    pub fn events(&self) -> Vec<BusEvent> {
        self.events.lock().clone()
    }

    /// Waits until what was heard satisfies `enough`, and returns it.
    ///
    /// # Errors
    /// When the deadline passes first; says what was heard.
    pub async fn wait_for(
        &self,
        enough: impl Fn(&[BusEvent]) -> bool,
        within: Duration,
    ) -> Result<Vec<BusEvent>> {
        let deadline = Instant::now() + within;
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let events = self.events();
            if enough(&events) {
                return Ok(events);
            }
            if timeout_at(deadline, news).await.is_err() {
                let last = &events[events.len().saturating_sub(5)..];
                bail!(
                    "not heard within {within:?}; of {} events the last: {last:?}",
                    events.len()
                );
            }
        }
    }

    /// Waits until `count` events that `pick` takes were heard, and returns what it made of them.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn heard<T>(
        &self,
        count: usize,
        pick: impl Fn(&BusEvent) -> Option<T>,
    ) -> Result<Vec<T>> {
        let picked = |events: &[BusEvent]| events.iter().filter_map(&pick).collect::<Vec<T>>();
        let events = self
            .wait_for(|events| picked(events).len() >= count, super::DEADLINE)
            .await?;
        Ok(picked(&events))
    }

    /// Waits for `count` of a user's stored notifications: position before, and frame.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn inbox(&self, user: &UserId, count: usize) -> Result<Vec<(Cursor, Frame)>> {
        self.heard(count, |event| match event {
            BusEvent::Inbox {
                user: whose,
                prev,
                frame,
            } if whose == user => Some((*prev, frame.clone())),
            _ => None,
        })
        .await
    }

    /// Waits for `count` of a channel's notifications: position before, and frame.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn channel(&self, name: &str, count: usize) -> Result<Vec<(Cursor, Frame)>> {
        self.heard(count, |event| match event {
            BusEvent::Channel {
                channel,
                prev,
                frame,
            } if channel.as_str() == name => Some((*prev, frame.clone())),
            _ => None,
        })
        .await
    }
}
