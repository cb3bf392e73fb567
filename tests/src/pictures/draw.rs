//! A dashboard as an SVG: its panels where Grafana has them, each with its curves, units and legends.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

const COLUMN: f64 = 400.0;
const ROW: f64 = 220.0;
const HEAD: f64 = 40.0;
/// Around the curves of a panel.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 58.0;
/// Legends that there is room for.
const LEGENDS: usize = 4;
const COLOURS: [&str; 8] = [
    "#2f7ed8", "#d9822b", "#2e9e5b", "#c23b3b", "#8356b5", "#8a6d3b", "#d0559a", "#5c6670",
];

/// A series with its legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    legend: String,
    /// Unix time and value; those that are no numbers are left out.
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Of a series as Prometheus answers it; `legend` as Grafana has it (`{{pod}}`).
    #[must_use]
    pub fn read(legend: &str, series: &Value) -> Self {
        let labels = series["metric"].as_object().into_iter().flatten();
        let named = labels.fold(legend.to_owned(), |legend, (label, value)| {
            legend.replace(
                &format!("{{{{{label}}}}}"),
                value.as_str().unwrap_or_default(),
            )
        });
        let points = series["values"].as_array().into_iter().flatten();
        let points = points.filter_map(|point| {
            let value: f64 = point[1].as_str()?.parse().ok()?;
            value.is_finite().then_some((point[0].as_f64()?, value))
        });
        Self {
            legend: without_placeholders(&named),
            points: points.collect(),
        }
    }
}

/// A label that a series does not have shows as nothing.
fn without_placeholders(legend: &str) -> String {
    let mut text = String::new();
    let mut rest = legend;
    while let Some((before, after)) = rest.split_once("{{") {
        text += before;
        rest = after.split_once("}}").map_or("", |(_, rest)| rest);
    }
    text += rest;
    text.trim().to_owned()
}

/// The whole dashboard. `shown`: the curves of each panel, by its place in the list.
#[must_use]
pub fn picture(dashboard: &Value, shown: &BTreeMap<usize, Vec<Curve>>, seconds: u32) -> String {
    let panels = dashboard["panels"].as_array().cloned().unwrap_or_default();
    let rows = panels.len().div_ceil(3) as f64;
    let (width, height) = (3.0 * COLUMN, HEAD + rows * ROW + 8.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#333\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#f4f5f7\"/>\n"
    );
    let title = dashboard["title"].as_str().unwrap_or_default();
    let head = format!("{title}, the last {} minutes", seconds / 60);
    text(
        &mut svg,
        12.0,
        26.0,
        "font-size=\"17\" font-weight=\"bold\"",
        &head,
    );
    let end = shown.values().flatten();
    let end = end.flat_map(|curve| curve.points.last());
    let end = end.fold(f64::MIN, |end, (time, _)| end.max(*time));
    let time = (end - f64::from(seconds), end);
    for (at, panel) in panels.iter().enumerate() {
        let (x, y) = ((at % 3) as f64 * COLUMN, HEAD + (at / 3) as f64 * ROW);
        let curves = shown.get(&at).map_or(&[][..], Vec::as_slice);
        one(&mut svg, x, y, panel, curves, time);
    }
    svg + "</svg>\n"
}

