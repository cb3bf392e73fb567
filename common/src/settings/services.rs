//! `[dispatcher]` and `[admin]`: the other listeners.

use std::net::SocketAddr;
use std::time::Duration;

use super::read::settings;

settings! {
    /// `[dispatcher]`: the REST service.
    pub struct DispatcherSettings {
        /// Address of the REST port.
        pub listen: SocketAddr,
        /// Largest request body, in bytes.
        pub body_bytes: usize,
        /// Longest time of a request.
        pub request_timeout: Duration,
        /// How long the store is tried, within that.
        pub store_timeout: Duration,
    }
}

settings! {
    /// `[admin]`: health and metrics of either service.
    pub struct AdminSettings {
        /// Address of the admin port.
        pub listen: SocketAddr,
    }
}
