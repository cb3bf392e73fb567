//! What a service sees of it by itself: said at its start and whenever it changes, and shown as a gauge.

use std::{sync::Arc, time::Duration};

use prometheus::IntGaugeVec;
use tokio::time::sleep;

use super::{
    Expected, Finding, LastLook, Level, check_store,
    local::{KEY_SETS, check_running, in_memory},
    look,
};
use crate::{
    auth::Keyring,
    backend::{
        self,
        clock::local_now,
        redis::link::{Link, LinkError},
        url::StoreUrl,
    },
    settings::{Credentials, Settings},
};

/// What is looked at, as the gauge's `reason` has it: all of these, always.
pub const REASONS: [&str; 11] = [
    "api_keys",
    "eviction",
    "issuers",
    "key_sets",
    "key_sets_of_services",
    "open_files",
    "persistence",
    "replicas",
    "store",
    "unchecked",
    "version",
];

/// Between two looks: what is changed on Redis is seen by then.
const EVERY: Duration = Duration::from_secs(300);
/// Until Redis can be asked for the first time, and again after it could not.
const SOON: Duration = Duration::from_secs(5);

/// Which service looks: what another needs is not its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It checks tokens and holds sockets.
    Gateway,
    /// It checks API keys.
    Dispatcher,
    /// Both in one process.
    Standalone,
}

impl Role {
    /// Whether a process can do anything with what is left of credentials that are not in order: let
    /// somebody connect, or somebody send.
    pub(crate) fn is_of_use(self, credentials: &Credentials) -> bool {
        let connects = self != Self::Dispatcher && !credentials.verifier.is_empty();
        let callers = !credentials.api_keys.is_empty() || !credentials.services.is_empty();
        let sends = self != Self::Gateway && callers;
        connects || sends
    }

    fn concerns(self, finding: &Finding) -> bool {
        match finding.what {
            "API keys" => self != Self::Gateway,
            "issuers" | "open files" | KEY_SETS => self != Self::Dispatcher,
            _ => true,
        }
    }
}

/// Says at WARN, with the remedy, what `carillon doctor` would complain about, and shows it in `gauge`.
/// Redis is asked once it can be reached, credentials are looked at whenever they change. `last` has all of it, for
/// whoever asks. Never ends.
pub async fn watch(
    settings: Arc<Settings>,
    role: Role,
    gauge: IntGaugeVec,
    keyring: Keyring,
    last: LastLook,
) {
    let mut told = Told::new(gauge);
    let mut changes = keyring.changes();
    let in_memory_alone = settings.backend.store.is_memory();
    let mut seen = Vec::new();
    let mut looked_at = None;
    if in_memory_alone {
        looked_at = Some(local_now());
        seen.push(in_memory(role == Role::Standalone));
    }
    let mut pause = Duration::ZERO;
    loop {
        let mut findings = check_running(&settings, &keyring.current()).to_vec();
        findings.retain(|finding| role.concerns(finding));
        findings.extend(seen.iter().cloned());
        last.saw(&findings, looked_at);
        told.tell(findings);
        tokio::select! {
            // It does not end while the keyring is held here.
            _ = changes.changed() => {}
            () = sleep(pause), if !in_memory_alone => match look_at_redis(&settings).await {
                Some(found) => {
                    (seen, pause) = (found, EVERY);
                    looked_at = Some(local_now());
                }
                // That it is away is said by whoever needs it.
                None => pause = SOON,
            },
        }
    }
}

/// What is found at the primaries, over connections of its own that end with the look; none when a
/// primary does not answer.
async fn look_at_redis(settings: &Settings) -> Option<Vec<Finding>> {
    let StoreUrl::Redis(url) = &settings.backend.store else {
        return None;
    };
    let options = backend::redis_options(settings, url);
    let expected = Expected::new(settings, url, &options);
    let link = Link::connect((**url).clone(), options.link).await.ok()?;
    let mut findings = Vec::new();
    for node in link.primaries() {
        match look(&link, &node).await {
            Ok(facts) => findings.extend(check_store(&facts, &expected)),
            Err(LinkError::Server { code, .. }) => findings.push(Finding {
                node: Some(node.to_string()),
                ..unchecked(&code)
            }),
            Err(_) => return None,
        }
    }
    Some(findings)
}

