//! A Grafana dashboard, and what all of them have alike: variables, links, the order of panels.

use serde_json::{Value, json};

/// Panels in a row, of the 24 columns that Grafana has.
const COLUMNS: usize = 3;
const WIDTH: usize = 24 / COLUMNS;
const HEIGHT: usize = 8;

/// What each series of a process is picked by.
const PICKED: &str = r#"cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance", pod=~"$pod"}"#;
/// The same for what was summed up over processes.
const SUMMED: &str = r#"cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}"#;

/// The unit of a panel, as Grafana names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Bytes,
    BytesPerSecond,
    Count,
    PerSecond,
    Ratio,
    Seconds,
    /// 1 or 0.
    Truth,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::Count => "short",
            Self::PerSecond => "ops",
            Self::Ratio => "percentunit",
            Self::Seconds => "s",
            Self::Truth => "bool",
        }
    }
}

/// Curves with one unit.
#[derive(Debug)]
pub(crate) struct Panel {
    title: &'static str,
    description: &'static str,
    unit: Unit,
    /// A legend and a query each.
    curves: Vec<(&'static str, String)>,
    kind: &'static str,
}

/// A panel of `curves`: a legend and a query each. In a query, `*}` at the end of labels stands for those
/// that the variables pick a process by, `#}` for those of a deployment.
pub(crate) fn panel(
    title: &'static str,
    unit: Unit,
    description: &'static str,
    curves: &[(&'static str, &str)],
) -> Panel {
    let curves = curves.iter().map(|(legend, query)| {
        let query = query.replace("*}", PICKED).replace("#}", SUMMED);
        (*legend, query)
    });
    Panel {
        title,
        description,
        unit,
        curves: curves.collect(),
        kind: "timeseries",
    }
}

impl Panel {
    /// Shown as a number rather than over time.
    pub(crate) fn number(mut self) -> Self {
        self.kind = "stat";
        self
    }

    fn json(&self, at: usize) -> Value {
        let targets = self
            .curves
            .iter()
            .zip('A'..)
            .map(|((legend, query), name)| {
                json!({
                    "datasource": datasource(),
                    "expr": query,
                    "legendFormat": legend,
                    "range": true,
                    "refId": name.to_string(),
                })
            });
        let options = match self.kind {
            "stat" => json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}),
            _ => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        };
        json!({
            "id": at + 1,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": {
                "x": at % COLUMNS * WIDTH,
                "y": at / COLUMNS * HEIGHT,
                "w": WIDTH,
                "h": HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": self.unit.name(), "min": self.least()}, "overrides": []},
            "options": options,
            "targets": targets.collect::<Vec<_>>(),
        })
    }

    /// Where the axis begins: at 0, but for what may be below it.
    fn least(&self) -> Option<u8> {
        let signed = self
            .curves
            .iter()
            .any(|(_, query)| query.contains("offset"));
        (!signed).then_some(0)
    }
}

/// A dashboard: panels from left to right, from top to bottom.
#[derive(Debug)]
pub(crate) struct Dashboard {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) panels: Vec<Panel>,
}

impl Dashboard {
    /// As the file has it.
    pub(crate) fn text(&self) -> String {
        let panels = self.panels.iter().enumerate();
        let panels: Vec<Value> = panels.map(|(at, panel)| panel.json(at)).collect();
        let dashboard = json!({
            "uid": format!("carillon-{}", self.name),
            "title": format!("Carillon / {}", self.title),
            "description": self.description,
            "tags": ["carillon"],
            "editable": false,
            "graphTooltip": 1,
            "links": [{
                "type": "dashboards",
                "title": "Carillon",
                "tags": ["carillon"],
                "asDropdown": true,
                "includeVars": true,
                "keepTime": true,
            }],
            "panels": panels,
            "refresh": "30s",
            "schemaVersion": 39,
            "templating": {"list": variables()},
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "version": 1,
        });
        format!("{dashboard:#}\n")
    }
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn variables() -> Vec<Value> {
    let source = json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    });
    let quantile = json!({
        "name": "quantile",
        "label": "Quantile",
        "type": "custom",
        "query": "0.5,0.9,0.95,0.99,0.999",
        "current": {"text": "0.99", "value": "0.99"},
    });
    // A label that this Prometheus does not set matches everything; job and instance are always there.
    let labels = [
        ("cluster", "Cluster", "", Some(".*")),
        (
            "namespace",
            "Namespace",
            r#"cluster=~"$cluster""#,
            Some(".*"),
        ),
        (
            "job",
            "Job",
            r#"cluster=~"$cluster", namespace=~"$namespace""#,
            None,
        ),
        (
            "instance",
            "Instance",
            r#"cluster=~"$cluster", namespace=~"$namespace", job=~"$job""#,
            None,
        ),
        (
            "pod",
            "Pod",
            r#"cluster=~"$cluster", namespace=~"$namespace", job=~"$job""#,
            Some(".*"),
        ),
    ];
    let labels = labels.into_iter().map(|(name, label, of, all)| {
        json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": datasource(),
            "query": format!("label_values(carillon_build_info{{{of}}}, {name})"),
            "allValue": all,
            "includeAll": true,
            "multi": true,
            "current": {"text": ["All"], "value": ["$__all"]},
            "refresh": 2,
            "sort": 1,
        })
    });
    [source]
        .into_iter()
        .chain(labels)
        .chain([quantile])
        .collect()
}
