//! What the chart ships for Prometheus and Grafana that is better made than written: the dashboards, and the
//! rules of the service levels, which are the same for each level and window.
//!
//! It knows the metrics by their names alone; the tests execute every query against running services.

mod dashboard;
mod dashboards;
mod levels;

use std::collections::BTreeMap;

pub use levels::{LEVELS, Level};

/// Every file that is made, by its path from the root of the repository.
pub fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (name, dashboard) in dashboards::all() {
        let path = format!("helm/carillon/files/dashboards/{name}.json");
        files.insert(path, dashboard.text());
    }
    files.insert(
        "helm/carillon/files/rules/levels.yaml".to_owned(),
        levels::rules(),
    );
    files
}
