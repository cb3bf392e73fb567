//! What is asked of a store and what it tells, in types.

use super::{ReadChange, ReadState, RollCall};
use crate::{
    ids::{ChannelName, Cursor, DeviceId, GatewayId, Millis, NotificationId, SessionId, UserId},
    notification::Frame,
};

/// The reason of [`BusEvent::Dirty`] when a gateway's lease ended before it was renewed.
pub const LEASE_LOST: &str = "lease_lost";

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
    Ephemeral {
        /// For whom.
        user: UserId,
        /// The notification; its cursor is [`Cursor::ZERO`].
        frame: Frame,
    },
    /// A notification of a user was taken back: who may show it is to show it no longer.
    Retracted {
        /// Whose it was.
        user: UserId,
        /// Its position.
        cursor: Cursor,
        /// Its identity.
        id: NotificationId,
    },
    /// A user has read something, somewhere.
    Read {
        /// Which user.
        user: UserId,
        /// What.
        change: ReadChange,
    },
    /// A service has put a user on a channel.
    Assigned {
        /// Which user.
        user: UserId,
        /// Which channel, and from where on.
        subscription: Subscription,
    },
    /// A service has taken a user off a channel.
    Unassigned {
        /// Which user.
        user: UserId,
        /// Which channel.
        channel: ChannelName,
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
    /// A message from an operator or service.
    Control(Control),
    /// The store has not answered for longer than `isolation.deadline`.
    Isolated,
}

/// A message for one gateway.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Control {
    /// Close connections of a user.
    Disconnect(Disconnection),
    /// Say which connections are on a channel, by [`Lease::answer`](super::Lease::answer).
    RollCall {
        /// Which question is answered.
        answer_to: Box<str>,
        /// The question.
        call: RollCall,
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

/// Which connections of a user are to be closed, and how. Gateways that know no more of it than the user close all
/// of them with 4203, after which clients come back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Disconnection {
    /// Which user.
    pub user: UserId,
    /// Only those of this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Only that of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The close code, one of [`CloseCode::FOR_DISCONNECT`](crate::protocol::CloseCode::FOR_DISCONNECT); 4203 where
    /// it is absent, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// What clients are told beside the code, in the place of the code's own word; at most
    /// [`REASON_BYTES`](crate::protocol::REASON_BYTES).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
}

impl Disconnection {
    /// Of all of a user's connections, with 4203.
    pub fn of(user: UserId) -> Self {
        Self {
            user,
            device: None,
            session: None,
            code: None,
            reason: None,
        }
    }

    /// Whether it is about this one of the user's connections.
    pub fn concerns(&self, device: &Device, session: &SessionId) -> bool {
        let of_device = self
            .device
            .as_ref()
            .is_none_or(|wanted| matches!(device, Device::Named(name) if name == wanted));
        of_device && self.session.as_ref().is_none_or(|wanted| wanted == session)
    }
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
    /// Whether it [says](super::Lease::show_draining) that it drains.
    pub draining: bool,
    /// Whether it lets clients in: one that drains does, until load balancers have heard of it.
    pub accepting: bool,
    /// What it last [told](super::Lease::show) of itself; none in its first moment, and of releases that do not.
    pub about: Option<AboutGateway>,
}

/// What a gateway tells of itself, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutGateway {
    /// Its open connections; a user may have several.
    pub connections: u64,
    /// Its release.
    pub version: Box<str>,
}

/// Who a connection reads for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// A device that names itself: *every* and *once* hold for it.
    Named(DeviceId),
    /// One of the connections that share the user's anonymous device.
    Anonymous,
}

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
    /// The gateway's position in the broadcast log: where a new device starts.
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
    /// The channels that services put the user on, each with where this device goes on; [`Cursor::ZERO`]: the device
    /// is new, and begins now.
    pub assigned: Vec<Subscription>,
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

/// What a service wants to see of an inbox.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// What follows this position, in the order asked for; `None`: from the end where that begins.
    pub after: Option<Cursor>,
    /// Whether the newest come first.
    pub backwards: bool,
    /// So many frames at most; [`PAGE_BYTES`](super::PAGE_BYTES) bound them, too.
    pub limit: u32,
}

/// A piece of an inbox, for whoever only looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// In the order asked for, tombstones and expired ones included.
    pub frames: Vec<Frame>,
    /// Whether there is more after these.
    pub more: bool,
    /// Which of these the user has read.
    pub read: ReadState,
}

/// What came of taking a notification back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retraction {
    /// Nobody is given it any more; so many connected devices may show it, and are told.
    Done {
        /// Connected devices of the user.
        devices: u32,
    },
    /// It had left before: taken back, replaced, expired.
    Left,
    /// It is not in the inbox.
    Gone,
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

/// A user was put on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// From this position of the channel's log on.
    pub since: Cursor,
    /// False when the user was on it before.
    pub is_new: bool,
}

/// Whose a kept subscription is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A durable one: the device's, until it unsubscribes.
    Device(Device),
    /// Of a channel that a service has put the user on: where the device is on it, as long as the user is.
    Assigned(Device),
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

/// A connection of which it is asked whether it is registered.
#[derive(Debug, Clone)]
pub struct AuditQuestion {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: Device,
    /// Which session.
    pub session: SessionId,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditAnswer {
    /// The inbox's last cursor.
    pub last: Cursor,
    /// Whether the connection is registered under this gateway's current generation.
    pub registered: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Control {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_disconnection_is_understood_by_versions_that_know_the_user_alone() {
        let user = UserId::new("alice").unwrap();
        let all = Control::Disconnect(Disconnection::of(user.clone()));
        let text = r#"{"do":"disconnect","user":"alice"}"#;
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        assert_eq!(read(text), all);
        let one = Control::Disconnect(Disconnection {
            device: Some(DeviceId::new("phone").unwrap()),
            session: Some(SessionId::new("s1").unwrap()),
            code: Some(4001),
            reason: Some("logged out".into()),
            ..Disconnection::of(user)
        });
        let text = serde_json::to_string(&one).unwrap();
        assert!(
            text.starts_with(r#"{"do":"disconnect","user":"alice","device":"phone","#),
            "{text}"
        );
        assert_eq!(read(&text), one);
    }

    #[test]
    fn a_disconnection_is_of_all_connections_of_one_device_or_of_one_session() {
        let device = |name: &str| Device::Named(DeviceId::new(name).unwrap());
        let session = |name: &str| SessionId::new(name).unwrap();
        let all = Disconnection::of(UserId::new("alice").unwrap());
        let phone = Disconnection {
            device: Some(DeviceId::new("phone").unwrap()),
            ..all.clone()
        };
        let tab = Disconnection {
            session: Some(session("tab")),
            ..all.clone()
        };
        let both = Disconnection {
            session: Some(session("tab")),
            ..phone.clone()
        };
        for (at, on, expected) in [
            (device("phone"), session("tab"), [true, true, true, true]),
            (device("phone"), session("s2"), [true, true, false, false]),
            (device("laptop"), session("tab"), [true, false, true, false]),
            (
                Device::Anonymous,
                session("s2"),
                [true, false, false, false],
            ),
        ] {
            let concerned = [&all, &phone, &tab, &both].map(|it| it.concerns(&at, &on));
            assert_eq!(concerned, expected, "{at:?} {on}");
        }
    }
}
