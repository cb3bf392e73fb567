//! What the services ask of the store, and the two stores that answer.
//!
//! A send appends to the user's inbox **and** hints to the gateways in one atomic step; the hint
//! may be lost, the inbox is the truth. Whoever reads keeps a position and takes a hint only if it
//! continues that position; anything else is answered by reading the inbox. See ARCHITECTURE.md.

pub mod clock;
mod connect;
mod fault;
pub mod memory;
mod orders;
pub mod redis;
pub mod url;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    ids::{ChannelName, Cursor, DeviceId, GatewayId, Millis, SessionId, UserId},
    notification::Frame,
    telemetry::Collector,
};
pub use clock::Clock;
pub use connect::{connect, connect_when_up, join_when_up, limits, redis_options};
pub use fault::{AtStart, Fault, FaultKind};
pub use orders::{Former, Idempotency, PublishOrder, Published, SendOrder, Sent};

/// The reason of [`BusEvent::Dirty`] when a gateway's lease ended before it was renewed.
pub const LEASE_LOST: &str = "lease_lost";

/// A store, as the dispatcher and the command line use it; a gateway [joins](Self::join) it.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Appends to the user's inbox and hints to the gateways that hold the user, atomically.
    ///
    /// # Errors
    /// [`BackendError::InboxFull`], [`BackendError::IdempotencyMismatch`], or a store failure;
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

    /// Leaves a word for a gateway; it is heeded within a second or so, or lapses after a minute.
    async fn control(&self, gateway: &GatewayId, control: &Control) -> Result<(), BackendError>;

    /// Takes a duty that one process of the deployment has at a time, or keeps it, for so long; false while
    /// another one has it. `holder` tells this process from others.
    async fn hold(&self, duty: &str, holder: &str, for_: Duration) -> Result<bool, BackendError>;

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

/// A gateway's place in the deployment: its lease, its connections, the channels it follows.
#[async_trait]
pub trait Membership: Send + Sync {
    /// The lease's current generation; a lost lease is replaced by one of a higher generation.
    fn generation(&self) -> u64;

    /// Registers a connection and, in the same atomic step, reads the first page of its inbox.
    ///
    /// # Errors
    /// [`BackendError::Replaced`] when a newer connection holds the session: one with a higher fence
    /// where `fence` is given, else one that was opened later by more than [`OPENED_TOGETHER`];
    /// [`BackendError::TooManyConnections`].
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

    /// Keeps a subscription for the device's or session's next connection. `asked`: the client has
    /// asked for it now; else this only says where it stands.
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

    /// For each connection: its inbox's last cursor, and whether its registration stands.
    async fn audit(&self, questions: &[AuditQuestion]) -> Result<Vec<AuditAnswer>, BackendError>;

    /// Every user that has a registration under this gateway's current generation.
    async fn registered(&self) -> Result<Vec<UserId>, BackendError>;

    /// Ends the user's registrations under this gateway's current generation whose fence is none of
    /// `held`: they are of connections that ended without its being heard. Answers how many.
    async fn release(&self, user: &UserId, held: &[u64]) -> Result<u64, BackendError>;

    /// Shows in [`Backend::gateways`] that this gateway drains, and whether it still lets clients in.
    /// It holds for the current generation and may lapse with the lease's time: say it again within
    /// that.
    async fn show_draining(&self, accepting: bool) -> Result<(), BackendError>;

    /// Gives up the lease and forgets every connection that is still registered under it.
    async fn leave(&self) -> Result<(), BackendError>;
}

/// Hears what the bus says. Called in the order of the bus, from its own task: must not block.
pub trait BusSink: Send + Sync {
    /// One event.
    fn on_bus(&self, event: BusEvent);
}

/// What the bus tells a gateway.
#[derive(Debug, Clone)]
pub enum BusEvent {
    /// A notification was appended to a user's inbox; `prev` is the position before it.
    Inbox {
        /// Whose inbox.
        user: UserId,
        /// The position that this one continues.
        prev: Cursor,
        /// The notification.
        frame: Frame,
    },
    /// A notification outside the chain (`ttl: 0`): for whoever is connected now.
    Fleeting {
        /// For whom.
        user: UserId,
        /// The notification; its cursor is [`Cursor::ZERO`].
        frame: Frame,
    },
    /// A notification was appended to a channel's log.
    Channel {
        /// Which channel.
        channel: ChannelName,
        /// The position that this one continues.
        prev: Cursor,
        /// The notification.
        frame: Frame,
    },
    /// A newer connection took this session over; the one with a lower fence must end.
    Replaced {
        /// Whose session.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The newer connection's fence.
        fence: u64,
    },
    /// Hints may have been missed, or registrations lost: register every connection again and
    /// resume it.
    Dirty {
        /// For the log and the metric.
        reason: &'static str,
    },
    /// A word from an operator or service.
    Control(Control),
    /// The store has not answered for longer than `isolation.deadline`.
    Isolated,
}

