//! What a pod's object says about the gateway in it.

use carillon_common::ids::{GatewayId, Millis};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};

/// The gateway's container; in a pod that has none of this name it is the first.
const CONTAINER: &str = "gateway";
/// Times of the API are whole seconds, rounded down.
const SECOND: Millis = 1_000;

/// A gateway pod at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) gateway: GatewayId,
    /// When the gateway's process last ended, in ms; no process that lives now is older.
    pub(super) died: Option<Millis>,
    /// Whether a process of it runs, or will.
    pub(super) lives: bool,
}

impl Sighting {
    /// Reads a pod, at `now`. `None` for one that cannot be a gateway's.
    pub(super) fn of(pod: &Pod, now: Millis) -> Option<Self> {
        let name = pod.metadata.name.clone()?;
        let over = matches!(phase(pod), Some("Succeeded" | "Failed"));
        let died = match container(pod) {
            Some(status) => died(status),
            // Every container of such a pod has ended, whether or not it is told which and when.
            None => over.then_some(now),
        };
        Some(Self {
            uid: pod.metadata.uid.clone()?,
            gateway: GatewayId::of_pod(&name).ok()?,
            name,
            died: died.map(|at| at.min(now)),
            lives: !over,
        })
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// How the gateway's container stands.
fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let named = |name: &str| statuses.iter().find(|status| status.name == name);
    let first = || named(&pod.spec.as_ref()?.containers.first()?.name);
    named(CONTAINER).or_else(first)
}

/// The last moment that belongs to a process which has ended, and to none that has begun.
fn died(status: &ContainerStatus) -> Option<Millis> {
    let state = status.state.as_ref();
    let current = state.and_then(|state| state.terminated.as_ref());
    let last = status.last_state.as_ref();
    let last = last.and_then(|state| state.terminated.as_ref());
    let finished = current.or(last)?.finished_at.as_ref();
    let finished = millis(finished?) + SECOND - 1;
    let started = state
        .and_then(|state| state.running.as_ref()?.started_at.as_ref())
        .map(|started| millis(started) - 1);
    Some(started.map_or(finished, |started| started.min(finished)))
}

fn millis(time: &Time) -> Millis {
    time.0.as_millisecond()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// 12:00:00 of some day.
    const NOON: Millis = 1_788_523_200_000;
    const NOW: Millis = NOON + 60_000;

    /// A pod whose containers have these statuses.
    fn pod(phase: &str, statuses: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "carillon-gateway-5d8f7c9b4d-abcde", "uid": "u1"},
            "spec": {"containers": [{"name": "main"}, {"name": "proxy"}]},
            "status": {"phase": phase, "containerStatuses": statuses},
        }))
        .unwrap()
    }

    /// When its gateway died, after noon, and whether it lives.
    fn seen(pod: &Pod) -> (Option<Millis>, bool) {
        let sighting = Sighting::of(pod, NOW).unwrap();
        (sighting.died.map(|at| at - NOON), sighting.lives)
    }

    fn status(name: &str, state: Value, last: Value) -> Value {
        json!({"name": name, "state": state, "lastState": last, "ready": false,
            "image": "", "imageID": "", "restartCount": 0})
    }

    fn terminated(at: &str) -> Value {
        json!({"terminated": {"exitCode": 137, "finishedAt": at}})
    }

    fn running(since: &str) -> Value {
        json!({"running": {"startedAt": since}})
    }

    #[test]
    fn a_pods_gateway_dies_with_its_container() {
        let waiting = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let (at, later) = ("2026-09-04T12:00:10Z", "2026-09-04T12:00:12Z");
        for (case, state, last, died) in [
            ("starting", waiting(), json!({}), None),
            ("running", running(at), json!({}), None),
            ("ended", terminated(at), json!({}), Some(10_999)),
            (
                "ended again",
                terminated(later),
                terminated(at),
                Some(12_999),
            ),
            ("backing off", waiting(), terminated(at), Some(10_999)),
            ("restarted", running(later), terminated(at), Some(10_999)),
            (
                "restarted at once",
                running(at),
                terminated(at),
                Some(9_999),
            ),
            (
                "ended ahead of us",
                terminated("2026-09-04T12:09:00Z"),
                json!({}),
                Some(60_000),
            ),
        ] {
            let pod = pod("Running", json!([status("gateway", state, last)]));
            assert_eq!(seen(&pod), (died, true), "{case}");
        }
    }

    #[test]
    fn the_container_is_gateway_or_the_first() {
        let dead = || terminated("2026-09-04T12:00:10Z");
        let alive = || running("2026-09-04T11:00:00Z");
        for (case, statuses, died) in [
            (
                "a dead proxy is no dead gateway",
                vec![("gateway", alive()), ("main", dead()), ("proxy", dead())],
                None,
            ),
            (
                "the first",
                vec![("proxy", alive()), ("main", dead())],
                Some(10_999),
            ),
            (
                "not the second",
                vec![("proxy", dead()), ("main", alive())],
                None,
            ),
        ] {
            let statuses = statuses.into_iter();
            let statuses: Vec<_> = statuses
                .map(|(name, state)| status(name, state, json!({})))
                .collect();
            assert_eq!(seen(&pod("Running", json!(statuses))).0, died, "{case}");
        }
    }

    #[test]
    fn the_phase_tells_where_no_container_does() {
        assert_eq!(seen(&pod("Pending", json!([]))), (None, true));
        assert_eq!(seen(&pod("Running", json!([]))), (None, true));
        for over in ["Failed", "Succeeded"] {
            assert_eq!(seen(&pod(over, json!([]))), (Some(60_000), false), "{over}");
        }
        let mut leaving = pod(
            "Running",
            json!([status(
                "gateway",
                running("2026-09-04T11:00:00Z"),
                json!({})
            )]),
        );
        leaving.metadata.deletion_timestamp = Some(Time(jiff_second()));
        assert_eq!(
            seen(&leaving),
            (None, true),
            "being deleted is not being dead"
        );
    }

    fn jiff_second() -> k8s_openapi::jiff::Timestamp {
        k8s_openapi::jiff::Timestamp::from_millisecond(NOON).unwrap()
    }

    #[test]
    fn a_pod_is_named_as_its_gateway_is() {
        let mut pod = pod("Running", json!([]));
        let sighting = Sighting::of(&pod, NOW).unwrap();
        assert_eq!(sighting.gateway.as_str(), "5d8f7c9b4d-abcde");
        assert_eq!((sighting.uid.as_str(), sighting.died), ("u1", None));
        pod.metadata.uid = None;
        assert_eq!(Sighting::of(&pod, NOW), None);
    }
}
