//! What the services ask of a store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    AboutGateway, Ack, Agenda, Ask, Assignment, AuditAnswer, AuditQuestion, Awaited, BackendError,
    BusEvent, Cancellation, Claimed, Clock, Control, Departure, Device, Devices, Due, Fired,
    Holder, Lent, LiveGateway, Look, Page, Place, Presence, PublishOrder, Published, ReadMark,
    Receipt, Registered, Registration, Retraction, Roll, RollCall, Rolls, SendOrder, Sent, Sight,
    Subscription, Tokens,
};
use crate::{
    ids::{ChannelName, Cursor, GatewayId, Millis, NotificationId, SessionId, UserId},
    telemetry::Collector,
};

/// A store, as the dispatcher and the command line use it; a gateway [joins](Self::join) it.
#[async_trait]
pub trait Backend: Inboxes + Schedule + Tokens + Assignments {
    /// Appends to the user's inbox and hints to the gateways that hold the user, atomically. What is due later is
    /// kept until then.
    ///
    /// # Errors
    /// [`BackendError::InboxFull`], [`BackendError::IdempotencyMismatch`], of what is due later
    /// [`BackendError::NotThen`] and [`BackendError::TooManyScheduled`], or a store failure;
    /// after [`BackendError::Unknown`] the same order may be given again and is not doubled.
    async fn send(&self, order: &SendOrder) -> Result<Sent, BackendError>;

    /// Appends to a channel's log and hints to the gateways that follow it, atomically.
    ///
    /// # Errors
    /// As [`send`](Self::send), except for a full inbox.
    async fn publish(&self, order: &PublishOrder) -> Result<Published, BackendError>;

    /// Distinct users that are connected, in the whole deployment; up to a second old.
    async fn online_count(&self) -> Result<u64, BackendError>;

    /// The user's connections on gateways whose lease holds.
    async fn presence(&self, user: &UserId) -> Result<Vec<Presence>, BackendError>;

    /// A page of a channel's log after `after`, of at most `limit` entries and no more than
    /// [`Limits::page`](super::Limits::page); [`Cursor::ZERO`]: from the oldest that is kept.
    async fn history(
        &self,
        channel: &ChannelName,
        after: Cursor,
        limit: u32,
    ) -> Result<Page, BackendError>;

    /// The channels that a gateway follows, by name, that of broadcasts left out; up to a second old.
    async fn followed(&self) -> Result<Arc<[ChannelName]>, BackendError>;

    /// Asks every gateway whose lease holds who is on a channel there, and waits for the answers of all, but no longer
    /// than `within`.
    async fn roll_call(&self, call: &RollCall, within: Duration) -> Result<Rolls, BackendError>;

    /// Leaves a control message for a gateway; it is handled within a second or so, or lapses after a minute.
    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError>;

    /// Takes a duty that one process of the deployment has at a time, or keeps it, for so long; false while
    /// another one has it. `holder` tells this process from others.
    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError>;

    /// Lends what is asked for, as far as the whole deployment may have it: an answer for each. What is not used is
    /// not given back.
    async fn lend(&self, asks: &[Ask]) -> Result<Vec<Lent>, BackendError>;

    /// Notes that the process `borrower` borrows, for so long, and counts those that do: 1 or more.
    async fn borrowers(&self, borrower: &str, for_: Duration) -> Result<u32, BackendError>;

    /// The gateways whose lease holds, by name.
    async fn gateways(&self) -> Result<Vec<LiveGateway>, BackendError>;

    /// Ends what a gateway that is known to be dead has left: every generation of it that is not
    /// newer than `until`, whether or not its lease has run out. One that lives after all takes a
    /// new generation and registers again. Answers whether there was anything to end.
    async fn reap(&self, gateway: &GatewayId, until: Millis) -> Result<bool, BackendError>;

    /// Takes a lease for this gateway, reaps its older generations, and from then on tells `sink`
    /// whatever concerns its connections.
    async fn join(
        &self,
        gateway: GatewayId,
        sink: Arc<dyn BusSink>,
    ) -> Result<Arc<dyn Membership>, BackendError>;

