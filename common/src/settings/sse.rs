//! `[sse]`: event streams, for clients whose networks let no WebSocket through.

use std::time::Duration;

use super::read::settings;

settings! {
    /// `[sse]`: event streams (server-sent events).
    pub struct SseSettings {
        /// Path of the streams, on the gateway's public port.
        pub path: String,
        /// Personal notifications that a stream may hold unacked; then it ends.
        pub unacked: u32,
        /// How long one of them may be unacked; then its stream ends.
        pub unacked_for: Duration,
        /// When a client comes back whose stream broke.
        pub retry: Duration,
    }
}
