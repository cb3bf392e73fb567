//! A store that answers as it is told and remembers what it was asked: for the failures that a real
//! one cannot be made to show on demand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use carillon_common::{
    auth::{Claims, Revocations, Revoked, TicketHash},
    backend::{
        AboutGateway, Agenda, Ask, Assignment, Assignments, Awaited, Backend, BackendError,
        BusSink, Cancellation, Clock, Control, Devices, Due, Fired, Inboxes, Lent, Listed,
        LiveGateway, Look, Membership, Page, Place, Presence, PublishOrder, Published, ReadMark,
        ReadState, Receipt, Retraction, RevokeOrder, RollCall, Rolls, Schedule, SendOrder, Sent,
        Sight, TicketOrder, Tokens, limits,
        memory::{MemoryBackend, MemoryBounds},
    },
    ids::{ChannelName, Cursor, GatewayId, Millis, NotificationId, UserId},
    settings::Settings,
    telemetry::Collector,
};

pub const CURSOR: Cursor = Cursor { seq: 7, nonce: 9 };

pub const SENT: Sent = Sent {
    cursor: Some(CURSOR),
    due: None,
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

pub struct ToldStore {
    told: Mutex<Told>,
    revocations: Revocations,
    /// What lends allowance, as a store does.
    lender: Arc<MemoryBackend>,
}

impl Default for ToldStore {
    fn default() -> Self {
        let limits = limits(&Settings::default());
        Self {
            told: Mutex::default(),
            revocations: Revocations::default(),
            lender: MemoryBackend::new(limits, MemoryBounds::default()),
        }
    }
}

#[derive(Default)]
struct Told {
    answers: VecDeque<Answer>,
    sends: Vec<SendOrder>,
    publishes: Vec<PublishOrder>,
    gateways: Vec<LiveGateway>,
    words: Vec<(GatewayId, Control)>,
    reaps: Vec<(GatewayId, Millis)>,
    present: Vec<Presence>,
    followed: Vec<ChannelName>,
    page: Option<Page>,
    histories: Vec<(ChannelName, Cursor, u32)>,
    rolls: Option<Rolls>,
    roll_calls: Vec<RollCall>,
    revokes: Vec<RevokeOrder>,
    tickets: Vec<TicketOrder>,
    assigned: Vec<(UserId, ChannelName, bool)>,
}

impl ToldStore {
    /// Everybody has these connections.
    pub fn has_present(&self, present: Vec<Presence>) {
        self.told().present = present;
    }

    /// These channels are followed.
    pub fn has_followed(&self, channels: &[&str]) {
        let channels = channels.iter().map(|name| name.parse().unwrap());
        self.told().followed = channels.collect();
    }

    /// Every log has this page.
    pub fn has_page(&self, page: Page) {
        self.told().page = Some(page);
    }

    /// Which logs were read, after what, and how much of them.
    pub fn histories(&self) -> Vec<(ChannelName, Cursor, u32)> {
        self.told().histories.clone()
    }

    /// Every roll call is answered so.
    pub fn has_rolls(&self, rolls: Rolls) {
        self.told().rolls = Some(rolls);
    }

    /// What gateways were asked.
    pub fn roll_calls(&self) -> Vec<RollCall> {
        self.told().roll_calls.clone()
    }

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
            about: None,
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

    /// This one of them tells of itself.
    pub fn tells(&self, gateway: &str, connections: u64, version: &str) {
        let mut told = self.told();
        let all = told.gateways.iter_mut();
        for live in all.filter(|live| live.name.as_str() == gateway) {
            live.about = Some(AboutGateway {
                connections,
                version: version.into(),
            });
        }
    }

    /// What was left for gateways.
    pub fn words(&self) -> Vec<(GatewayId, Control)> {
        self.told().words.clone()
    }

    /// Who was put on which channel, or taken off it, in order.
    pub fn assigned(&self) -> Vec<(UserId, ChannelName, bool)> {
        self.told().assigned.clone()
    }

    /// What was revoked.
    pub fn revokes(&self) -> Vec<RevokeOrder> {
        self.told().revokes.clone()
    }

    /// The tickets that were kept.
    pub fn tickets(&self) -> Vec<TicketOrder> {
        self.told().tickets.clone()
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
impl Inboxes for ToldStore {
    async fn look(&self, _: &UserId, _: &Look) -> Result<Option<Sight>, BackendError> {
        self.next().await?;
        Ok(Some(Sight {
            frames: Vec::new(),
            more: false,
            read: ReadState::default(),
        }))
    }

    async fn receipt(&self, _: &UserId, _: Cursor) -> Result<Option<Receipt>, BackendError> {
        self.next().await.map(|_| None)
    }

    async fn devices(&self, _: &UserId) -> Result<Devices, BackendError> {
        self.next().await.map(|sent| Devices {
            last: sent.cursor.unwrap_or(Cursor::ZERO),
            devices: Vec::new(),
        })
    }

    async fn retract(&self, _: &UserId, _: Cursor) -> Result<Retraction, BackendError> {
        self.next().await.map(|sent| Retraction::Done {
            devices: sent.devices,
        })
    }

    async fn erase(&self, _: &UserId) -> Result<bool, BackendError> {
        self.next().await.map(|_| true)
    }

    async fn mark_read(&self, _: &UserId, _: ReadMark) -> Result<Option<bool>, BackendError> {
        self.next().await.map(|sent| Some(!sent.repeated))
    }

    async fn unread(&self, _: &UserId) -> Result<u64, BackendError> {
        self.next().await.map(|sent| sent.devices.into())
    }
}

#[async_trait]
impl Assignments for ToldStore {
    async fn assign(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<Assignment, BackendError> {
        let sent = self.next().await?;
        let assigned = (user.clone(), channel.clone(), true);
        self.told().assigned.push(assigned);
        Ok(Assignment {
            since: CURSOR,
            is_new: !sent.repeated,
        })
    }

    async fn unassign(&self, user: &UserId, channel: &ChannelName) -> Result<bool, BackendError> {
        let sent = self.next().await?;
        let taken_off = (user.clone(), channel.clone(), false);
        self.told().assigned.push(taken_off);
        Ok(!sent.repeated)
    }

    async fn assigned(&self, user: &UserId) -> Result<Vec<ChannelName>, BackendError> {
        self.next().await?;
        let told = self.told();
        let of = told.assigned.iter().filter(|(whose, ..)| whose == user);
        Ok(of.map(|(_, channel, _)| channel.clone()).collect())
    }
}

#[async_trait]
impl Schedule for ToldStore {
    async fn agenda(&self, _: &UserId, _: Option<Place>, _: u32) -> Result<Agenda, BackendError> {
        self.next().await.map(|_| Agenda {
            waiting: Vec::new(),
            more: false,
        })
    }

    async fn awaited(&self, _: &UserId, _: NotificationId) -> Result<Awaited, BackendError> {
        Ok(Awaited::Gone)
    }

    async fn cancel(&self, _: &UserId, _: NotificationId) -> Result<Cancellation, BackendError> {
        self.next().await.map(|sent| match sent.repeated {
            true => Cancellation::Left,
            false => Cancellation::Done,
        })
    }

    async fn take_due(&self) -> Result<Due, BackendError> {
        Ok(Due::default())
    }

    async fn fire(&self, _: &UserId) -> Result<Fired, BackendError> {
        Ok(Fired::None)
    }
}

#[async_trait]
impl Tokens for ToldStore {
    fn revocations(&self) -> Revocations {
        self.revocations.clone()
    }

    async fn revoke(&self, order: &RevokeOrder) -> Result<(), BackendError> {
        self.told().revokes.push(order.clone());
        self.next().await?;
        self.revocations.learn([order.revocation.clone()]);
        Ok(())
    }

    async fn take_back(&self, what: &Revoked) -> Result<bool, BackendError> {
        self.next().await?;
        Ok(self.revocations.forget(what).is_some())
    }

    async fn list_revocations(
        &self,
        after: Option<&Revoked>,
        most: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        self.next().await?;
        let notes = self.told().revokes.clone();
        let note = |what: &Revoked| {
            let mut of = notes.iter().filter(|it| it.revocation.what == *what);
            of.next_back().map(|it| it.note.clone())
        };
        let page = self.revocations.page(after, most).into_iter();
        let listed = page.map(|revocation| Listed {
            note: note(&revocation.what),
            revocation,
        });
        Ok(listed.collect())
    }

    async fn put_ticket(&self, order: &TicketOrder) -> Result<(), BackendError> {
        self.told().tickets.push(order.clone());
        self.next().await.map(drop)
    }

    async fn redeem_ticket(&self, _: &TicketHash) -> Result<Option<Claims>, BackendError> {
        Ok(None)
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
        let present = self.told().present.clone();
        self.next().await.map(|_| present)
    }

    async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError> {
        let asked = (channel.clone(), after, limit);
        self.told().histories.push(asked);
        let page = self.told().page.clone();
        let none = || BackendError::Unexpected("no page".to_owned());
        self.next().await.and_then(|_| page.ok_or_else(none))
    }

    async fn followed(&self) -> Result<Arc<[ChannelName]>, BackendError> {
        let followed = self.told().followed.clone();
        self.next().await.map(|_| followed.into())
    }

    async fn roll_call(&self, call: &RollCall, _: Duration) -> Result<Rolls, BackendError> {
        self.told().roll_calls.push(call.clone());
        let rolls = self.told().rolls.clone();
        let none = || BackendError::Unexpected("no rolls".to_owned());
        self.next().await.and_then(|_| rolls.ok_or_else(none))
    }

    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        let word = (gateway.clone(), control.clone());
        self.told().words.push(word);
        self.next().await.map(drop)
    }

    async fn hold(&self, _: &str, _: &str, _: Duration) -> Result<bool, BackendError> {
        Ok(true)
    }

    async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError> {
        self.lender.lend(asks).await
    }

    async fn borrowers(&self, borrower: &str, for_: Duration) -> Result<u32, BackendError> {
        self.lender.borrowers(borrower, for_).await
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
