//! A store that stands still at one call, for as long as a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use carillon_common::{
    auth::{Claims, Revocations, Revoked, TicketHash},
    backend::{
        AboutGateway, Ack, Agenda, Ask, Assignment, Assignments, AuditAnswer, AuditQuestion,
        Awaited, Backend, BackendError, BusSink, Cancellation, Channels, Claimed, Clock,
        Connections, Control, Departure, Device, Devices, Due, Fired, Holder, Inboxes, Lease, Lent,
        Listed, LiveGateway, Look, Membership, Page, Place, Presence, PublishOrder, Published,
        ReadMark, Receipt, Registered, Registration, Retraction, RevokeOrder, Roll, RollCall,
        Rolls, Schedule, SendOrder, Sent, Sight, Subscription, Subscriptions, TicketOrder, Tokens,
    },
    ids::{ChannelName, Cursor, GatewayId, Millis, NotificationId, SessionId, UserId},
    telemetry::Collector,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A call at which the store stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Register,
    Follow,
    History,
}

/// Before the store has done what it is asked, or before it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Asked,
    Answered,
}

#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Option<Hold>>);

#[derive(Debug)]
struct Hold {
    at: (Call, When),
    arrived: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// The next call of a kind, held up.
pub(super) struct Held {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Gate {
    /// Holds the next such call up, once.
    pub(super) fn hold(&self, call: Call, when: When) -> Held {
        let (arrives, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        *self.0.lock() = Some(Hold {
            at: (call, when),
            arrived: arrives,
            released,
        });
        Held { arrived, release }
    }

    async fn pass(&self, call: Call, when: When) {
        let hold = self.0.lock().take_if(|hold| hold.at == (call, when));
        if let Some(hold) = hold {
            hold.arrived.send(()).unwrap();
            // A test that has failed lets go of it.
            drop(hold.released.await);
        }
    }
}

impl Held {
    /// Waits until the store stands still; what is returned lets it go on.
    pub(super) async fn arrived(self) -> oneshot::Sender<()> {
        self.arrived.await.unwrap();
        self.release
    }
}

/// A store with a gate before what gateways ask of it.
pub(super) struct Gated {
    pub(super) store: Arc<dyn Backend>,
    pub(super) gate: Arc<Gate>,
}

struct GatedMembership {
    membership: Arc<dyn Membership>,
    gate: Arc<Gate>,
}

#[async_trait]
impl Inboxes for Gated {
    async fn look(&self, user: &UserId, look: &Look) -> Result<Option<Sight>, BackendError> {
        self.store.look(user, look).await
    }
    async fn receipt(
        &self,
        user: &UserId,
        cursor: Cursor,
    ) -> Result<Option<Receipt>, BackendError> {
        self.store.receipt(user, cursor).await
    }
    async fn devices(&self, user: &UserId) -> Result<Devices, BackendError> {
        self.store.devices(user).await
    }
    async fn retract(&self, user: &UserId, cursor: Cursor) -> Result<Retraction, BackendError> {
        self.store.retract(user, cursor).await
    }
    async fn erase(&self, user: &UserId) -> Result<bool, BackendError> {
        self.store.erase(user).await
    }
    async fn mark_read(&self, user: &UserId, mark: ReadMark) -> Result<Option<bool>, BackendError> {
        self.store.mark_read(user, mark).await
    }
    async fn unread(&self, user: &UserId) -> Result<u64, BackendError> {
        self.store.unread(user).await
    }
}

#[async_trait]
impl Assignments for Gated {
    async fn assign(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<Assignment, BackendError> {
        self.store.assign(user, channel).await
    }
    async fn unassign(&self, user: &UserId, channel: &ChannelName) -> Result<bool, BackendError> {
        self.store.unassign(user, channel).await
    }
    async fn assigned(&self, user: &UserId) -> Result<Vec<ChannelName>, BackendError> {
        self.store.assigned(user).await
    }
}

#[async_trait]
impl Schedule for Gated {
    async fn agenda(
        &self,
        user: &UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Agenda, BackendError> {
        self.store.agenda(user, after, limit).await
    }
    async fn awaited(&self, user: &UserId, id: NotificationId) -> Result<Awaited, BackendError> {
        self.store.awaited(user, id).await
    }
    async fn cancel(
        &self,
        user: &UserId,
        id: NotificationId,
    ) -> Result<Cancellation, BackendError> {
        self.store.cancel(user, id).await
    }
    async fn take_due(&self) -> Result<Due, BackendError> {
        self.store.take_due().await
    }
    async fn fire(&self, user: &UserId) -> Result<Fired, BackendError> {
        self.store.fire(user).await
    }
}

#[async_trait]
impl Tokens for Gated {
    fn revocations(&self) -> Revocations {
        self.store.revocations()
    }
    async fn revoke(&self, order: &RevokeOrder) -> Result<(), BackendError> {
        self.store.revoke(order).await
    }
    async fn take_back(&self, what: &Revoked) -> Result<bool, BackendError> {
        self.store.take_back(what).await
    }
    async fn list_revocations(
        &self,
        after: Option<&Revoked>,
        most: usize,
    ) -> Result<Vec<Listed>, BackendError> {
        self.store.list_revocations(after, most).await
    }
    async fn put_ticket(&self, order: &TicketOrder) -> Result<(), BackendError> {
        self.store.put_ticket(order).await
    }
    async fn redeem_ticket(&self, ticket: &TicketHash) -> Result<Option<Claims>, BackendError> {
        self.store.redeem_ticket(ticket).await
    }
}

#[async_trait]
impl Backend for Gated {
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError> {
        self.store.send(order).await
    }
    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError> {
        self.store.publish(order).await
    }
    async fn online_count(&self) -> Result<u64, BackendError> {
        self.store.online_count().await
    }
    async fn presence(&self, user: &UserId) -> Result<Vec<Presence>, BackendError> {
        self.store.presence(user).await
    }
    async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError> {
        self.store.history(channel, after, limit).await
    }
    async fn followed(&self) -> Result<Arc<[ChannelName]>, BackendError> {
        self.store.followed().await
    }
    async fn roll_call(&self, call: &RollCall, within: Duration) -> Result<Rolls, BackendError> {
        self.store.roll_call(call, within).await
    }
    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError> {
        self.store.control(gateway, control).await
    }
    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError> {
        self.store.hold(duty, holder, for_).await
    }
    async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError> {
        self.store.lend(asks).await
    }
    async fn borrowers(&self, borrower: &str, for_: Duration) -> Result<u32, BackendError> {
        self.store.borrowers(borrower, for_).await
    }
    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError> {
        self.store.gateways().await
    }
    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError> {
        self.store.reap(gateway, until).await
    }
    async fn join(
        &self,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError> {
        Ok(Arc::new(GatedMembership {
            membership: self.store.join(gateway, sink).await?,
            gate: self.gate.clone(),
        }))
    }
    fn clock(&self) -> Clock {
        self.store.clock()
    }
    fn degraded(&self) -> Vec<String> {
        self.store.degraded()
    }
    fn metrics(&self) -> Vec<Box<dyn Collector>> {
        self.store.metrics()
    }
}

#[async_trait]
impl Lease for GatedMembership {
    fn generation(&self) -> u64 {
        self.membership.generation()
    }
    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError> {
        self.membership.show_draining(accepting).await
    }
    async fn show(&self, about: &AboutGateway) -> Result<(), BackendError> {
        self.membership.show(about).await
    }
    async fn answer(&self, to: &str, roll: &Roll) -> Result<(), BackendError> {
        self.membership.answer(to, roll).await
    }
    async fn leave(&self) -> Result<(), BackendError> {
        self.membership.leave().await
    }
}

#[async_trait]
impl Connections for GatedMembership {
    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError> {
        self.gate.pass(Call::Register, When::Asked).await;
        let registered = self.membership.register(registration).await;
        self.gate.pass(Call::Register, When::Answered).await;
        registered
    }
    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError> {
        self.membership.unregister(departure).await
    }
    async fn read(
        &self,
        user: &UserId,
        device: &Device,
        after: Cursor,
    ) -> Result<Page, BackendError> {
        self.membership.read(user, device, after).await
    }
    async fn ack(&self, ack: &Ack) -> Result<(), BackendError> {
        self.membership.ack(ack).await
    }
    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError> {
        self.membership.audit(questions).await
    }
    async fn registered(&self) -> Result<Vec<UserId>, BackendError> {
        self.membership.registered().await
    }
    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError> {
        self.membership.release(user, held).await
    }
}

#[async_trait]
impl Channels for GatedMembership {
    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError> {
        self.gate.pass(Call::Follow, When::Asked).await;
        let last = self.membership.follow(channel).await;
        self.gate.pass(Call::Follow, When::Answered).await;
        last
    }
    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError> {
        self.membership.unfollow(channel).await
    }
    async fn log_ends(&self, channels: &[ChannelName]) -> Result<Vec<Cursor>, BackendError> {
        self.membership.log_ends(channels).await
    }
    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError> {
        self.gate.pass(Call::History, When::Asked).await;
        let page = self.membership.history(channel, after).await;
        self.gate.pass(Call::History, When::Answered).await;
        page
    }
}

#[async_trait]
impl Subscriptions for GatedMembership {
    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        subscription: &Subscription,
        asked: bool,
    ) -> Result<(), BackendError> {
        let membership = &self.membership;
        membership
            .keep_subscription(user, holder, subscription, asked)
            .await
    }
    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError> {
        self.membership
            .drop_subscription(user, holder, channel)
            .await
    }
    async fn claim_subscriptions(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Claimed, BackendError> {
        self.membership.claim_subscriptions(user, session).await
    }
}