    /// The store's time.
    fn clock(&self) -> Clock;

    /// What is wrong now, in words for operators; empty when all is well.
    fn degraded(&self) -> Vec<String>;

    /// The store's own metrics, for its process' registry
    /// ([`Metrics::add`](crate::telemetry::Metrics::add)).
    fn metrics(&self) -> Vec<Box<dyn Collector>>;
}

/// What services ask of inboxes. Nothing of it moves a device's position.
#[async_trait]
pub trait Inboxes: Send + Sync {
    /// A piece of a user's inbox; `None` when the position asked for is of no notification of this history.
    async fn look(&self, user: &UserId, look: &Look) -> Result<Option<Sight>, BackendError>;

    /// What became of the notification at a position; `None` when none was ever there.
    async fn receipt(&self, user: &UserId, cursor: Cursor)
    -> Result<Option<Receipt>, BackendError>;

    /// How far the devices of a user have come.
    async fn devices(&self, user: &UserId) -> Result<Devices, BackendError>;

    /// Takes a notification back: it is delivered to nobody any more, and who may have it is told. Its position
    /// stays, so that nobody has to read the inbox anew.
    async fn retract(&self, user: &UserId, cursor: Cursor) -> Result<Retraction, BackendError>;

    /// Forgets all that is kept of a user, except the connections there are; answers whether there was anything.
    /// What idempotency keys stand for lapses by itself.
    async fn erase(&self, user: &UserId) -> Result<bool, BackendError>;

    /// Notes that the user has read something, and tells the user's connected devices what was not read before. Answers
    /// whether anything was not; `None` when the position is of no notification that is kept.
    async fn mark_read(&self, user: &UserId, mark: ReadMark) -> Result<Option<bool>, BackendError>;

    /// How many of the user's notifications that may be delivered, or still be read, the user has not read.
    async fn unread(&self, user: &UserId) -> Result<u64, BackendError>;
}

/// The channels that services put users on, which every device of a user follows, whatever it asks for. They last until
/// the user is taken off or forgotten.
#[async_trait]
pub trait Assignments: Send + Sync {
    /// Puts a user on a channel: whatever is published to it from now on is owed to every device.
    ///
    /// # Errors
    /// [`BackendError::TooManyChannels`] when the user is on [`Limits::assigned`](super::Limits::assigned) others.
    async fn assign(
        &self,
        user: &UserId,
        channel: &ChannelName,
    ) -> Result<Assignment, BackendError>;

    /// Takes a user off a channel, whoever put the user on it; answers whether somebody had.
    async fn unassign(&self, user: &UserId, channel: &ChannelName) -> Result<bool, BackendError>;

    /// The channels that a user was put on, by name.
    async fn assigned(&self, user: &UserId) -> Result<Vec<ChannelName>, BackendError>;
}

/// What services ask of what waits for its time, and the delivery of it.
#[async_trait]
pub trait Schedule: Send + Sync {
    /// A page of what waits for a user, by when it is due: what follows `after`, of at most `limit`;
    /// [`PAGE_BYTES`](super::PAGE_BYTES) bound it, too.
    async fn agenda(
        &self,
        user: &UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Agenda, BackendError>;

    /// What is known of a notification that was accepted for later.
    async fn awaited(&self, user: &UserId, id: NotificationId) -> Result<Awaited, BackendError>;

    /// Takes back one that waits.
    async fn cancel(&self, user: &UserId, id: NotificationId)
    -> Result<Cancellation, BackendError>;

    /// Takes up users for whom something is due, some of each part of the store. Parts that are away are passed over.
    ///
    /// # Errors
    /// Nobody could be taken up, and a part of the store is away.
    async fn take_due(&self) -> Result<Due, BackendError>;

    /// Appends what is due first for a user to the inbox and hints, in one step with taking it from what waits: whoever
    /// else asks finds the next one. Never before it is due by the store's own time.
    async fn fire(&self, user: &UserId) -> Result<Fired, BackendError>;
}

/// A gateway's place in the deployment, which it has as long as its lease.
pub trait Membership: Lease + Connections + Channels + Subscriptions {}

impl<T: Lease + Connections + Channels + Subscriptions> Membership for T {}

/// A gateway's lease.
#[async_trait]
pub trait Lease: Send + Sync {
    /// The lease's current generation; a lost lease is replaced by one of a higher generation.
    fn generation(&self) -> u64;