fn one(svg: &mut String, x: f64, y: f64, panel: &Value, curves: &[Curve], time: (f64, f64)) {
    let unit = panel["fieldConfig"]["defaults"]["unit"]
        .as_str()
        .unwrap_or_default();
    let title = panel["title"].as_str().unwrap_or_default();
    let (x, y) = (x + 6.0, y + 4.0);
    let (width, height) = (COLUMN - 12.0, ROW - 8.0);
    line(
        svg,
        format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"#fff\" stroke=\"#d8dade\"/>"
        ),
    );
    text(
        svg,
        x + 10.0,
        y + 20.0,
        "font-size=\"12\" font-weight=\"bold\"",
        title,
    );
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|point| point.1)
    };
    if values().next().is_none() {
        let middle = "text-anchor=\"middle\" fill=\"#999\"";
        text(
            svg,
            x + width / 2.0,
            y + height / 2.0,
            middle,
            "nothing to show",
        );
        return;
    }
    if panel["type"] == "stat" {
        number(svg, (x, y), (width, height), unit, curves);
        return;
    }
    let highest = values().fold(f64::MIN, f64::max);
    let lowest = values().fold(0.0, f64::min);
    let highest = if highest > lowest {
        highest
    } else {
        lowest + 1.0
    };
    let plot = Plot {
        left: x + LEFT,
        right: x + width - RIGHT,
        top: y + TOP,
        bottom: y + height - BOTTOM,
        time,
        values: (lowest, highest),
    };
    for part in [0.0, 0.5, 1.0] {
        let value = lowest + (highest - lowest) * part;
        let at = plot.y(value);
        line(
            svg,
            format_args!(
                "<line x1=\"{:.0}\" y1=\"{at:.0}\" x2=\"{:.0}\" y2=\"{at:.0}\" stroke=\"#e8eaed\"/>",
                plot.left, plot.right
            ),
        );
        let label = shown(value, unit);
        text(
            svg,
            plot.left - 6.0,
            at + 4.0,
            "text-anchor=\"end\" fill=\"#777\"",
            &label,
        );
    }
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        plot.curve(svg, curve, colour);
    }
    legends(svg, (x + 10.0, y + height - BOTTOM + 18.0), curves);
}

/// Where the curves of a panel are drawn.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    time: (f64, f64),
    values: (f64, f64),
}

impl Plot {
    fn x(&self, time: f64) -> f64 {
        let part = (time - self.time.0) / (self.time.1 - self.time.0).max(1.0);
        self.left + (self.right - self.left) * part
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value - self.values.0) / (self.values.1 - self.values.0);
        self.bottom - (self.bottom - self.top) * part
    }

    fn curve(&self, svg: &mut String, curve: &Curve, colour: &str) {
        if let [(time, value)] = curve.points[..] {
            let (x, y) = (self.x(time), self.y(value));
            let dot =
                format_args!("<circle cx=\"{x:.0}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\"/>");
            line(svg, dot);
            return;
        }
        let points = curve
            .points
            .iter()
            .map(|(time, value)| format!("{:.0},{:.1}", self.x(*time), self.y(*value)));
        let points = points.collect::<Vec<_>>().join(" ");
        line(
            svg,
            format_args!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
            ),
        );
    }
}

/// The last value, large.
fn number(svg: &mut String, at: (f64, f64), size: (f64, f64), unit: &str, curves: &[Curve]) {
    let last = curves.iter().filter_map(|curve| {
        let (_, value) = curve.points.last()?;
        Some((curve.legend.as_str(), *value))
    });
    let last: Vec<_> = last.collect();
    for (row, (legend, value)) in last.iter().take(LEGENDS).enumerate() {
        let y = at.1
            + size.1 / 2.0
            + (row as f64 - (last.len().min(LEGENDS) - 1) as f64 / 2.0) * 34.0
            + 8.0;
        let large = "font-size=\"26\" text-anchor=\"middle\" fill=\"#2f7ed8\"";
        text(svg, at.0 + size.0 / 2.0, y, large, &shown(*value, unit));
        text(svg, at.0 + size.0 * 0.72, y, "fill=\"#777\"", legend);
    }
}

fn legends(svg: &mut String, at: (f64, f64), curves: &[Curve]) {
    let mut colours = COLOURS.iter().cycle();
    for (place, curve) in curves.iter().take(LEGENDS).enumerate() {
        let (x, y) = (
            at.0 + (place % 2) as f64 * 188.0,
            at.1 + (place / 2) as f64 * 16.0,
        );
        let colour = colours.next().copied().unwrap_or_default();
        line(
            svg,
            format_args!(
                "<rect x=\"{x}\" y=\"{:.0}\" width=\"9\" height=\"3\" fill=\"{colour}\"/>",
                y - 5.0
            ),
        );
        let short: String = curve.legend.chars().take(30).collect();
        text(svg, x + 14.0, y, "", &short);
    }
    if curves.len() > LEGENDS {
        let more = format!("and {} more", curves.len() - LEGENDS);
        text(svg, at.0 + 14.0, at.1 + 32.0, "fill=\"#999\"", &more);
    }
}

