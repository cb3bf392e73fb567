//! `[backend]`, `[redis]` and `[durability]`: where things are kept, and how surely.

use std::path::PathBuf;
use std::time::Duration;

use super::read::settings;
use super::values::Auto;
use crate::auth::Secret;
use crate::backend::url::StoreUrl;

settings! {
    /// `[backend]`: where inboxes, channels and presence live.
    pub struct BackendSettings {
        /// URL that chooses the backend; secret, because it may hold a password. After loading, this
        /// is what `url_file` held, if one is named.
        pub(super) url: Secret<String>,
        /// File that holds the URL.
        pub(super) url_file: Option<PathBuf>,
        /// User, beside a URL without one.
        pub username: Option<String>,
        /// File that holds the password, beside a URL without one.
        pub password_file: Option<PathBuf>,
        /// User for the sentinels, beside a URL without one.
        pub sentinel_username: Option<String>,
        /// File that holds the sentinels' password, beside a URL without one.
        pub sentinel_password_file: Option<PathBuf>,
        /// File with the authorities to trust instead of the public ones.
        pub ca_file: Option<PathBuf>,
        /// File with the certificate that is shown to Redis.
        pub cert_file: Option<PathBuf>,
        /// File with its private key.
        pub key_file: Option<PathBuf>,
        /// Slots that users and channels are spread over, 1 to 1024.
        pub partitions: u16,
        /// Longest time of a call.
        pub response_timeout: Duration,
        /// Longest time of a connection attempt.
        pub connect_timeout: Duration,
        ;
        /// The store that these name together, with its log-in and certificates.
        pub store: StoreUrl,
    }
}

settings! {
    /// `[redis]`: what only the Redis backend needs.
    pub struct RedisSettings {
        /// Start of every key and channel.
        pub prefix: String,
        /// Time between two probes of the bus.
        pub probe_interval: Duration,
        /// Longest way of a probe.
        pub probe_timeout: Duration,
        /// Time between two measurements of the offset to Redis' clock.
        pub clock_interval: Duration,
        /// Offset above which the process is degraded.
        pub clock_tolerance: Duration,
    }
}

settings! {
    /// `[durability]`: what must have happened before a send is accepted.
    pub struct DurabilitySettings {
        /// Copies that must have acknowledged; auto depends on the backend.
        pub replicas: Auto<u32>,
        /// Longest wait for them.
        pub wait_timeout: Duration,
        /// Most sends of one group commit.
        pub batch: usize,
    }
}
