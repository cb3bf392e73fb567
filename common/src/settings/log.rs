//! `[log]`: what is written to stderr.

use super::read::{settings, words};

settings! {
    /// `[log]`: what is written to stderr.
    pub struct LogSettings {
        /// For people or for machines.
        pub format: LogFormat,
        /// A level, or levels by part.
        pub level: String,
    }
}

/// For whom log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line, coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

words!(LogFormat {
    Human: "human",
    Json: "json"
});