/// A value with its unit, as Grafana would write it.
fn shown(value: f64, unit: &str) -> String {
    let scaled = |value: f64, steps: &[(f64, &str)]| {
        let step = steps.iter().find(|(least, _)| value.abs() >= *least);
        let (least, name) = step.or(steps.last()).copied().unwrap_or((1.0, ""));
        let scaled = value / least;
        match scaled.abs() {
            large if large >= 100.0 || large == large.trunc() => format!("{scaled:.0}{name}"),
            small if small < 1.0 => format!("{scaled:.2}{name}"),
            _ => format!("{scaled:.1}{name}"),
        }
    };
    const BYTES: [(f64, &str); 4] = [
        (1_073_741_824.0, " GiB"),
        (1_048_576.0, " MiB"),
        (1_024.0, " KiB"),
        (1.0, " B"),
    ];
    match unit {
        _ if value == 0.0 => "0".to_owned(),
        "bytes" => scaled(value, &BYTES),
        "Bps" => scaled(value, &BYTES) + "/s",
        "percentunit" if value.abs() < 0.01 => format!("{:.2} %", value * 100.0),
        "percentunit" => scaled(value * 100.0, &[(1.0, " %")]),
        "s" => scaled(value, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs")]),
        "ops" => scaled(value, &[(1e6, " M/s"), (1e3, " k/s"), (1.0, " /s")]),
        _ => scaled(value, &[(1e6, " M"), (1e3, " k"), (1.0, "")]),
    }
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    line(
        svg,
        format_args!("<text x=\"{x:.0}\" y=\"{y:.0}\" {style}>{escaped}</text>"),
    );
}

fn line(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    writeln!(svg, "{line}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_series_has_its_legend_and_its_numbers() {
        let series = json!({
            "metric": {"pod": "gw-0", "code": "1006"},
            "values": [[10, "1.5"], [13, "NaN"], [16, "+Inf"], [19, "2"]],
        });
        let curve = Curve::read("{{pod}} {{code}} {{instance}}", &series);
        assert_eq!(curve.legend, "gw-0 1006");
        assert_eq!(curve.points, [(10.0, 1.5), (19.0, 2.0)]);
    }

    #[test]
    fn values_are_written_in_their_unit() {
        for (value, unit, text) in [
            (0.0, "s", "0"),
            (0.0025, "s", "2.5 ms"),
            (2.0 * 1_048_576.0, "bytes", "2 MiB"),
            (1_536.0, "Bps", "1.5 KiB/s"),
            (0.5, "percentunit", "50 %"),
            (0.0005, "percentunit", "0.05 %"),
            (12_500.0, "short", "12.5 k"),
            (0.2, "ops", "0.20 /s"),
            (0.5, "short", "0.50"),
            (-3.0, "short", "-3"),
        ] {
            assert_eq!(shown(value, unit), text);
        }
    }

    #[test]
    fn every_panel_is_there_whatever_it_has() {
        let panel = |kind: &str, title: &str| json!({"type": kind, "title": title, "fieldConfig": {"defaults": {"unit": "ops"}}});
        let dashboard = json!({"title": "A & B", "panels": [
            panel("timeseries", "Curves"), panel("stat", "Number"), panel("timeseries", "None"),
        ]});
        let curve = |legend: &str, points: &[(f64, f64)]| Curve {
            legend: legend.to_owned(),
            points: points.to_vec(),
        };
        let many = (0..6).map(|at| curve(&format!("<{at}>"), &[(0.0, 0.0), (60.0, 10.0)]));
        let shown = BTreeMap::from([(0, many.collect()), (1, vec![curve("", &[(60.0, 7.0)])])]);
        let svg = picture(&dashboard, &shown, 60);
        for part in [
            "A &amp; B",
            "Curves",
            "&lt;0&gt;",
            "and 2 more",
            ">7 /s<",
            "nothing to show",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<polyline").count(), 6);
        // From the lower left corner of the first panel's curves to the upper right one.
        assert!(
            svg.contains("68,197.0 380,78.0") || svg.contains("points=\"68,"),
            "{svg}"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