/// A word for one gateway.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Control {
    /// Close every connection of a user with 4203.
    Disconnect {
        /// Which user.
        user: UserId,
    },
    /// Drain as on SIGTERM, then stay up, empty and not ready. There is no way back but a restart.
    Drain,
    /// Hold at most so many users: ask the connections of the others to move, and stay open. Given
    /// twice it moves nobody twice.
    Rebalance {
        /// How many may stay.
        users: u64,
    },
}

/// One connection of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The device, if it names itself.
    pub device: Device,
    /// The session.
    pub session: SessionId,
    /// On which gateway.
    pub gateway: GatewayId,
    /// Under which generation of that gateway's lease.
    pub generation: u64,
    /// When it was opened.
    pub since: Millis,
}

/// A gateway whose lease holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGateway {
    /// Its name.
    pub name: GatewayId,
    /// The generation of its lease: the time at which it was taken, in ms, unless two were taken at
    /// once.
    pub generation: u64,
    /// How many users have a connection there.
    pub users: u64,
    /// Whether it [says](Membership::show_draining) that it drains.
    pub draining: bool,
    /// Whether it lets clients in: one that drains does, until load balancers have heard of it.
    pub accepting: bool,
}

/// Who a connection reads for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// A device that names itself: *every* and *once* hold for it.
    Named(DeviceId),
    /// One of the connections that share the user's anonymous device.
    Anonymous,
}

/// Connections of one session that were opened within this time of each other are ordered by who
/// registers last: clocks tell no finer than that.
pub const OPENED_TOGETHER: Duration = Duration::from_secs(1);

/// A connection to be registered.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: Device,
    /// Which session; a newer connection of it takes over.
    pub session: SessionId,
    /// When the connection was opened. A registration may reach the store long after that, and an
    /// older connection must not take its session from a newer one then.
    pub opened: Millis,
    /// `None` for a new connection; the fence it was given when it registers again.
    pub fence: Option<u64>,
    /// The client's own position, else the device's acked cursor counts.
    pub since: Option<Cursor>,
    /// Where the gateway stands in the broadcast log: where a new device starts.
    pub broadcast: Cursor,
}

/// What a registered connection starts with.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Orders the connections of one session: when it was first registered, in ms, or a little more
    /// where others came within the same.
    pub fence: u64,
    /// The first page.
    pub page: Page,
    /// The device's position in the broadcast log.
    pub broadcast: Cursor,
    /// The device's durable subscriptions; those asked for last come first.
    pub subscriptions: Vec<Subscription>,
    /// Whether simple connections of the user keep subscriptions that may be claimed.
    pub claimable: bool,
    /// How many devices were forgotten, because the user had more than are remembered.
    pub forgotten: u64,
}

/// A piece of an inbox or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where reading began: the position asked for or, after a gap, the oldest one there is.
    pub start: Cursor,
    /// What follows, in order, tombstones and expired ones included.
    pub frames: Vec<Frame>,
    /// The position after these frames.
    pub end: Cursor,
    /// Whether there is more after `end`.
    pub more: bool,
    /// Set when what follows does not continue the position that was asked for.
    pub gap: Option<Gap>,
}

impl Page {
    /// What its frames take of a bound on memory, in bytes.
    pub fn weight(&self) -> usize {
        self.frames.iter().map(Frame::weight).sum()
    }
}

/// Why a position could not be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// What followed it is no longer kept.
    Expired,
    /// The store went back behind it: it restarted empty or with older data, or lost in a failover
    /// what was not replicated.
    Rewound,
    /// The inbox was full and this device was passed over.
    TooMany,
}

impl Gap {
    /// As in the frame and the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Rewound => "rewound",
            Self::TooMany => "too_many",
        }
    }
}

/// A kept subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// To which channel.
    pub channel: ChannelName,
    /// Where to catch up from.
    pub cursor: Cursor,
}

/// Whose a kept subscription is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A durable one: the device's, until it unsubscribes.
    Device(Device),
    /// A simple client's: the session's, and after an end without a close frame whose ever
    /// connects next, for `channels.restore`.
    Session(SessionId),
}

