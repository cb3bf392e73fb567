//! `[lease]` and `[audit]`: how a gateway stays known, and how it checks itself.

use std::time::Duration;

use super::read::settings;

settings! {
    /// `[lease]`: a gateway's lease vouches for all its connections.
    pub struct LeaseSettings {
        /// Life of a lease that is not renewed.
        pub ttl: Duration,
        /// Time between renewals, less than half of `ttl`.
        pub renew: Duration,
        /// Time without Redis after which a gateway closes its connections; zero is never.
        pub isolation_deadline: Duration,
    }
}

settings! {
    /// `[audit]`: the comparison of what was delivered with what the backend holds.
    pub struct AuditSettings {
        /// Time between two audits of one user.
        pub interval: Duration,
    }
}
