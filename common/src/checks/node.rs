//! The judgements: facts in, findings out.

use std::{borrow::Cow, time::Duration};

use super::{Finding, NodeFacts, facts::LIST_CHANNELS};
use crate::{
    backend::{
        redis::{RedisOptions, library},
        url::{Deployment, RedisUrl},
    },
    settings::Settings,
};

/// Pub/Sub buffers below this cut a gateway off at every burst (Redis' own default is 32 MB).
const PUBSUB_BUFFER_BYTES: u64 = 32 << 20;

/// What the configuration asks of the nodes.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Copies that a send waits for.
    pub replicas: u32,
    /// Tolerated difference of clocks.
    pub clock_tolerance: Duration,
    /// The library of this version.
    pub library: Cow<'static, str>,
    /// `backend.partitions`
    pub partitions: u16,
    /// Whether Sentinel decides which node is the primary.
    pub sentinel: bool,
}

impl Expected {
    /// What these settings ask of the nodes that the URL leads to.
    pub fn new(settings: &Settings, url: &RedisUrl, options: &RedisOptions) -> Self {
        Self {
            replicas: options.durability.map_or(0, |it| it.replicas.into()),
            clock_tolerance: settings.redis.clock_tolerance,
            library: library().name,
            partitions: settings.backend.partitions,
            sentinel: matches!(url.deployment, Deployment::Sentinel { .. }),
        }
    }
}

/// Everything about one primary.
pub fn check_node(facts: &NodeFacts, expected: &Expected) -> Vec<Finding> {
    let findings = vec![
        version(facts),
        permissions(facts),
        loaded(facts, expected),
        eviction(facts),
        persistence(facts, expected),
        replicas(facts, expected),
        clock(facts, expected),
        buffers(facts),
    ];
    at(facts, findings)
}

/// What a service can see of one primary by [`look`](super::look).
pub fn check_store(facts: &NodeFacts, expected: &Expected) -> Vec<Finding> {
    let findings = vec![
        version(facts),
        eviction(facts),
        persistence(facts, expected),
        replicas(facts, expected),
    ];
    at(facts, findings)
}

fn at(facts: &NodeFacts, mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.node = Some(facts.node.clone());
    }
    findings
}

/// What holds for the deployment as a whole.
pub fn check_deployment(recorded: Option<u16>, expected: &Expected) -> Finding {
    const WHAT: &str = "partitions";
    match recorded {
        None => Finding::ok(WHAT, "not recorded yet: the first service to start does it"),
        Some(recorded) if recorded == expected.partitions => {
            Finding::ok(WHAT, format!("{recorded}, as configured"))
        }
        Some(recorded) => Finding::failure(
            WHAT,
            format!(
                "{recorded} are recorded, {} are configured",
                expected.partitions
            ),
            format!("set backend.partitions = {recorded}: it cannot be changed later"),
        ),
    }
}

fn field<'a>(facts: &'a NodeFacts, name: &str) -> &'a str {
    facts.info.get(name).map_or("", String::as_str)
}

fn number(facts: &NodeFacts, name: &str) -> Option<u64> {
    field(facts, name).parse().ok()
}

fn version(facts: &NodeFacts) -> Finding {
    const WHAT: &str = "version";
    let valkey = field(facts, "valkey_version");
    if !valkey.is_empty() {
        return Finding::ok(WHAT, format!("Valkey {valkey}"));
    }
    let version = field(facts, "redis_version");
    match version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
    {
        Some(7..) => Finding::ok(WHAT, format!("Redis {version}")),
        _ => Finding::failure(
            WHAT,
            format!("Redis {version:?} has neither functions nor sharded Pub/Sub"),
            "use Redis 7.0 or later, or Valkey",
        ),
    }
}

