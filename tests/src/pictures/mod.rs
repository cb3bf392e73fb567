//! Pictures of the dashboards, drawn from their own queries against a running deployment: what they look like
//! without a Grafana at hand, and whether they show what happens.

mod draw;
mod scene;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

pub use self::draw::{Curve, picture};
pub use self::scene::play;
use crate::prometheus::{Prometheus, filled};

/// Between two points.
const STEP: u32 = 3;

/// Draws every dashboard in `from` into `to`, over the last `seconds`; answers with their names.
///
/// # Errors
/// When one cannot be read, asked for or written.
pub async fn draw_all(
    prometheus: &Prometheus,
    from: &Path,
    to: &Path,
    seconds: u32,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let panels = dashboard["panels"].as_array().context("no panels")?;
        let mut shown = BTreeMap::new();
        for (at, panel) in panels.iter().enumerate() {
            let mut curves = Vec::new();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = filled(target["expr"].as_str().unwrap_or_default());
                let legend = filled(target["legendFormat"].as_str().unwrap_or_default());
                let series = prometheus.range(&query, seconds, STEP).await?;
                curves.extend(series.iter().map(|one| Curve::read(&legend, one)));
            }
            shown.insert(at, curves);
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let file = to.join(format!("{name}.svg"));
        std::fs::write(&file, picture(&dashboard, &shown, seconds))
            .with_context(|| format!("{}", file.display()))?;
        names.push(name.into_owned());
    }
    names.sort();
    Ok(names)
}
