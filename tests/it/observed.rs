//! What the chart ships for Prometheus and Grafana: made by its generator, in good order, about metrics that
//! exist, and right about running services (`running`), whose faults wake somebody (`alerting`).

mod alerting;
mod example;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use carillon_common::telemetry::Metrics;
use serde_json::Value;

use crate::tidy::{files, read, root};

/// Where the chart has them.
const FILES: &str = "helm/carillon/files";

/// Every dashboard, by its title without `Carillon / `.
fn dashboards() -> BTreeMap<String, Value> {
    let texts = files(&format!("{FILES}/dashboards"), &["json"]);
    let parsed = texts.values().map(|text| {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        let title = dashboard["title"].as_str().unwrap();
        (
            title.strip_prefix("Carillon / ").unwrap().to_owned(),
            dashboard,
        )
    });
    let all: BTreeMap<_, _> = parsed.collect();
    assert_eq!(all.len(), 8, "{:?}", all.keys());
    all
}

/// Every panel, as `Dashboard / Panel`, with its queries.
fn panels() -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for (dashboard, value) in dashboards() {
        for panel in value["panels"].as_array().unwrap() {
            let title = format!("{dashboard} / {}", panel["title"].as_str().unwrap());
            let targets = panel["targets"].as_array().unwrap().iter();
            let queries = targets.map(|it| it["expr"].as_str().unwrap().to_owned());
            let before = all.insert(title.clone(), queries.collect());
            assert!(before.is_none(), "two panels are {title}");
        }
    }
    all
}

/// The names of the alerts of a rule file.
fn alerts(text: &str) -> BTreeSet<String> {
    let names = text
        .lines()
        .filter_map(|it| it.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

fn all_alerts() -> BTreeSet<String> {
    let rules = files(&format!("{FILES}/rules"), &["yaml"]);
    rules.values().flat_map(|text| alerts(text)).collect()
}

#[test]
fn what_is_made_is_what_is_committed() {
    let made = carillon_observability::files();
    for (path, text) in &made {
        let stale = format!("{path} is another; run `make dashboards`");
        assert!(root().join(path).exists() && read(path) == *text, "{stale}");
    }
    let committed = files(&format!("{FILES}/dashboards"), &["json"]);
    let left: Vec<_> = committed
        .keys()
        .filter(|path| !made.contains_key(*path))
        .collect();
    assert!(left.is_empty(), "nothing makes {left:?}");
}

/// The rules of Grafana's own linter for dashboards, and a unit besides.
#[test]
fn dashboards_are_in_good_order() {
    for (title, dashboard) in dashboards() {
        let text = dashboard.to_string();
        // An object of Kubernetes holds less than 1 MiB; client-side apply keeps 256 KiB of it.
        assert!(text.len() < 200_000, "{title}: {} bytes", text.len());
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let variables: Vec<_> = variables
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        let expected = [
            "datasource",
            "cluster",
            "namespace",
            "job",
            "instance",
            "pod",
            "quantile",
        ];
        assert_eq!(variables, expected, "{title}");
        for panel in dashboard["panels"].as_array().unwrap() {
            let place = format!("{title} / {}", panel["title"]);
            for field in ["title", "description"] {
                let text = panel[field].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{place}: no {field}");
            }
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert!(unit.is_string(), "{place}: no unit");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
                assert!(target["legendFormat"].is_string(), "{place}: no legend");
                well_made(&place, target["expr"].as_str().unwrap());
            }
        }
    }
}

fn well_made(place: &str, query: &str) {
    for call in ["rate(", "increase("] {
        for (at, _) in query.match_indices(call) {
            let window = query[at..].split_once('[').unwrap().1;
            let window = window.split_once(']').unwrap().0;
            let is_asked_for = call == "increase(" && window == "1h";
            assert!(
                is_asked_for || window == "$__rate_interval",
                "{place}: {query}"
            );
        }
    }
    // Each series is picked by the variables; what was summed up has no instance.
    for name in ["carillon", "process_"] {
        for (at, _) in query.match_indices(name) {
            let rest = &query[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            let Some(labels) = end.and_then(|end| rest[end..].strip_prefix('{')) else {
                panic!("{place}: {rest} is picked by nothing");
            };
            let labels = labels.split_once('}').unwrap().0;
            let mut needed = vec![r#"job=~"$job""#];
            if !rest.starts_with("carillon:") {
                needed.push(r#"instance=~"$instance""#);
            }
            for one in needed {
                assert!(labels.contains(one), "{place}: {rest}: no {one}");
            }
        }
    }
}

/// What is measured is shown somewhere; what it is for shows there.
#[test]
fn every_metric_is_on_a_dashboard() {
    let queries: String = panels().into_values().flatten().collect();
    let unseen: Vec<_> = Metrics::declared()
        .map(|metric| metric.name)
        .filter(|name| !queries.contains(name))
        .collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}

#[test]
fn every_alert_has_a_runbook_that_names_panels_and_an_end() {
    let panels = panels();
    let books = files(&format!("{FILES}/runbooks"), &["md"]);
    let books: BTreeMap<_, _> = books
        .iter()
        .map(|(path, text)| (Path::new(path).file_stem().unwrap().to_str().unwrap(), text))
        .filter(|(name, _)| *name != "README")
        .collect();
    let alerts = all_alerts();
    assert!(alerts.len() > 20, "{alerts:?}");
    let named: BTreeSet<_> = books.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(alerts, named, "alerts on the left, runbooks on the right");
    for (name, text) in books {
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        for part in ["## See", "## Likely causes", "## Do", "## Stop"] {
            assert!(text.lines().any(|line| line == part), "{name}: no {part}");
        }
        let seen: Vec<_> = text
            .lines()
            .filter_map(|it| it.strip_prefix("- Panel: "))
            .collect();
        assert!(!seen.is_empty(), "{name} names no panel");
        for panel in seen {
            assert!(
                panels.contains_key(panel),
                "{name}: there is no panel {panel}"
            );
        }
    }
}

/// Firing, and not: of each alert promtool is asked for both.
#[test]
fn every_alert_is_tested_firing_and_not() {
    let tests = files("helm/carillon/tests/promtool", &["yaml"]);
    let lines: Vec<&str> = tests.values().flat_map(|text| text.lines()).collect();
    for alert in all_alerts() {
        let of_it = format!("alertname=\"{alert}\"");
        let of_it: Vec<_> = lines.iter().filter(|line| line.contains(&of_it)).collect();
        let quiet = of_it.iter().filter(|line| line.contains("exp_samples: []"));
        assert!(quiet.count() >= 2, "{alert}: before and after");
        let firing = of_it.iter().any(|line| line.contains("value: 1}"));
        assert!(firing, "{alert} never fires");
    }
}

#[test]
fn promtool_finds_the_rules_right() {
    for (what, folder) in [
        ("check", format!("{FILES}/rules")),
        ("test", "helm/carillon/tests/promtool".to_owned()),
    ] {
        for path in files(&folder, &["yaml"]).keys() {
            let mut promtool = Command::new("promtool");
            promtool.args([what, "rules", path]).current_dir(root());
            let output = promtool
                .output()
                .expect("promtool; `make setup` installs it");
            let told = String::from_utf8_lossy(&output.stdout);
            let wrong = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{path}: {told}{wrong}");
        }
    }
}
