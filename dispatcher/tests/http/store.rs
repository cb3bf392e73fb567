//! A store that answers as it is told and remembers what it was asked: for the failures that a real
//! one cannot be made to show on demand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use carillon_common::{
    backend::{
        Backend, BackendError, BusSink, Clock, Control, LiveGateway, Membership, Presence,
        PublishOrder, Published, SendOrder, Sent,
    },
    ids::{Cursor, GatewayId, Millis, UserId},
    telemetry::Collector,
};

pub const CURSOR: Cursor = Cursor { seq: 7, nonce: 9 };

pub const SENT: Sent = Sent {
    cursor: Some(CURSOR),
    devices: 2,
    user_seen: true,
    repeated: false,
    former: false,
};

pub enum Answer {
    Is(Sent),
    Fails(BackendError),
    /// Never comes.
    Silence,
}

#[derive(Default)]
pub struct ToldStore {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    answers: VecDeque<Answer>,
    sends: Vec<SendOrder>,
    publishes: Vec<PublishOrder>,
    gateways: Vec<LiveGateway>,
    words: Vec<(GatewayId, Control)>,
    reaps: Vec<(GatewayId, Millis)>,
}

impl ToldStore {
    /// Answers the next calls so, and all further ones with [`SENT`].
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.told().answers = answers.into_iter().collect();
    }

    pub fn sends(&self) -> Vec<SendOrder> {
        self.told().sends.clone()
    }

    pub fn publishes(&self) -> Vec<PublishOrder> {
        self.told().publishes.clone()
    }

    /// These have a lease.
    pub fn has_gateways(&self, gateways: &[(&str, u64, u64)]) {
        let live = |(name, generation, users): &(&str, u64, u64)| LiveGateway {
            name: name.parse().unwrap(),
            generation: *generation,
            users: *users,
            draining: false,
            accepting: true,
        };
        self.told().gateways = gateways.iter().map(live).collect();
    }

    /// This one of them drains.
    pub fn drains(&self, gateway: &str) {
        for live in &mut self.told().gateways {
            live.draining |= live.name.as_str() == gateway;
            live.accepting &= live.name.as_str() != gateway;
        }
    }

    /// What was left for gateways.
    pub fn words(&self) -> Vec<(GatewayId, Control)> {
        self.told().words.clone()
    }

    /// Which gateways were reaped, until when.
    pub fn reaps(&self) -> Vec<(GatewayId, Millis)> {
        self.told().reaps.clone()
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Result<Sent, BackendError> {
        let answer = self.told().answers.pop_front();
        match answer {
            None => Ok(SENT),
            Some(Answer::Is(sent)) => Ok(sent),
            Some(Answer::Fails(error)) => Err(error),
            Some(Answer::Silence) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Backend for ToldStore {
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        self.told().sends.push(order.clone());
        self.next().await
    }

    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        self.told().publishes.push(order.clone());
        let sent = self.next().await?;
        Ok(Published {
            cursor: sent.cursor.unwrap_or(CURSOR),
            repeated: sent.repeated,
            former: sent.former,
        })
    }

    async fn online_count(&self) -> Result<u64, BackendError> {
        self.next().await.map(|sent| sent.devices.into())
    }

    async fn presence(&self, _: &UserId) -> Result<Vec<Presence>, BackendError> {
        Ok(Vec::new())
    }

    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        let word = (gateway.clone(), control.clone());
        self.told().words.push(word);
        self.next().await.map(drop)
    }

    async fn hold(&self, _: &str, _: &str, _: Duration) -> Result<bool, BackendError> {
        Ok(true)
    }

    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError> {
        Ok(self.told().gateways.clone())
    }

    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError> {
        self.told().reaps.push((gateway.clone(), until));
        self.next().await.map(|_| true)
    }

    async fn join(
        &self,
        _: GatewayId,
        _: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError> {
        Err(BackendError::Unavailable("no gateways here".to_owned()))
    }

    fn clock(&self) -> Clock {
        Clock::default()
    }

    fn degraded(&self) -> Vec<String> {
        Vec::new()
    }

    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        Vec::new()
    }
}
