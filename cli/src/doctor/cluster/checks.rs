//! The judgements on a cluster: facts in, findings out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use carillon_common::{checks::Finding, settings::Settings};
use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::facts::{Asked, ClusterFacts, VERBS};

#[cfg(test)]
mod tests;

/// Sleep in a preStop hook, and sidecars that end after the rest, came to stay with this one.
const OLDEST: (u32, u32) = (1, 30);
/// The gateway's container; in a pod that has none of this name it is the first.
const CONTAINER: &str = "gateway";
/// What Kubernetes gives a pod that asks for nothing.
const DEFAULT_GRACE: i64 = 30;

/// Everything about the deployment in its cluster.
pub(super) fn check(facts: &ClusterFacts, settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![version(facts.version), access(facts, settings)];
    let gateways = match &facts.gateways {
        Ok(gateways) => gateways.as_slice(),
        Err(why) => {
            findings.push(Finding::failure(
                "gateways",
                format!("pods may not be listed: {why}"),
                "give this user list on pods, or run it as another",
            ));
            return findings;
        }
    };
    findings.push(pods(gateways, facts, settings));
    if gateways.is_empty() {
        return findings;
    }
    findings.extend([
        grace(gateways, settings),
        images(gateways, &facts.dispatchers),
        budget(gateways, facts),
        endpoints(gateways, facts),
    ]);
    findings
}

fn version(version: (u32, u32)) -> Finding {
    const WHAT: &str = "Kubernetes";
    let (major, minor) = version;
    if version >= OLDEST {
        return Finding::ok(WHAT, format!("{major}.{minor}"));
    }
    Finding::failure(
        WHAT,
        format!("{major}.{minor} has no sleep in preStop, which the chart's drain begins with"),
        "use Kubernetes 1.30 or later",
    )
}

fn access(facts: &ClusterFacts, settings: &Settings) -> Finding {
    const WHAT: &str = "access";
    match &facts.denied {
        Ok(None) => Finding::warning(
            WHAT,
            format!(
                "there is no dispatcher in the namespace {}",
                facts.namespace
            ),
            "say with --namespace where Carillon is, or look at the dispatcher's Deployment",
        ),
        Ok(Some((account, denied))) if denied.is_empty() => Finding::ok(
            WHAT,
            format!("the dispatcher ({account}) may watch pods: dead gateways are reaped at once"),
        ),
        Ok(Some((account, _))) if !settings.kubernetes.watch => Finding::ok(
            WHAT,
            format!(
                "the dispatcher ({account}) may not watch pods, and kubernetes.watch does not ask \
                 for it: dead gateways are reaped when their lease ends"
            ),
        ),
        Ok(Some((account, denied))) => Finding::warning(
            WHAT,
            format!(
                "the dispatcher ({account}) may not {} pods: dead gateways are reaped only when \
                 their lease ends",
                denied.join(", ")
            ),
            format!("give it a Role with {} on pods", VERBS.join(", ")),
        ),
        Err(why) => Finding::ok(WHAT, format!("the dispatcher's may not be asked: {why}")),
    }
}

fn pods(gateways: &[Pod], facts: &ClusterFacts, settings: &Settings) -> Finding {
    const WHAT: &str = "gateways";
    let ready = gateways.iter().filter(|pod| is_ready(pod)).count();
    let all = gateways.len();
    match (all, ready) {
        (0, _) => Finding::failure(
            WHAT,
            format!(
                "no pod in the namespace {} has {}",
                facts.namespace, settings.kubernetes.gateway_selector
            ),
            "say with --namespace where Carillon is, or correct kubernetes.gateway_selector",
        ),
        (_, 0) => Finding::failure(
            WHAT,
            format!("none of {all} is ready"),
            "look at `kubectl describe pod` and at their logs",
        ),
        _ if ready < all => Finding::warning(
            WHAT,
            format!(
                "{ready} of {all} are ready: {} not",
                named(gateways.iter().filter(|pod| !is_ready(pod)))
            ),
            "look at `kubectl describe pod`; one that starts or drains will be different in a while",
        ),
        _ => Finding::ok(WHAT, format!("{all}, all ready")),
    }
}

fn grace(gateways: &[Pod], settings: &Settings) -> Finding {
    const WHAT: &str = "grace period";
    let drain = &settings.drain;
    let short = gateways.iter().find_map(|pod| {
        // The process hears of its end only after preStop, and waits its own delay then.
        let needed = pre_stop(pod) + drain.delay + drain.window + drain.close_grace;
        let given = pod.spec.as_ref()?.termination_grace_period_seconds;
        let given = given.unwrap_or(DEFAULT_GRACE);
        (Duration::from_secs(u64::try_from(given).unwrap_or_default()) < needed)
            .then_some((given, needed))
    });
    match short {
        None => Finding::ok(
            WHAT,
            "long enough for preStop, drain.delay, drain.window and close_grace",
        ),
        Some((given, needed)) => Finding::failure(
            WHAT,
            format!(
                "{given} s, and a drain takes {} s with its preStop: the rest of the clients would \
                 be cut off",
                needed.as_secs()
            ),
            format!(
                "set terminationGracePeriodSeconds to {} or more, or shorten drain.window (run \
                 this with the gateways' own configuration)",
                needed.as_secs() + 10
            ),
        ),
    }
}

