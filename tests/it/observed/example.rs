//! examples/observability: what it mounts is there, whom it names is there, and the programs' own checks take its
//! configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{FILES, all_alerts};
use crate::tidy::{read, root};

const EXAMPLE: &str = "examples/observability";

fn yaml(file: &str) -> Value {
    let text = read(&format!("{EXAMPLE}/{file}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A path as the example writes it.
fn there(path: &str) -> PathBuf {
    root().join(EXAMPLE).join(path)
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|it| Some(it.as_str()?.to_owned()))
        .collect()
}

/// The services of the deployment that is observed.
fn observed() -> BTreeSet<String> {
    let deployment: Value = serde_saphyr::from_str(&read("examples/compose/compose.yaml")).unwrap();
    let services = deployment["services"].as_object().unwrap();
    let ours = services.keys().filter(|name| {
        ["gateway-", "dispatcher-"]
            .iter()
            .any(|kind| name.starts_with(kind))
    });
    ours.cloned().collect()
}

/// Where in a container a file or folder of the example is: `./a:/b:ro`.
fn mounts(compose: &Value) -> Vec<(String, String)> {
    let services = compose["services"].as_object().into_iter().flatten();
    let volumes = services.flat_map(|(_, service)| texts(&service["volumes"]));
    let pairs = volumes.filter_map(|volume| {
        let mut parts = volume.split(':');
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    });
    pairs.collect()
}

/// The host in `http://host:port`.
fn host(url: &str) -> &str {
    let rest = url.split("://").last().unwrap_or(url);
    rest.split(':').next().unwrap_or(rest)
}

#[test]
fn everything_that_it_mounts_and_names_is_there() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().unwrap();
    assert!(services.len() >= 4, "{:?}", services.keys());
    for include in compose["include"].as_array().unwrap() {
        for path in texts(&include["path"]) {
            assert!(there(&path).is_file(), "include: {path}");
        }
    }
    let named = compose["volumes"].as_object().unwrap();
    for (source, target) in mounts(&compose) {
        let is_ours = source.starts_with('.');
        assert!(is_ours || named.contains_key(&source), "{source}");
        assert!(!is_ours || there(&source).exists(), "{source}:{target}");
    }
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        let (_, version) = image.rsplit_once(':').unwrap();
        let is_pinned = version.trim_start_matches('v').split('.').count() == 3;
        assert!(is_pinned, "{name}: {image}");
        for port in texts(&service["ports"]) {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is for everyone"
            );
        }
    }
    // Rules and dashboards are the chart's, not copies.
    let mounted: Vec<_> = mounts(&compose).into_iter().map(|(from, _)| from).collect();
    for folder in ["rules", "dashboards"] {
        let from = format!("../../{FILES}/{folder}");
        assert!(
            mounted.contains(&from),
            "{from} is not mounted: {mounted:?}"
        );
    }
}

#[test]
fn prometheus_reads_every_process_and_tells_alertmanager() -> Result<()> {
    let compose = yaml("compose.yaml");
    let prometheus = yaml("prometheus.yml");
    let targets = &prometheus["scrape_configs"][0]["static_configs"][0]["targets"];
    let targets: BTreeSet<_> = texts(targets)
        .iter()
        .map(|it| host(it).to_owned())
        .collect();
    assert_eq!(targets, observed());
    let told = &prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"];
    for one in texts(told) {
        assert!(compose["services"][host(&one)].is_object(), "{one}");
    }
    // As its own check reads it, with the rules where they are here.
    let mounted = mounts(&compose).into_iter();
    let mounted = mounted.filter(|(from, _)| from.starts_with('.'));
    let text = mounted.fold(
        read(&format!("{EXAMPLE}/prometheus.yml")),
        |text, (from, to)| text.replace(&format!("{to}/"), &format!("{}/", there(&from).display())),
    );
    let rules = text.lines().find(|line| line.starts_with("rule_files:"));
    let rules = rules.context("no rules")?;
    ensure!(
        rules.contains(FILES),
        "{rules} is not where they are mounted"
    );
    let dir = TempDir::new()?;
    std::fs::write(dir.path().join("prometheus.yml"), text)?;
    check(
        "promtool",
        &["check", "config"],
        &dir.path().join("prometheus.yml"),
    )?;
    check("amtool", &["check-config"], &there("alertmanager.yml"))
}

fn check(program: &str, arguments: &[&str], file: &std::path::Path) -> Result<()> {
    let output = Command::new(program).args(arguments).arg(file).output();
    let output = output.with_context(|| format!("{program}; `make setup` installs it"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{program}: {said}");
    Ok(())
}

#[test]
fn what_is_kept_back_are_alerts_that_there_are() {
    let rules = yaml("alertmanager.yml")["inhibit_rules"].clone();
    let alerts = all_alerts();
    let mut named = 0;
    for rule in rules.as_array().unwrap() {
        let matchers = [&rule["source_matchers"], &rule["target_matchers"]];
        for matcher in matchers.into_iter().flat_map(texts) {
            let quoted = matcher.split('"').nth(1).unwrap();
            let values: Vec<_> = match matcher.starts_with("alertname") {
                true => quoted.split('|').collect(),
                false => Vec::new(),
            };
            for name in values {
                named += 1;
                assert!(alerts.contains(name), "there is no {name}");
            }
        }
    }
    assert!(named > 3, "{named}");
}

#[test]
fn grafana_finds_its_sources_and_dashboards() {
    let compose = yaml("compose.yaml");
    let sources = yaml("datasource.yml");
    let sources = sources["datasources"].as_array().unwrap();
    for source in sources {
        let url = source["url"].as_str().unwrap();
        assert!(compose["services"][host(url)].is_object(), "{url}");
    }
    let kinds: BTreeSet<_> = sources
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["jaeger", "prometheus"]));
    let grafana = &compose["services"]["grafana"];
    let mounts = texts(&grafana["volumes"]);
    let at = |target: &str| mounts.iter().any(|it| it.contains(&format!(":{target}:")));
    let provider = yaml("dashboards.yml");
    let path = provider["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    assert!(at(path), "{path} is mounted nowhere");
    let home = &grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().unwrap().strip_prefix(path).unwrap();
    let file = format!("{FILES}/dashboards{home}");
    assert!(root().join(&file).is_file(), "{file}");
}

#[test]
fn every_process_sends_its_traces_to_the_store() {
    let traced = yaml("traced.yaml");
    let services = traced["services"].as_object().unwrap();
    let names: BTreeSet<_> = services.keys().cloned().collect();
    assert_eq!(names, observed());
    let compose = yaml("compose.yaml");
    for (name, service) in services {
        let endpoint = &service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"];
        let store = host(endpoint.as_str().unwrap());
        assert!(compose["services"][store].is_object(), "{name}: {store}");
    }
}
