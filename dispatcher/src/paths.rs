//! The routes by name, as metrics and documents have them.

/// Every route, with its method, as docs/api.md has them.
pub const ROUTES: [(&str, &str); 31] = [
    ("POST", SEND),
    ("POST", BATCH),
    ("POST", BROADCAST),
    ("GET", ONLINE_COUNT),
    ("GET", USER_PRESENCE),
    ("GET", DEVICES),
    ("POST", DISCONNECT),
    ("GET", ASSIGNED),
    ("PUT", ASSIGNMENT),
    ("DELETE", ASSIGNMENT),
    ("GET", CHANNELS),
    ("GET", HISTORY),
    ("GET", CHANNEL_PRESENCE),
    ("POST", CHANNEL_USERS),
    ("GET", GATEWAYS),
    ("POST", DRAIN),
    ("POST", REBALANCE),
    ("GET", INBOX),
    ("GET", NOTIFICATION),
    ("DELETE", NOTIFICATION),
    ("GET", SCHEDULED),
    ("DELETE", SCHEDULED_ONE),
    ("DELETE", USER),
    ("POST", REVOKE),
    ("GET", REVOCATIONS),
    ("DELETE", REVOCATION),
    ("POST", TICKETS),
    ("GET", MY_INBOX),
    ("GET", MY_UNREAD),
    ("POST", MY_READ),
    ("GET", MY_HISTORY),
];

/// What shows the contract: to everyone, without a key.
pub const PAGES: [&str; 4] = [OPENAPI, ASYNCAPI, DOCS, ERRORS];

pub(crate) const SEND: &str = "/api/notifications/send";
pub(crate) const BATCH: &str = "/api/notifications/batch";
pub(crate) const BROADCAST: &str = "/api/notifications/broadcast";
pub(crate) const ONLINE_COUNT: &str = "/api/notifications/online-count";
pub(crate) const USER_PRESENCE: &str = "/api/users/{user}/presence";
pub(crate) const DEVICES: &str = "/api/users/{user}/devices";
pub(crate) const DISCONNECT: &str = "/api/users/{user}/disconnect";
pub(crate) const ASSIGNED: &str = "/api/users/{user}/channels";
pub(crate) const ASSIGNMENT: &str = "/api/users/{user}/channels/{channel}";
pub(crate) const CHANNELS: &str = "/api/channels";
pub(crate) const HISTORY: &str = "/api/channels/{channel}/history";
pub(crate) const CHANNEL_PRESENCE: &str = "/api/channels/{channel}/presence";
pub(crate) const CHANNEL_USERS: &str = "/api/channels/{channel}/users";
pub(crate) const GATEWAYS: &str = "/api/gateways";
pub(crate) const DRAIN: &str = "/api/gateways/{id}/drain";
pub(crate) const REBALANCE: &str = "/api/gateways/rebalance";

pub(crate) const USER: &str = "/api/users/{user}";
pub(crate) const INBOX: &str = "/api/users/{user}/notifications";
pub(crate) const NOTIFICATION: &str = "/api/users/{user}/notifications/{id}";

pub(crate) const SCHEDULED: &str = "/api/users/{user}/scheduled";
pub(crate) const SCHEDULED_ONE: &str = "/api/users/{user}/scheduled/{id}";

pub(crate) const REVOKE: &str = "/api/tokens/revoke";
pub(crate) const REVOCATIONS: &str = "/api/tokens/revocations";
pub(crate) const REVOCATION: &str = "/api/tokens/revocations/{id}";
pub(crate) const TICKETS: &str = "/api/tickets";

pub(crate) const MY_INBOX: &str = "/api/me/notifications";
pub(crate) const MY_UNREAD: &str = "/api/me/unread";
pub(crate) const MY_READ: &str = "/api/me/read";
pub(crate) const MY_HISTORY: &str = "/api/me/channels/{channel}/history";

/// Where the routes begin that pages of browsers call, with the token of who looks at them.
pub(crate) const OF_PAGES: [&str; 2] = [TICKETS, "/api/me/"];

pub(crate) const OPENAPI: &str = "/openapi.json";
pub(crate) const ASYNCAPI: &str = "/asyncapi.json";
pub(crate) const DOCS: &str = "/docs";
/// Where the `type` of a problem leads.
pub(crate) const ERRORS: &str = carillon_common::http::ERRORS_PAGE;
