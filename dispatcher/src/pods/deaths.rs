//! From what changes among the gateway pods to whom it shows dead. No cluster and no store in here.

use std::collections::HashMap;

use carillon_common::ids::{GatewayId, Millis};

use super::sighting::Sighting;

/// What the API server tells.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A pod came, or is no longer as it was.
    Seen(Sighting),
    /// A pod is gone.
    Gone(Sighting),
    /// A list of all pods follows, since what happened before may have been missed.
    ListBegins,
    /// A pod of that list.
    Listed(Sighting),
    /// The list is complete.
    ListEnds,
}

/// A gateway is dead: its generations up to `until` can be reaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) gateway: GatewayId,
    pub(super) until: Millis,
    /// `deleted` or `terminated`.
    pub(super) cause: &'static str,
}

/// The gateway pods that are there, by uid.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: HashMap<String, Sighting>,
    listed: HashMap<String, Sighting>,
}

impl Pods {
    /// Takes in a change at `now`, and tells who is dead by it.
    pub(super) fn apply(&mut self, change: Change, now: Millis) -> Vec<Death> {
        match change {
            Change::Seen(pod) => {
                let before = self.known.insert(pod.uid.clone(), pod.clone());
                self.died_since(before.as_ref(), &pod).into_iter().collect()
            }
            Change::Gone(pod) => {
                self.known.remove(&pod.uid);
                self.deleted(&pod, now).into_iter().collect()
            }
            Change::ListBegins => {
                self.listed.clear();
                Vec::new()
            }
            Change::Listed(pod) => {
                self.listed.insert(pod.uid.clone(), pod);
                Vec::new()
            }
            Change::ListEnds => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listed));
                let died = self
                    .known
                    .values()
                    .filter_map(|pod| self.died_since(before.get(&pod.uid), pod));
                let missing = before
                    .values()
                    .filter(|pod| !self.known.contains_key(&pod.uid))
                    .filter_map(|pod| self.deleted(pod, now));
                died.chain(missing).collect()
            }
        }
    }

    /// The pods' names by gateway, of those that live.
    pub(super) fn names(&self) -> HashMap<GatewayId, String> {
        let lives = self.known.values().filter(|pod| pod.lives);
        lives
            .map(|pod| (pod.gateway.clone(), pod.name.clone()))
            .collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn died_since(&self, before: Option<&Sighting>, pod: &Sighting) -> Option<Death> {
        let until = pod.died?;
        // What was seen before has been reaped before.
        let new = before.and_then(|before| before.died) < Some(until);
        (new && !self.is_replaced(pod)).then(|| Death {
            gateway: pod.gateway.clone(),
            until,
            cause: "terminated",
        })
    }

    fn deleted(&self, pod: &Sighting, now: Millis) -> Option<Death> {
        (!self.is_replaced(pod)).then(|| Death {
            gateway: pod.gateway.clone(),
            until: now,
            cause: "deleted",
        })
    }

    /// Whether another pod now runs a gateway of that name: it reaps its own past.
    fn is_replaced(&self, pod: &Sighting) -> bool {
        let other = |other: &&Sighting| other.uid != pod.uid && other.lives;
        self.known
            .values()
            .filter(other)
            .any(|other| other.gateway == pod.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Change::{Gone, ListBegins, ListEnds, Listed, Seen},
        *,
    };

    const NOW: Millis = 1_000;

    /// A pod that runs, and did not end before.
    fn pod(name: &str, uid: &str) -> Sighting {
        Sighting {
            uid: uid.to_owned(),
            name: format!("carillon-gateway-{name}"),
            gateway: GatewayId::of_pod(&format!("carillon-gateway-{name}")).unwrap(),
            died: None,
            lives: true,
        }
    }

    fn died(pod: Sighting, at: Millis) -> Sighting {
        Sighting {
            died: Some(at),
            ..pod
        }
    }

    fn over(pod: Sighting, at: Millis) -> Sighting {
        Sighting {
            lives: false,
            ..died(pod, at)
        }
    }

    /// `gateway cause until`, for each death.
    fn told(pods: &mut Pods, changes: impl IntoIterator<Item = Change>) -> Vec<String> {
        let deaths = changes
            .into_iter()
            .flat_map(|change| pods.apply(change, NOW));
        let mut told: Vec<_> = deaths
            .map(|death| format!("{} {} {}", death.gateway, death.cause, death.until))
            .collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn each_change_tells_whom_it_shows_dead() {
        let a = || pod("1-a", "u1");
        let cases: [(&str, Vec<Change>, &[&str]); 13] = [
            ("it comes", vec![Seen(a())], &[]),
            (
                "it is gone",
                vec![Seen(a()), Gone(a())],
                &["1-a deleted 1000"],
            ),
            ("gone unseen", vec![Gone(a())], &["1-a deleted 1000"]),
            (
                "its container ends, and is seen so twice",
                vec![Seen(a()), Seen(died(a(), 7)), Seen(died(a(), 7))],
                &["1-a terminated 7"],
            ),
            (
                "its container ends twice",
                vec![Seen(died(a(), 7)), Seen(died(a(), 9))],
                &["1-a terminated 7", "1-a terminated 9"],
            ),
            (
                "it ends, then goes",
                vec![Seen(a()), Seen(over(a(), 7)), Gone(over(a(), 7))],
                &["1-a deleted 1000", "1-a terminated 7"],
            ),
            (
                "another of the name came first",
                vec![Seen(a()), Seen(pod("1-a", "u2")), Gone(a())],
                &[],
            ),
            (
                "the other of the name is over",
                vec![Seen(over(pod("1-a", "u2"), NOW)), Gone(a())],
                &["1-a deleted 1000", "1-a terminated 1000"],
            ),
            (
                "others do not matter",
                vec![Seen(a()), Seen(pod("1-b", "u2")), Gone(a())],
                &["1-a deleted 1000"],
            ),
            (
                "the first list",
                vec![
                    ListBegins,
                    Listed(a()),
                    Listed(died(pod("1-b", "u2"), 5)),
                    ListEnds,
                ],
                &["1-b terminated 5"],
            ),
            (
                "missing in a later list",
                vec![
                    Seen(a()),
                    Seen(pod("1-b", "u2")),
                    ListBegins,
                    Listed(pod("1-b", "u2")),
                    ListEnds,
                ],
                &["1-a deleted 1000"],
            ),
            (
                "replaced between two lists",
                vec![Seen(a()), ListBegins, Listed(pod("1-a", "u2")), ListEnds],
                &[],
            ),
            (
                "a list that was broken off",
                vec![Seen(a()), ListBegins, ListBegins, Listed(a()), ListEnds],
                &[],
            ),
        ];
        for (case, changes, expected) in cases {
            assert_eq!(told(&mut Pods::default(), changes), expected, "{case}");
        }
    }

    #[test]
    fn a_list_tells_only_what_is_new() {
        let mut pods = Pods::default();
        let list = |at| [ListBegins, Listed(died(pod("1-a", "u1"), at)), ListEnds];
        assert_eq!(told(&mut pods, list(5)), ["1-a terminated 5"]);
        assert!(told(&mut pods, list(5)).is_empty());
        assert_eq!(told(&mut pods, list(6)), ["1-a terminated 6"]);
        assert_eq!(pods.len(), 1);
    }

    #[test]
    fn gateways_are_found_by_name_while_they_live() {
        let mut pods = Pods::default();
        told(
            &mut pods,
            [Seen(pod("1-a", "u1")), Seen(over(pod("1-b", "u2"), 5))],
        );
        let names = pods.names();
        assert_eq!(names.len(), 1);
        assert_eq!(names[&"1-a".parse().unwrap()], "carillon-gateway-1-a");
    }
}