fn unchecked(code: &str) -> Finding {
    Finding::warning(
        "unchecked",
        format!("eviction, persistence and replicas cannot be seen: INFO is answered with {code}"),
        "add +info to this service's user in Redis",
    )
}

/// What was said already.
struct Told {
    config_warnings: IntGaugeVec,
    complaints: Vec<Finding>,
}

impl Told {
    fn new(config_warnings: IntGaugeVec) -> Self {
        Self {
            config_warnings,
            complaints: Vec::new(),
        }
    }

    /// Says what is new, and what is over.
    fn tell(&mut self, mut findings: Vec<Finding>) {
        findings.retain(|finding| finding.level != Level::Ok);
        for reason in REASONS {
            let wrong = findings.iter().any(|it| label(it.what) == reason);
            self.config_warnings
                .with_label_values(&[reason])
                .set(i64::from(wrong));
        }
        for new in findings.iter().filter(|it| !self.complaints.contains(it)) {
            tracing::warn!(
                what = new.what,
                node = new.node,
                remedy = new.remedy,
                "{}: {}",
                new.what,
                new.detail
            );
        }
        for over in &self.complaints {
            let stays = |it: &Finding| it.what == over.what && it.node == over.node;
            if !findings.iter().any(stays) {
                let Finding { what, node, .. } = over;
                tracing::info!(what, node, "{what}: as it should be now");
            }
        }
        self.complaints = findings;
    }
}

/// A check's name as a label's value.
fn label(what: &str) -> String {
    what.to_ascii_lowercase().replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use super::{super::NodeFacts, *};
    use crate::telemetry::Metrics;

    fn local() -> Vec<Finding> {
        let settings = Settings::default();
        check_running(&settings, &settings.auth.credentials().unwrap()).to_vec()
    }

    #[test]
    fn every_check_of_a_service_has_its_reason() {
        let facts = NodeFacts::default();
        let of_node = check_store(&facts, &Expected::default());
        let local = local();
        let all = [
            of_node,
            local,
            vec![in_memory(true), in_memory(false), unchecked("NOPERM")],
        ];
        let mut reasons: Vec<_> = all.concat().iter().map(|it| label(it.what)).collect();
        reasons.sort();
        reasons.dedup();
        assert_eq!(reasons, REASONS);
    }

    #[test]
    fn the_gauge_shows_what_is_wrong_and_what_is_not() {
        let metrics = Metrics::new("test");
        let mut told = Told::new(metrics.config_warnings.clone());
        let shown = |reason: &str| {
            let line = format!("carillon_config_warnings{{reason=\"{reason}\"}} ");
            let text = metrics.render();
            let value = text.lines().find_map(|it| it.strip_prefix(&line)).unwrap();
            value.to_owned()
        };
        told.tell(vec![Finding::ok("eviction", "noeviction")]);
        assert_eq!(shown("eviction"), "0");
        told.tell(vec![Finding::failure("eviction", "lru", "set it")]);
        assert_eq!(shown("eviction"), "1");
        assert!(
            REASONS
                .iter()
                .all(|it| *it == "eviction" || shown(it) == "0")
        );
        told.tell(Vec::new());
        assert_eq!(shown("eviction"), "0");
    }

    #[test]
    fn what_another_service_needs_is_not_complained_of() {
        let of = |role: Role| -> Vec<_> {
            let mut all = local();
            all.retain(|it| role.concerns(it));
            all.into_iter().map(|it| it.what).collect()
        };
        let (clients, services) = ("key sets", "key sets of services");
        assert_eq!(
            of(Role::Gateway),
            ["open files", "issuers", clients, services]
        );
        assert_eq!(of(Role::Dispatcher), ["API keys", services]);
        assert_eq!(
            of(Role::Standalone),
            ["open files", "issuers", "API keys", clients, services]
        );
    }
}
