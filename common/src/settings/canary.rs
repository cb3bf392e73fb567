//! `[canary]`: a client of the dispatchers' own.

use std::path::PathBuf;
use std::time::Duration;

use super::read::settings;

settings! {
    /// `[canary]`: what sends to itself, once round the deployment.
    pub struct CanarySettings {
        /// Where it connects; it does not run without.
        pub url: Option<String>,
        /// The token that it shows, read for each connection.
        pub token_file: Option<PathBuf>,
        /// The authorities to trust instead of the public ones.
        pub ca_file: Option<PathBuf>,
        /// From one round to the next.
        pub interval: Duration,
        /// Longest time of a round.
        pub timeout: Duration,
    }
}
