//! What keeps a store from serving, told apart: an outage passes, a wrong password does not.
//!
//! This is the one list of kinds. Logs, the metric `carillon_redis_errors_total{kind}`, the problems
//! that REST answers, readiness and `carillon doctor` all speak by it, and a service that starts
//! decides by it whether to wait.

use std::{fmt, time::Duration};

/// How long a start waits for what passes with a planned failover: the name of a primary is pointed
/// to another server within seconds, the name of a replica never is.
const FAILOVER: Duration = Duration::from_secs(10);

/// What is wrong between a service and its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nobody answers at its address.
    Unreachable,
    /// It was asked and did not answer in time.
    Unanswered,
    /// It says itself that it is not ready: it loads its data, or its cluster is being changed.
    NotReady,
    /// It has as many clients as it takes.
    MaxClients,
    /// Too few replicas, by its own configuration or by `durability.replicas`.
    TooFewReplicas,
    /// It is a replica, which takes no writes.
    Replica,
    /// It does not accept the user or the password, or wants one.
    Auth,
    /// The user may not do what a service does.
    Permission,
    /// Encryption on one side alone, or a certificate that one side does not accept.
    Tls,
    /// Its memory is full.
    OutOfMemory,
    /// It cannot write to its disk, and refuses writes because of that.
    Disk,
    /// It is there, and not what the URL says: a cluster's node, a sentinel, an old version.
    WrongServer,
    /// It refuses something else that was configured, here or there.
    Misconfigured,
    /// An answer that fits nothing: a defect, or a foreign hand in its data.
    Unexpected,
}

/// The label of each kind, and the metric that counts calls which fail so.
macro_rules! labels {
    ($($kind:ident: $label:literal,)*) => {
        impl FaultKind {
            /// Every kind.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$kind),*];

            /// The label of metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $label,)* }
            }

            /// The metric that counts calls which fail so.
            pub fn errors_metric(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!(
                        "carillon_redis_errors_total{kind=\"", $label, "\"}"
                    ),)*
                }
            }
        }
    };
}

labels! {
    Unreachable: "unreachable",
    Unanswered: "unanswered",
    NotReady: "not_ready",
    MaxClients: "max_clients",
    TooFewReplicas: "too_few_replicas",
    Replica: "replica",
    Auth: "auth",
    Permission: "permission",
    Tls: "tls",
    OutOfMemory: "out_of_memory",
    Disk: "disk",
    WrongServer: "wrong_server",
    Misconfigured: "misconfigured",
    Unexpected: "unexpected",
}

/// What a service that starts does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtStart {
    /// Waits: a service and its store start in any order.
    Wait,
    /// Waits as long as a planned failover may take, then ends.
    WaitFor(Duration),
    /// Ends: it would say the same for ever, and whoever started it is there to read it.
    End,
}

