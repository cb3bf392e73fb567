//! A deployment that is well, and what is said when one thing about it is not.

use carillon_common::checks::Level;
use serde_json::{Value, json};

use super::*;

const LABELS: &str = "app.kubernetes.io/component";

fn read<T: k8s_openapi::serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn pod(name: &str, component: &str, change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "labels": {LABELS: component, "pod-template-hash": "1"}},
        "spec": {
            "terminationGracePeriodSeconds": 165,
            "containers": [
                {"name": "proxy", "image": "mesh:9"},
                {"name": "gateway", "image": format!("h:5000/x/carillon-{component}:0.1.0"),
                    "lifecycle": {"preStop": {"sleep": {"seconds": 15}}}},
            ],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    change(&mut pod);
    read(pod)
}

fn good() -> ClusterFacts {
    let gateway = |name| pod(name, "gateway", |_| ());
    let selector = json!({LABELS: "gateway"});
    let endpoint = |address: &str| json!({"addresses": [address], "conditions": {"ready": true}});
    ClusterFacts {
        namespace: "shop".to_owned(),
        version: (1, 30),
        gateways: Ok(vec![gateway("g1"), gateway("g2")]),
        dispatchers: Ok(vec![pod("d1", "dispatcher", |_| ())]),
        denied: Ok(Some(("carillon".to_owned(), Vec::new()))),
        budgets: Ok(vec![read(json!({
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2},
        }))]),
        services: Ok(vec![
            read(json!({"metadata": {"name": "carillon-gateway"}, "spec": {"selector": selector}})),
            read(json!({"metadata": {"name": "other"}, "spec": {"selector": {LABELS: "web"}}})),
        ]),
        endpoints: Ok(vec![read(json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "carillon-gateway"}},
            "addressType": "IPv4",
            "endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2")],
        }))]),
    }
}

/// The findings that are not well, as `level what`.
fn complaints(facts: &ClusterFacts, settings: &Settings) -> Vec<String> {
    let bad = check(facts, settings)
        .into_iter()
        .filter(|it| it.level != Level::Ok);
    bad.map(|it| {
        assert!(it.remedy.is_some(), "{it:?}");
        format!("{:?} {}", it.level, it.what)
    })
    .collect()
}

fn watching() -> Settings {
    let mut settings = Settings::default();
    settings.kubernetes.watch = true;
    settings
}

#[test]
fn a_good_deployment_has_no_complaints() {
    assert_eq!(complaints(&good(), &watching()), Vec::<String>::new());
    assert_eq!(check(&good(), &watching()).len(), 7);
}

#[test]
fn each_fact_has_its_complaint() {
    type Change = fn(&mut ClusterFacts);
    let gateway =
        |change: fn(&mut Value)| vec![pod("g1", "gateway", |_| ()), pod("g2", "gateway", change)];
    let cases: [(&str, Change); 9] = [
        ("Failure Kubernetes", |facts| facts.version = (1, 29)),
        ("Warning access", |facts| {
            facts.denied = Ok(Some(("default".to_owned(), vec!["watch"])));
        }),
        ("Warning access", |facts| facts.denied = Ok(None)),
        ("Failure gateways", |facts| facts.gateways = Ok(Vec::new())),
        ("Failure gateways", |facts| {
            facts.gateways = Err("forbidden".to_owned());
        }),
        ("Warning disruption", |facts| facts.budgets = Ok(Vec::new())),
        ("Failure service", |facts| facts.services = Ok(Vec::new())),
        ("Failure service", |facts| facts.endpoints = Ok(Vec::new())),
        ("Warning versions", |facts| {
            facts.dispatchers = Ok(vec![pod("d1", "dispatcher", |pod| {
                pod["spec"]["containers"] =
                    json!([{"name": "dispatcher", "image": "y/carillon-dispatcher:0.2.0"}]);
            })]);
        }),
    ];
    for (complaint, change) in cases {
        let mut facts = good();
        change(&mut facts);
        assert_eq!(complaints(&facts, &watching()), [complaint]);
    }
    for (complaint, change) in [
        (
            "Warning gateways",
            (|pod| pod["status"] = json!({})) as fn(&mut Value),
        ),
        ("Failure grace period", |pod| {
            pod["spec"]["terminationGracePeriodSeconds"] = 154.into();
        }),
        ("Failure grace period", |pod| {
            pod["spec"]["terminationGracePeriodSeconds"] = Value::Null;
        }),
    ] {
        let mut facts = good();
        facts.gateways = Ok(gateway(change));
        assert_eq!(complaints(&facts, &watching()), [complaint]);
    }
}

#[test]
fn what_may_not_be_asked_is_no_complaint() {
    let mut facts = good();
    let refused = || "forbidden".to_owned();
    facts.denied = Err(refused());
    facts.budgets = Err(refused());
    facts.services = Err(refused());
    facts.dispatchers = Err(refused());
    assert_eq!(complaints(&facts, &watching()), Vec::<String>::new());
}

#[test]
fn who_does_not_watch_needs_no_access() {
    let mut facts = good();
    facts.denied = Ok(Some(("default".to_owned(), vec!["get", "list", "watch"])));
    assert_eq!(
        complaints(&facts, &Settings::default()),
        Vec::<String>::new()
    );
}

#[test]
fn the_drain_of_the_configuration_is_what_must_fit() {
    let mut settings = watching();
    settings.drain.window = Duration::from_secs(131);
    assert_eq!(complaints(&good(), &settings), ["Failure grace period"]);
    settings.drain.window = Duration::from_secs(130);
    assert_eq!(complaints(&good(), &settings), Vec::<String>::new());
}

#[test]
fn a_budget_covers_what_its_selector_takes_in() {
    for (selector, covers) in [
        (json!({}), true),
        (json!({"matchLabels": {LABELS: "gateway"}}), true),
        (json!({"matchLabels": {LABELS: "dispatcher"}}), false),
        (
            json!({"matchExpressions": [{"key": LABELS, "operator": "In", "values": ["gateway", "x"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": LABELS, "operator": "NotIn", "values": ["gateway"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "other", "operator": "Exists"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "other", "operator": "DoesNotExist"}]}),
            true,
        ),
    ] {
        let pod = pod("g1", "gateway", |_| ());
        assert_eq!(selects(&read(selector.clone()), &pod), covers, "{selector}");
    }
}

#[test]
fn versions_are_compared_without_registries() {
    for (image, version) in [
        ("ghcr.io/carillon-io/carillon-gateway:0.1.0", "0.1.0"),
        ("h:5000/carillon-gateway", "latest"),
        ("carillon-gateway@sha256:12", "sha256:12"),
    ] {
        assert_eq!(tag(image), version);
    }
}