fn images(gateways: &[Pod], dispatchers: &Asked<Vec<Pod>>) -> Finding {
    const WHAT: &str = "versions";
    let none = Vec::new();
    let all = gateways.iter().chain(dispatchers.as_ref().unwrap_or(&none));
    let mut pods_by_tag: BTreeMap<String, usize> = BTreeMap::new();
    for image in all.filter_map(|pod| main_container(pod)?.image.as_deref()) {
        *pods_by_tag.entry(tag(image).to_owned()).or_default() += 1;
    }
    if pods_by_tag.len() <= 1 {
        let tag = pods_by_tag.keys().next().map_or("", String::as_str);
        return Finding::ok(WHAT, format!("all pods run {tag}"));
    }
    let shown: Vec<_> = pods_by_tag
        .iter()
        .map(|(tag, count)| format!("{tag} in {count}"))
        .collect();
    Finding::warning(
        WHAT,
        format!("pods run different images: {}", shown.join(", ")),
        "let the rollout finish (`kubectl rollout status`), or look why it does not",
    )
}

fn budget(gateways: &[Pod], facts: &ClusterFacts) -> Finding {
    const WHAT: &str = "disruption";
    let budgets = match &facts.budgets {
        Ok(budgets) => budgets,
        Err(why) => return Finding::ok(WHAT, format!("budgets may not be asked: {why}")),
    };
    let covering = budgets.iter().find(|budget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| gateways.iter().all(|pod| selects(selector, pod)))
    });
    let allowed = covering.and_then(|budget| Some(budget.status.as_ref()?.disruptions_allowed));
    match (covering, allowed) {
        (None, _) if gateways.len() == 1 => Finding::ok(WHAT, "one gateway, and no budget for it"),
        (None, _) => Finding::warning(
            WHAT,
            "no PodDisruptionBudget covers the gateways: node drains may take all at once",
            "make one with maxUnavailable: 1",
        ),
        (Some(_), Some(0)) => Finding::warning(
            WHAT,
            "the PodDisruptionBudget lets no gateway go: a node drain would wait for ever",
            "run one gateway more, or set maxUnavailable: 1",
        ),
        (Some(_), _) => Finding::ok(WHAT, "a PodDisruptionBudget covers the gateways"),
    }
}

fn endpoints(gateways: &[Pod], facts: &ClusterFacts) -> Finding {
    const WHAT: &str = "service";
    let (services, slices) = match (&facts.services, &facts.endpoints) {
        (Ok(services), Ok(slices)) => (services, slices),
        (Err(why), _) | (_, Err(why)) => {
            return Finding::ok(WHAT, format!("Services may not be asked: {why}"));
        }
    };
    let before: BTreeSet<&str> = services
        .iter()
        .filter(|service| {
            let selector = service
                .spec
                .as_ref()
                .and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|wanted| {
                !wanted.is_empty() && gateways.iter().all(|pod| has_labels(pod, wanted))
            })
        })
        .filter_map(|service| service.metadata.name.as_deref())
        .collect();
    if before.is_empty() {
        return Finding::failure(
            WHAT,
            "no Service selects the gateways",
            "make one whose selector is the gateway pods' labels",
        );
    }
    let of_gateways = slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
        service.is_some_and(|service| before.contains(service.as_str()))
    });
    let ready: BTreeSet<&str> = of_gateways
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.is_none_or(|it| it.ready.unwrap_or(true))
        })
        .filter_map(|endpoint| endpoint.addresses.first().map(String::as_str))
        .collect();
    let names: Vec<_> = before.into_iter().collect();
    let names = names.join(", ");
    match ready.len() {
        0 => Finding::failure(
            WHAT,
            format!("{names} has no endpoint that is ready: no client can connect"),
            "look at the readiness of the gateways (`/readyz?verbose` on the admin port)",
        ),
        count => Finding::ok(WHAT, format!("{names} leads to {count} gateways")),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

fn main_container(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let named = containers.iter().find(|it| it.name == CONTAINER);
    named.or(containers.first())
}

/// How long the pod sleeps before it is told to end.
fn pre_stop(pod: &Pod) -> Duration {
    let seconds = main_container(pod)
        .and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref())
        .and_then(|hook| hook.sleep.as_ref())
        .map_or(0, |sleep| sleep.seconds);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// What follows the image's name: registries differ, versions should not.
fn tag(image: &str) -> &str {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.split_once(['@', ':']).map_or("latest", |(_, tag)| tag)
}

fn named<'a>(pods: impl Iterator<Item = &'a Pod>) -> String {
    let names: Vec<_> = pods
        .filter_map(|pod| pod.metadata.name.as_deref())
        .collect();
    names.join(", ")
}

fn has_labels(pod: &Pod, wanted: &BTreeMap<String, String>) -> bool {
    let labels = pod.metadata.labels.as_ref();
    wanted
        .iter()
        .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether a budget's selector takes the pod in; an empty one takes all of the namespace.
fn selects(selector: &LabelSelector, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let wanted = selector.match_labels.as_ref();
    let rules = selector.match_expressions.as_deref().unwrap_or_default();
    wanted.is_none_or(|wanted| has_labels(pod, wanted))
        && rules.iter().all(|rule| {
            let value = labels.and_then(|labels| labels.get(&rule.key));
            let values = rule.values.as_deref().unwrap_or_default();
            let listed = value.is_some_and(|value| values.contains(value));
            match rule.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