    /// Shows in [`Backend::gateways`] that this gateway drains, and whether it still lets clients in.
    /// It holds for the current generation and may lapse with the lease's time: say it again within
    /// that.
    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError>;

    /// Shows in [`Backend::gateways`] what this gateway tells of itself, in the same way.
    async fn show(&self, about: &AboutGateway) -> Result<(), BackendError>;

    /// Answers the [`RollCall`] of this name, if somebody still waits for it.
    async fn answer(&self, to: &str, roll: &Roll) -> Result<(), BackendError>;

    /// Gives up the lease and forgets every connection that is still registered under it.
    async fn leave(&self) -> Result<(), BackendError>;
}

/// The connections of a gateway and their inboxes.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Registers a connection and, in the same atomic step, reads the first page of its inbox.
    ///
    /// # Errors
    /// [`BackendError::Replaced`] when a newer connection holds the session: one with a higher fence
    /// where `fence` is given, else one that was opened later by more than
    /// [`OPENED_TOGETHER`](super::OPENED_TOGETHER); [`BackendError::TooManyConnections`].
    async fn register(&self, registration: &Registration) -> Result<Registered, BackendError>;

    /// Ends a connection's registration, unless a newer connection took the session over.
    async fn unregister(&self, departure: &Departure) -> Result<(), BackendError>;

    /// The next page of a device's inbox after `after`.
    async fn read(
        &self,
        user: &UserId,
        device: &Device,
        after: Cursor,
    ) -> Result<Page, BackendError>;

    /// Moves a device's cursor forward (never back) and trims what every device has acked.
    async fn ack(&self, ack: &Ack) -> Result<(), BackendError>;

    /// For each connection: its inbox's last cursor, and whether it is still registered.
    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError>;

    /// Every user that has a registration under this gateway's current generation.
    async fn registered(&self) -> Result<Vec<UserId>, BackendError>;

    /// Ends the user's registrations under this gateway's current generation whose fence is none of
    /// `held`: they are of connections that ended without its being heard. Answers how many.
    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError>;
}

/// The channels that a gateway follows.
#[async_trait]
pub trait Channels: Send + Sync {
    /// Follows a channel's hints; answers with the log's last cursor once they flow. Never
    /// [`Cursor::ZERO`]: a log without an entry begins here, so that whoever follows has a position
    /// from which something can be missing.
    async fn follow(&self, channel: &ChannelName) -> Result<Cursor, BackendError>;

    /// Stops following a channel.
    async fn unfollow(&self, channel: &ChannelName) -> Result<(), BackendError>;

    /// The last cursor of each channel's log, [`Cursor::ZERO`] for an empty one.
    async fn log_ends(&self, channels: &[ChannelName]) -> Result<Vec<Cursor>, BackendError>;

    /// A page of a channel's log after `after`; [`Cursor::ZERO`]: from the oldest that is kept.
    async fn history(&self, channel: &ChannelName, after: Cursor) -> Result<Page, BackendError>;
}

/// The subscriptions that outlive connections.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Keeps a subscription for the device's or session's next connection. `asked`: the client has
    /// asked for it now; else this only notes its position.
    ///
    /// # Errors
    /// [`BackendError::TooManyChannels`] when it is not kept yet, and as many are.
    async fn keep_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        subscription: &Subscription,
        asked: bool,
    ) -> Result<(), BackendError>;

    /// Forgets a kept subscription.
    async fn drop_subscription(
        &self,
        user: &UserId,
        holder: &Holder,
        channel: &ChannelName,
    ) -> Result<(), BackendError>;

    /// Takes over, for `session`, the subscriptions that the user's ended simple connections left.
    async fn claim_subscriptions(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Claimed, BackendError>;
}

/// Hears what the bus says. Called in the order of the bus, from its own task: must not block.
pub trait BusSink: Send + Sync {
    /// One event.
    fn on_bus(&self, event: BusEvent);
}
