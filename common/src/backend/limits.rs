//! What a store keeps within.

use std::time::Duration;

/// A page ends before the frame that would make its bodies exceed this, in bytes; it holds at least
/// one frame. Many readers may hold one at once, and have another read while they write it.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Connections of one session that were opened within this time of each other are ordered by who
/// registers last: clocks tell no finer than that.
pub const OPENED_TOGETHER: Duration = Duration::from_secs(1);

/// Limits that a store keeps; see the settings of the same names.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an inbox lasts, and the most a notification may.
    pub inbox_ttl: Duration,
    /// Unacked notifications per user.
    pub inbox_max: u32,
    /// Notifications of one user that wait for their time.
    pub scheduled: u32,
    /// Acked ones that stay readable.
    pub inbox_keep: u32,
    /// Frames per page.
    pub page: u32,
    /// Devices of a user that hold trimming back.
    pub devices: u32,
    /// For how long after they were last seen.
    pub device_ttl: Duration,
    /// Connections of one user, on all gateways.
    pub connections: u32,
    /// Subscriptions of one user that outlive connections.
    pub kept: u32,
    /// Channels that services may put one user on.
    pub assigned: u32,
    /// How long an ended simple connection's subscriptions wait for the next one.
    pub restore: Duration,
    /// A gateway's lease.
    pub lease_ttl: Duration,
    /// How often it is renewed.
    pub lease_renew: Duration,
    /// After how long without the store a gateway closes its sockets; zero: never.
    pub isolation_deadline: Duration,
}

impl Limits {
    /// How many devices that are not connected the store knows of a user: twice those that hold
    /// trimming back, so that one which comes and goes is not taken for a stranger.
    pub fn idle_devices(&self) -> u32 {
        self.devices.saturating_mul(2)
    }
}