fn permissions(facts: &NodeFacts) -> Finding {
    const WHAT: &str = "permissions";
    let refused = |name: &str| facts.refused.iter().find(|(it, _)| *it == name);
    let others: Vec<_> = facts
        .refused
        .iter()
        .filter(|(name, _)| !matches!(*name, "FCALL" | LIST_CHANNELS))
        .collect();
    if others.is_empty() {
        return match (refused("FCALL"), refused(LIST_CHANNELS)) {
            (None, None) => Finding::ok(WHAT, "this user may do what the services do"),
            (Some((_, words)), _) => Finding::warning(
                WHAT,
                format!("functions are refused, scripts take their place: {words}"),
                "allow +fcall to this user, and run `carillon redis load` as one who may",
            ),
            (None, Some((_, words))) => Finding::warning(
                WHAT,
                format!("followed channels cannot be listed (GET /api/channels): {words}"),
                "allow +pubsub|shardchannels to this user, if it is a dispatcher's",
            ),
        };
    }
    let named: Vec<_> = others
        .iter()
        .map(|(name, words)| format!("{name} ({words})"))
        .collect();
    Finding::failure(
        WHAT,
        format!("this user may not: {}", named.join("; ")),
        "give it the minimal ACL of the documentation, for the configured redis.prefix",
    )
}

fn loaded(facts: &NodeFacts, expected: &Expected) -> Finding {
    const WHAT: &str = "functions";
    match &facts.libraries {
        Some(libraries) if libraries.iter().any(|name| *name == expected.library) => {
            Finding::ok(WHAT, format!("{} is loaded", expected.library))
        }
        Some(_) => Finding::ok(
            WHAT,
            format!(
                "{} is not loaded yet: the first service to start does it",
                expected.library
            ),
        ),
        None => Finding::warning(
            WHAT,
            "this user may not list functions, so it may not load them either",
            "run `carillon redis load` as a user who may, before each new version",
        ),
    }
}

fn eviction(facts: &NodeFacts) -> Finding {
    const WHAT: &str = "eviction";
    let policy = field(facts, "maxmemory_policy");
    match (policy, number(facts, "maxmemory")) {
        ("noeviction", _) => Finding::ok(WHAT, "noeviction"),
        (policy, Some(0)) => Finding::warning(
            WHAT,
            format!("{policy}, without effect while maxmemory is 0"),
            "set maxmemory-policy noeviction before somebody sets maxmemory",
        ),
        (policy, _) => Finding::failure(
            WHAT,
            format!("{policy}: Redis throws inboxes away when its memory is full"),
            "set maxmemory-policy noeviction",
        ),
    }
}

fn persistence(facts: &NodeFacts, expected: &Expected) -> Finding {
    const WHAT: &str = "persistence";
    if field(facts, "aof_enabled") == "1" {
        if field(facts, "aof_last_write_status") == "err" {
            return Finding::failure(WHAT, "the last write to the AOF failed", "look at its disk");
        }
        return match facts.fsync.as_deref() {
            Some("always") => Finding::ok(WHAT, "AOF, always: a crash loses nothing"),
            Some("no") => Finding::warning(
                WHAT,
                "AOF, but when it reaches the disk is left to the operating system",
                "set appendfsync everysec or always",
            ),
            _ => Finding::ok(
                WHAT,
                "AOF: a crash loses at most 2 s, unless replicas have them",
            ),
        };
    }
    let snapshots = facts.snapshots.as_deref().is_some_and(|it| !it.is_empty());
    match (snapshots, expected.replicas) {
        (true, 0) => Finding::failure(
            WHAT,
            "no AOF: a restart loses everything since the last snapshot",
            "set appendonly yes",
        ),
        (true, _) => Finding::warning(
            WHAT,
            "no AOF: a primary that restarts before another is promoted goes back to its last \
             snapshot, and its replicas with it",
            "set appendonly yes on every node",
        ),
        (false, 0) => Finding::failure(
            WHAT,
            "no AOF: a restart loses everything",
            "set appendonly yes",
        ),
        (false, _) => nothing_kept(expected.sentinel),
    }
}

/// Replicas alone do not keep what no node has on disk.
fn nothing_kept(sentinel: bool) -> Finding {
    let mut remedy = "set appendonly yes on every node".to_owned();
    if sentinel {
        remedy.push_str(
            "; a `sentinel master-reboot-down-after-period` above 0 has Sentinel promote a replica while \
             the restarted primary still reads its data, but one that has none answers at once and \
             stays the primary",
        );
    }
    Finding::failure(
        "persistence",
        "nothing is kept on disk: a primary that restarts empty before another is promoted wipes its \
         replicas",
        remedy,
    )
}

