//! Metrics: every one that a text names exists, every one is documented and written to.

use std::collections::BTreeMap;

use carillon_common::telemetry::Metrics;

use super::{documents, words};
use crate::tidy::{code, files, product, read};

fn part(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[test]
fn metrics_exist() {
    let mut texts = documents();
    texts.extend(files(
        "helm/carillon",
        &["yaml", "md", "tpl", "json", "txt"],
    ));
    let mut named = 0;
    for (place, text) in texts {
        let groups = [
            "carillon_gateway_",
            "carillon_dispatcher_",
            "carillon_redis_",
            "carillon_memory_",
            "carillon_build_",
            "carillon_canary_",
            "carillon_config_",
            "carillon_process_",
            "carillon_runtime_",
            "carillon_tracing_",
            "carillon_jwks_",
        ];
        for group in groups {
            for name in words(&text, group, part) {
                // As Prometheus names the parts of a histogram.
                let ends = ["_bucket", "_sum", "_count"];
                let base = ends
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name);
                named += 1;
                assert!(
                    Metrics::declared().any(|metric| metric.name == base),
                    "{place}: there is no metric {name}"
                );
            }
        }
    }
    assert!(named > 400, "{named}");
}

#[test]
fn every_metric_is_documented_with_its_labels() {
    let document = read("docs/metrics.md");
    for metric in Metrics::declared() {
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let row = format!(
            "| `{}` | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help
        );
        assert!(document.contains(&row), "docs/metrics.md has no row\n{row}");
    }
}

/// A metric that nothing counts into is an alert that never comes.
#[test]
fn every_metric_is_written_to() {
    let mut sources = product();
    sources.retain(|path, _| !path.starts_with("common/src/telemetry/metrics"));
    let sources: BTreeMap<_, String> = sources
        .iter()
        .map(|(path, text)| (path, code(text).iter().map(|line| line.trim()).collect()))
        .collect();
    let verbs = [
        "inc(",
        "inc_by(",
        "dec(",
        "set(",
        "add(",
        "observe(",
        "with_label_values(",
        "start_timer(",
    ];
    let unwritten: Vec<_> = Metrics::declared()
        .filter(|metric| metric.name != "carillon_build_info")
        .filter(|metric| {
            let written = |text: &String| {
                verbs
                    .iter()
                    .any(|verb| text.contains(&format!(".{}.{verb}", metric.field)))
            };
            // The bounds of the in-memory store count into a gauge that they were given.
            let given = format!("metrics.{}", metric.field);
            let is_given = metric.name.starts_with("carillon_memory_")
                && sources
                    .iter()
                    .any(|(path, text)| path.contains("/memory/") && text.contains(&given));
            !is_given && !sources.values().any(written)
        })
        .map(|metric| metric.name)
        .collect();
    assert!(unwritten.is_empty(), "nothing counts into {unwritten:?}");
}
