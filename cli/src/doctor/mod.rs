//! What is to be known about a deployment before it has to be known: gathered by `facts`, judged
//! by `checks`; `cluster` is the same for Kubernetes.

mod access;
mod checks;
mod cluster;
mod facts;
mod local;

pub(crate) use access::{check_access, refused};
pub(crate) use checks::{Expected, check_deployment, check_node};
pub(crate) use cluster::check_cluster;
pub(crate) use facts::{NodeFacts, gather, recorded_partitions};
pub(crate) use local::check_local;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Warning,
    Failure,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) what: &'static str,
    /// The Redis node, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// What was found.
    pub(crate) detail: String,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what,
            node: None,
            detail: detail.into(),
            remedy: None,
        }
    }

    pub(crate) fn warning(
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

    pub(crate) fn failure(
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