/// What a simple connection took over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// The subscriptions, now held by the claiming session; those asked for last come first.
    pub subscriptions: Vec<Subscription>,
    /// Whether other sessions hold some that may yet turn out to have ended: ask again later.
    pub others_hold: bool,
}

/// A connection that ended.
#[derive(Debug, Clone)]
pub struct Departure {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: Device,
    /// Which session.
    pub session: SessionId,
    /// The fence it was registered with.
    pub fence: u64,
    /// How far the client is known to have read the broadcast log.
    pub broadcast: Option<Cursor>,
    /// What it leaves for the user's next simple connection; empty after a clean close.
    pub restorable: Vec<Subscription>,
}

/// A device has everything up to a cursor.
#[derive(Debug, Clone)]
pub struct Ack {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: Device,
    /// Which session (an anonymous connection has a cursor of its own).
    pub session: SessionId,
    /// The inbox up to here.
    pub cursor: Cursor,
    /// The broadcast log up to here.
    pub broadcast: Option<Cursor>,
    /// Positions up to `cursor` that were not delivered because they had expired.
    pub expired: Vec<Cursor>,
}

/// A connection whose standing is in question.
#[derive(Debug, Clone)]
pub struct AuditQuestion {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: Device,
    /// Which session.
    pub session: SessionId,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditAnswer {
    /// The inbox's last cursor.
    pub last: Cursor,
    /// Whether the connection is registered under this gateway's current generation.
    pub registered: bool,
}

/// A page ends before the frame that would make its bodies exceed this, in bytes; it holds at least
/// one frame. Many readers may hold one at once, and have another read while they write it.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Limits that a store keeps; see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an inbox lasts, and the most a notification may.
    pub inbox_ttl: Duration,
    /// Unacked notifications per user.
    pub inbox_max: u32,
    /// Acked ones that stay readable.
    pub inbox_keep: u32,
    /// Frames per page.
    pub page: u32,
    /// Devices of a user that hold trimming back.
    pub devices: u32,
    /// For how long after they were last seen.
    pub device_ttl: Duration,
    /// Connections of one user, on all gateways.
    pub connections: u32,
    /// Subscriptions of one user that outlive connections.
    pub kept: u32,
    /// How long an ended simple connection's subscriptions wait for the next one.
    pub restore: Duration,
    /// A gateway's lease.
    pub lease_ttl: Duration,
    /// How often it is renewed.
    pub lease_renew: Duration,
    /// After how long without the store a gateway closes its sockets; zero: never.
    pub isolation_deadline: Duration,
}

impl Limits {
    /// How many devices that are not connected the store knows of a user: twice those that hold
    /// trimming back, so that one which comes and goes is not taken for a stranger.
    pub fn idle_devices(&self) -> u32 {
        self.devices.saturating_mul(2)
    }
}

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The inbox is full and no device has ever acked.
    #[error("the inbox holds its limit of unread notifications and no device has ever read any")]
    InboxFull,
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used before with another body")]
    IdempotencyMismatch,
    /// A newer connection holds the session.
    #[error("a newer connection took this session over")]
    Replaced,
    /// The user has as many connections as may be, on all gateways.
    #[error("the user has too many connections")]
    TooManyConnections,
    /// The user keeps as many subscriptions as may be.
    #[error("the user keeps too many subscriptions")]
    TooManyChannels,
    /// The store's own bound is reached (in-memory store).
    #[error("the store is full: {0}")]
    StoreFull(&'static str),
    /// Nothing was done.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// Nothing was done: the store is there, and refuses for a reason that somebody has to end.
    #[error("{0}")]
    Refused(Fault),
    /// The store refused a part of it, after it had begun: what was written before stands.
    #[error("refused after it had begun: {0}")]
    Partly(Fault),
    /// It may or may not have been done; the same order may be given again.
    #[error("the store did not confirm in time: {0}")]
    Unknown(String),
    /// The store answered what it should not: a defect, or a foreign hand in its data.
    #[error("the store gave an unexpected answer: {0}")]
    Unexpected(String),
}

impl BackendError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Refused(_)
                | Self::Partly(_)
                | Self::Unknown(_)
                | Self::StoreFull(_)
        )
    }

    /// Whether it may succeed in a moment, so that whoever waits for an answer can go on waiting.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unknown(_) => true,
            Self::Refused(fault) => fault.kind.passes(),
            _ => false,
        }
    }

    /// What a service that starts does about it.
    pub fn at_start(&self) -> AtStart {
        match self {
            Self::Refused(fault) | Self::Partly(fault) => fault.kind.at_start(),
            error if error.is_retryable() => AtStart::Wait,
            _ => AtStart::End,
        }
    }
}