fn replicas(facts: &NodeFacts, expected: &Expected) -> Finding {
    const WHAT: &str = "replicas";
    let online = (0..number(facts, "connected_slaves").unwrap_or(0))
        .filter(|n| field(facts, &format!("slave{n}")).contains("state=online"))
        .count();
    let needed = usize::try_from(expected.replicas).unwrap_or(usize::MAX);
    let detail = format!("{online} online, each send waits for {needed}");
    if online < needed {
        let remedy = format!("add {} or every send is refused with 503", needed - online);
        Finding::failure(WHAT, detail, remedy)
    } else if online == needed && needed > 0 {
        Finding::warning(
            WHAT,
            detail,
            "add one more, or sends are refused while one is away",
        )
    } else {
        Finding::ok(WHAT, detail)
    }
}

fn clock(facts: &NodeFacts, expected: &Expected) -> Finding {
    const WHAT: &str = "clock";
    let Some((offset, took)) = facts.clock else {
        return Finding::warning(WHAT, "its time cannot be asked", "allow +time to this user");
    };
    // Half of the question's time is what the answer can be wrong by.
    let least = Duration::from_millis(offset.unsigned_abs()).saturating_sub(took / 2);
    let detail = format!("{offset:+} ms from this machine's");
    if least > expected.clock_tolerance {
        Finding::warning(
            WHAT,
            detail,
            "run NTP on both; every expiry is judged by Redis' clock",
        )
    } else {
        Finding::ok(WHAT, detail)
    }
}

