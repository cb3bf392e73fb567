//! `[dispatcher]` and `[admin]`: the other listeners.

use std::net::SocketAddr;
use std::time::Duration;

use super::read::settings;
use super::values::Auto;
use crate::backend::Quota;

/// Descriptors kept for the admin port, the store and the log.
const RESERVED_DESCRIPTORS: u64 = 200;
/// Connections of a dispatcher that was left to choose.
const AUTO_CONNECTIONS: u64 = 4096;

settings! {
    /// `[dispatcher]`: the REST service.
    pub struct DispatcherSettings {
        /// Address of the REST port.
        pub listen: SocketAddr,
        /// Most connections; see [`DispatcherSettings::connection_limit`].
        pub max_connections: Auto<u32>,
        /// Largest request body, in bytes.
        pub body_bytes: usize,
        /// Largest body of a batch, in bytes.
        pub batch_bytes: usize,
        /// Longest time of a body.
        pub body_timeout: Duration,
        /// Bodies of one API key on their way at once.
        pub bodies_per_key: usize,
        /// Bytes of all bodies that are being read or worked on.
        pub bodies_bytes: usize,
        /// Requests a second of one user's pages, on each dispatcher; three times as many at once.
        pub requests_per_user: u32,
        /// Longest time of a request.
        pub request_timeout: Duration,
        /// How long the store is tried, within that.
        pub store_timeout: Duration,
        /// Notifications a second of one service, over all dispatchers; zero for any.
        pub sends_per_key: u32,
        /// How many at once.
        pub sends_per_key_burst: Auto<u32>,
        /// Notifications a second for one user, over all dispatchers; zero for any.
        pub sends_per_user: u32,
        /// How many at once.
        pub sends_per_user_burst: Auto<u32>,
    }
}

impl DispatcherSettings {
    /// The connection limit under a hard limit of `descriptors` open files. A number that does not fit is
    /// cut: those that are idle give way.
    pub fn connection_limit(&self, descriptors: u64) -> usize {
        let fits = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(16);
        let asked = match self.max_connections {
            Auto::Value(asked) => u64::from(asked),
            Auto::Auto => AUTO_CONNECTIONS,
        };
        usize::try_from(asked.min(fits)).unwrap_or(usize::MAX)
    }

    /// How fast a service may send that has no rate of its own; none for any.
    pub fn key_quota(&self) -> Option<Quota> {
        quota(self.sends_per_key, self.sends_per_key_burst)
    }

    /// How fast one user may be sent to; none for any.
    pub fn user_quota(&self) -> Option<Quota> {
        quota(self.sends_per_user, self.sends_per_user_burst)
    }
}

/// Left to choose, as many at once as in a second.
fn quota(per_second: u32, burst: Auto<u32>) -> Option<Quota> {
    (per_second > 0).then(|| Quota {
        per_second,
        burst: burst.unwrap_or(per_second),
    })
}

settings! {
    /// `[admin]`: health and metrics of either service.
    pub struct AdminSettings {
        /// Address of the admin port.
        pub listen: SocketAddr,
    }
}