impl FaultKind {
    /// What an operator reads first.
    pub fn what(self) -> &'static str {
        match self {
            Self::Unreachable => "Redis cannot be reached",
            Self::Unanswered => "Redis did not answer in time",
            Self::NotReady => "Redis is not ready",
            Self::MaxClients => "Redis takes no more clients",
            Self::TooFewReplicas => "Redis has too few replicas",
            Self::Replica => "this Redis is a replica and takes no writes",
            Self::Auth => "Redis refuses the log-in",
            Self::Permission => "the Redis user may not do what is needed",
            Self::Tls => "no TLS connection to Redis comes about",
            Self::OutOfMemory => "the memory of Redis is full",
            Self::Disk => "Redis cannot write to its disk",
            Self::WrongServer => "this Redis is not what backend.url says",
            Self::Misconfigured => "Redis refuses what is configured",
            Self::Unexpected => "Redis gave an unexpected answer",
        }
    }

    /// What an operator does about it, where a fault does not say it better itself.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => "look whether it runs, and at address, port and network between",
            Self::Unanswered => "look at its load, and at the network between",
            Self::NotReady => "wait until it has loaded its data or its cluster is whole again",
            Self::MaxClients => "raise maxclients of Redis, or end clients that it does not need",
            Self::TooFewReplicas => {
                "bring the replicas back, or ask for fewer: durability.replicas here, \
                 min-replicas-to-write there"
            }
            Self::Replica => {
                "a failover is over in seconds; if it lasts, name the primary in backend.url, or the \
                 sentinels (redis+sentinel://), which know who it is"
            }
            Self::Auth => {
                "correct the user and password in backend.url, or backend.username and \
                 backend.password_file"
            }
            Self::Permission => {
                "give the user the rights of docs/redis-acl.md, for the redis.prefix that is \
                 configured"
            }
            Self::Tls => "make backend.url (redis:// or rediss://) and the certificates fit Redis",
            Self::OutOfMemory => {
                "raise maxmemory of Redis, or shorten inbox.ttl and channels.ttl; its policy stays \
                 noeviction"
            }
            Self::Disk => "make room on its disk, and look at the log of Redis",
            Self::WrongServer => {
                "use redis:// for one server, redis+sentinel:// for sentinels and redis+cluster:// \
                 for a cluster, of Redis 7.0 or later, or Valkey"
            }
            Self::Misconfigured => "change the setting that it names",
            Self::Unexpected => "report it with the log of this service and of Redis",
        }
    }

    /// What a service does that meets it at its start. Full memory and a full disk pass when somebody
    /// makes room, so a service that runs goes on; one that starts cannot take its place without
    /// writing, holds nobody's connection, and is tried again by whatever supervises it.
    pub fn at_start(self) -> AtStart {
        match self {
            Self::Unreachable
            | Self::Unanswered
            | Self::NotReady
            | Self::MaxClients
            | Self::TooFewReplicas => AtStart::Wait,
            Self::Replica => AtStart::WaitFor(FAILOVER),
            Self::Auth
            | Self::Permission
            | Self::Tls
            | Self::OutOfMemory
            | Self::Disk
            | Self::WrongServer
            | Self::Misconfigured
            | Self::Unexpected => AtStart::End,
        }
    }

    /// Whether it may be over in a moment without anybody doing anything.
    pub fn passes(self) -> bool {
        self.at_start() != AtStart::End
    }
}

/// A store that is there and does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// Who said what. Never a secret.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Fault {
    /// With the remedy of its kind.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            remedy: kind.remedy(),
        }
    }

    /// With a remedy of its own.
    #[must_use]
    pub fn with_remedy(self, remedy: &'static str) -> Self {
        Self { remedy, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            detail,
            remedy,
        } = self;
        write!(f, "{} ({detail}): {remedy}", kind.what())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_label_of_its_own_and_says_what_to_do() {
        let labels: HashSet<_> = FaultKind::ALL.map(FaultKind::as_str).into();
        assert_eq!(labels.len(), FaultKind::ALL.len());
        for kind in FaultKind::ALL {
            assert!(!kind.what().is_empty() && !kind.remedy().is_empty());
        }
    }

    #[test]
    fn a_start_waits_for_what_passes() {
        for kind in FaultKind::ALL {
            let passes = match kind.at_start() {
                AtStart::Wait | AtStart::WaitFor(_) => true,
                AtStart::End => false,
            };
            assert_eq!(kind.passes(), passes, "{kind:?}");
        }
        assert_eq!(FaultKind::Replica.at_start(), AtStart::WaitFor(FAILOVER));
    }

    #[test]
    fn a_fault_says_what_it_is_who_said_so_and_what_to_do() {
        let fault = Fault::new(FaultKind::Auth, "h:1: WRONGPASS no");
        let text = fault.to_string();
        assert!(text.starts_with("Redis refuses the log-in (h:1: WRONGPASS no): correct"));
        assert!(fault.with_remedy("try").to_string().ends_with(": try"));
    }
}
