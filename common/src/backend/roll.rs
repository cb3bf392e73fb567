//! Who is on a channel. Nothing is stored of it: each gateway knows its own connections, so all of them are asked, and
//! answer within a moment.

use serde::{Deserialize, Serialize};

use crate::ids::{ChannelName, DeviceId, GatewayId, SessionId, UserId};

/// A question to every gateway: which of its connections are on a channel?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollCall {
    /// Which channel.
    pub channel: ChannelName,
    /// Only users after this one, in the order of their names' bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// Of how many users, at most.
    pub most: u32,
}

/// A gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// Whose answer it is.
    pub gateway: GatewayId,
    /// How many of its connections are on the channel, all users' together.
    pub connections: u64,
    /// Those of the first users that were asked for, each user's together, in the order of the users.
    pub members: Vec<Member>,
    /// Whether there are users after these.
    pub more: bool,
}

/// One connection on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Whose.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The device, if it names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
}

/// What came of a [`RollCall`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolls {
    /// How many gateways were asked.
    pub asked: usize,
    /// The answers of those that gave one in time.
    pub answers: Vec<Roll>,
}
