//! `[inbox]` and `[idempotency]`: the notifications of one user, and repeated sends.

use std::time::Duration;

use super::read::settings;

settings! {
    /// `[inbox]`: bounds of one user's inbox.
    pub struct InboxSettings {
        /// Longest and default life of a notification.
        pub ttl: Duration,
        /// Most unacknowledged notifications.
        pub max: usize,
        /// Most notifications that wait for their time.
        pub scheduled: usize,
        /// Newest notifications that stay readable after the acknowledgement.
        pub keep: usize,
        /// Notifications of one read when a connection catches up.
        pub page: usize,
        /// Devices that hold trimming back.
        pub devices: usize,
        /// How long after it was last seen a device does so.
        pub device_ttl: Duration,
        /// Connections of one user on all gateways.
        pub connections: usize,
    }
}

settings! {
    /// `[idempotency]`: how long a repeated send is recognised.
    pub struct IdempotencySettings {
        /// For a request with a key.
        pub ttl: Duration,
        /// For sends without a key, which the dispatcher itself may repeat.
        pub retry: Duration,
    }
}
