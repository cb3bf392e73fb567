//! The routes by name, as metrics and documents have them.

/// Every route, with its method, as docs/api.md has them.
pub const ROUTES: [(&str, &str); 6] = [
    ("POST", SEND),
    ("POST", BROADCAST),
    ("GET", ONLINE_COUNT),
    ("GET", GATEWAYS),
    ("POST", DRAIN),
    ("POST", REBALANCE),
];

/// What shows the contract: to everyone, without a key.
pub const PAGES: [&str; 4] = [OPENAPI, ASYNCAPI, DOCS, ERRORS];

pub(crate) const SEND: &str = "/api/notifications/send";
pub(crate) const BROADCAST: &str = "/api/notifications/broadcast";
pub(crate) const ONLINE_COUNT: &str = "/api/notifications/online-count";
pub(crate) const GATEWAYS: &str = "/api/gateways";
pub(crate) const DRAIN: &str = "/api/gateways/{id}/drain";
pub(crate) const REBALANCE: &str = "/api/gateways/rebalance";

pub(crate) const OPENAPI: &str = "/openapi.json";
pub(crate) const ASYNCAPI: &str = "/asyncapi.json";
pub(crate) const DOCS: &str = "/docs";
/// Where the `type` of a problem leads.
pub(crate) const ERRORS: &str = carillon_common::http::ERRORS_PAGE;
