//! What is to be known about a deployment before it has to be known: `facts` are gathered, then judged
//! purely. `carillon doctor` says all of it; a service that starts says what it can see ([`watch`]).

mod facts;
mod last;
mod local;
mod node;
mod start;

pub use facts::{NodeFacts, gather, look, recorded_partitions};
pub use last::{LastLook, Look};
pub use local::{check_key_sets, check_local, in_memory};
pub use node::{Expected, check_deployment, check_node, check_store};
pub use start::{REASONS, Role, watch};

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, until something else happens.
    Warning,
    /// It does not work, or loses what was accepted.
    Failure,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub what: &'static str,
    /// The Redis node, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was found.
    pub detail: String,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what,
            node: None,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// It works, until something else happens.
    pub fn warning(
        what: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self {
            level: Level::Warning,
            remedy,
            ..Self::ok(what, detail)
        }
    }

    /// It does not work, or loses what was accepted.
    pub fn failure(
        what: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(what, detail, remedy)
        }
    }
}
