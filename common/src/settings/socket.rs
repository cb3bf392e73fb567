//! `[socket]`: bounds and deadlines of one connection.

use std::time::Duration;

use super::read::settings;

settings! {
    /// `[socket]`: bounds and deadlines of one connection.
    pub struct SocketSettings {
        /// Time between pings of the gateway.
        pub ping_interval: Duration,
        /// Longest time of a ping's answer.
        pub pong_timeout: Duration,
        /// Longest silence of a client.
        pub idle_timeout: Duration,
        /// Largest frame of a client, in bytes.
        pub frame_bytes: usize,
        /// Most channels of a connection.
        pub channels: usize,
        /// Frames of a client per second.
        pub frames_per_second: u32,
        /// Frames at once beyond the rate.
        pub frames_burst: u32,
        /// What may wait, be written, and be in the kernel until it is read, in bytes.
        pub outbox_bytes: usize,
        /// How long an outbox may stay full.
        pub slow_consumer_timeout: Duration,
        /// How long acknowledgements are gathered …
        pub ack_interval: Duration,
        /// … or how many.
        pub ack_batch: u32,
    }
}
