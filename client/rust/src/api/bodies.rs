//! What calls say, and what they are answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A notification to be accepted; absent fields are not sent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Message<'a> {
    /// For whom; none: a broadcast, to the channel's members or to everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_user: Option<&'a str>,
    /// The application's own type, such as `order.shipped`.
    pub notification_type: &'a str,
    /// Text for people.
    pub content: &'a str,
    /// The channel that it is published to; with a user, a label only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    /// Any JSON, passed on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// How long it may be delivered, such as `10m`; none: as long as the deployment keeps it; `0s`: to
    /// whoever is connected now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// What it stands for: the user's last one of the same key is delivered no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse_key: Option<&'a str>,
    /// When it is to be delivered (RFC 3339), to a user alone; none: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
}

/// What the answer to an accepted notification says.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Accepted {
    /// The notification's identity, as its readers see it.
    pub id: String,
    /// Its position; none where nothing was stored, and where it waits for its time.
    #[serde(default)]
    pub cursor: Option<String>,
    /// What became of it, for people.
    #[serde(default)]
    pub message: String,
    /// The whole answer, as it came.
    #[serde(skip)]
    pub answer: Value,
}

/// A gateway, as the dispatcher lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewayState {
    /// Its name.
    pub id: String,
    /// When it began, in milliseconds since 1970; a gateway that came back has a later one.
    pub generation: u64,
    /// Users that are connected there.
    pub users: u64,
    /// Open connections there, some seconds ago; none of releases that do not tell.
    #[serde(default)]
    pub connections: Option<u64>,
    /// Whether its clients are asked to move elsewhere.
    #[serde(default)]
    pub draining: bool,
    /// Whether it lets clients in.
    #[serde(default)]
    pub accepting: bool,
    /// The pod it runs in, where the dispatcher watches Kubernetes.
    #[serde(default)]
    pub pod: Option<String>,
    /// Its release; none as for the connections.
    #[serde(default)]
    pub version: Option<String>,
}

/// A gateway that is asked to move some of its users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovingGateway {
    /// Its name.
    pub id: String,
    /// Users that are connected there.
    pub users: u64,
    /// How many of them are to move.
    pub to_move: u64,
}