/// Bytes, seconds and hard limit stand behind each other for each class of clients.
fn buffers(facts: &NodeFacts) -> Finding {
    const WHAT: &str = "buffers";
    let Some(limits) = &facts.buffer_limits else {
        return Finding::ok(WHAT, "the limit of Pub/Sub buffers may not be asked");
    };
    let mut words = limits
        .split_whitespace()
        .skip_while(|word| *word != "pubsub")
        .skip(1);
    match words.next().and_then(|hard| hard.parse::<u64>().ok()) {
        Some(hard) if hard > 0 && hard < PUBSUB_BUFFER_BYTES => Finding::warning(
            WHAT,
            format!("a gateway that is {hard} bytes behind is cut off, and has to read again"),
            "set client-output-buffer-limit \"pubsub 32mb 8mb 60\" or more",
        ),
        _ => Finding::ok(WHAT, "the limit of Pub/Sub buffers is high enough"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, super::facts::parse_info, *};

    const GOOD: &str = "redis_version:7.0.15\nmaxmemory:1000\nmaxmemory_policy:noeviction\n\
        aof_enabled:1\naof_last_write_status:ok\nrole:master\nconnected_slaves:2\n\
        slave0:ip=a,port=1,state=online,offset=1\nslave1:ip=b,port=1,state=online,offset=1\n";

    fn expected() -> Expected {
        Expected {
            replicas: 1,
            clock_tolerance: Duration::from_secs(1),
            library: Cow::Borrowed("carillon_1"),
            partitions: 64,
            sentinel: false,
        }
    }

    fn facts(info: &str) -> NodeFacts {
        NodeFacts {
            node: "h:1".to_owned(),
            info: parse_info(info),
            libraries: Some(vec!["carillon_1".to_owned()]),
            fsync: Some("everysec".to_owned()),
            snapshots: Some("3600 1".to_owned()),
            buffer_limits: Some("normal 0 0 0 slave 1 1 1 pubsub 33554432 8388608 60".to_owned()),
            clock: Some((20, Duration::from_millis(2))),
            refused: Vec::new(),
        }
    }

    /// The findings that are not well, as `level what`.
    fn complaints(facts: &NodeFacts) -> Vec<String> {
        let findings = check_node(facts, &expected());
        assert_eq!(findings.len(), 8);
        let bad = findings.into_iter().filter(|it| it.level != Level::Ok);
        bad.map(|it| {
            assert!(it.remedy.is_some() && it.node.is_some(), "{it:?}");
            format!("{:?} {}", it.level, it.what)
        })
        .collect()
    }

    #[test]
    fn a_good_node_has_no_complaints() {
        assert_eq!(complaints(&facts(GOOD)), Vec::<String>::new());
    }

    #[test]
    fn each_field_of_info_has_its_complaint() {
        for (from, to, complaint) in [
            ("7.0.15", "6.2.6", "Failure version"),
            ("noeviction", "allkeys-lru", "Failure eviction"),
            ("aof_enabled:1", "aof_enabled:0", "Warning persistence"),
            ("status:ok", "status:err", "Failure persistence"),
            (
                "connected_slaves:2",
                "connected_slaves:1",
                "Warning replicas",
            ),
            (
                "connected_slaves:2",
                "connected_slaves:0",
                "Failure replicas",
            ),
        ] {
            assert_eq!(
                complaints(&facts(&GOOD.replace(from, to))),
                [complaint],
                "{to}"
            );
        }
        let syncing = GOOD.replace("state=online", "state=wait_bgsave");
        assert_eq!(complaints(&facts(&syncing)), ["Failure replicas"]);
    }

    #[test]
    fn replicas_do_not_take_the_place_of_a_disk() {
        let mut facts = facts(&GOOD.replace("aof_enabled:1", "aof_enabled:0"));
        let judged = |facts: &NodeFacts, replicas, sentinel| {
            let expected = Expected {
                replicas,
                sentinel,
                ..expected()
            };
            persistence(facts, &expected)
        };
        assert_eq!(judged(&facts, 0, false).level, Level::Failure);
        assert_eq!(judged(&facts, 1, false).level, Level::Warning);
        for nothing in [Some(String::new()), None] {
            facts.snapshots = nothing;
            let found = judged(&facts, 1, false);
            assert_eq!(found.level, Level::Failure, "{found:?}");
            assert!(found.detail.contains("wipes its replicas"), "{found:?}");
            assert!(!found.remedy.unwrap().contains("sentinel"));
            let found = judged(&facts, 1, true);
            let named = "master-reboot-down-after-period";
            assert!(found.remedy.unwrap().contains(named));
        }
    }

    #[test]
    fn each_other_fact_has_its_complaint() {
        let mut slow = facts(GOOD);
        slow.clock = Some((-5000, Duration::from_millis(10)));
        assert_eq!(complaints(&slow), ["Warning clock"]);
        let mut unsure = facts(GOOD);
        unsure.clock = Some((5000, Duration::from_secs(9)));
        assert_eq!(
            complaints(&unsure),
            Vec::<String>::new(),
            "may be the way's time"
        );

        let mut small = facts(GOOD);
        small.buffer_limits = Some("pubsub 1048576 0 0".to_owned());
        assert_eq!(complaints(&small), ["Warning buffers"]);

        let mut refused = facts(GOOD);
        refused.refused = vec![("FCALL", "no permissions".to_owned())];
        assert_eq!(complaints(&refused), ["Warning permissions"]);
        let mut unlisted = facts(GOOD);
        unlisted.refused = vec![(LIST_CHANNELS, "no permissions".to_owned())];
        assert_eq!(complaints(&unlisted), ["Warning permissions"]);
        refused
            .refused
            .push(("SPUBLISH", "no permissions".to_owned()));
        assert_eq!(complaints(&refused), ["Failure permissions"]);

        let mut closed = facts(GOOD);
        closed.libraries = None;
        assert_eq!(complaints(&closed), ["Warning functions"]);
    }

    #[test]
    fn another_number_of_partitions_is_a_failure() {
        assert_eq!(check_deployment(None, &expected()).level, Level::Ok);
        assert_eq!(check_deployment(Some(64), &expected()).level, Level::Ok);
        assert_eq!(
            check_deployment(Some(16), &expected()).level,
            Level::Failure
        );
    }
}
