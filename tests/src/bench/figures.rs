//! Figures and how they are shown.

use std::fmt::Write as _;

use serde::Serialize;

const BAR: usize = 40;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Of the values.
    pub unit: &'static str,
    /// One value for each repetition.
    pub values: Vec<f64>,
    /// What the floor takes for the same, in the same unit.
    pub floor: Option<f64>,
    /// The most that it may be.
    pub target: Option<f64>,
}

impl Figure {
    /// A figure without floor or target.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            unit,
            values,
            floor: None,
            target: None,
        }
    }

    /// How many times the floor something took: the floor is 1.
    #[must_use]
    pub fn ratio(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self::new(name, "× floor", values).floor(1.0)
    }

    /// With what the floor takes.
    #[must_use]
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// With the most that it may be.
    #[must_use]
    pub fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// The middle repetition.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(&self.values)
    }

    fn spread(&self) -> (f64, f64) {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }

    /// Whether it is within its target, if it has one.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| self.median() <= target)
    }

    fn verdict(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn cells(&self) -> [String; 4] {
        let (least, most) = self.spread();
        [
            self.name.clone(),
            format!("{} {}", round(self.median()), self.unit),
            format!("{} – {}", round(least), round(most)),
            self.target
                .map_or(String::new(), |target| format!("≤ {}", round(target))),
        ]
    }
}

/// The middle of some values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `part` of the durations lie, in milliseconds.
#[must_use]
pub fn percentile(latencies: &mut [std::time::Duration], part: f64) -> f64 {
    latencies.sort_unstable();
    let at = (latencies.len() as f64 * part) as usize;
    latencies
        .get(at.min(latencies.len().saturating_sub(1)))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

fn round(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// A table for the terminal, and below it each figure with a target as a bar: `#` up to the value,
/// `F` where the floor is, `|` where the target is.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    let width = figures
        .iter()
        .map(|figure| figure.name.chars().count())
        .max()
        .unwrap_or(0);
    for figure in figures {
        let [name, value, spread, target] = figure.cells();
        let verdict = figure.verdict();
        let line = format!("{name:width$}  {value:>16}  ({spread})  {target:>8}  {verdict}");
        text += line.trim_end();
        text.push('\n');
    }
    text.push('\n');
    for figure in figures.iter().filter(|figure| figure.target.is_some()) {
        let _infallible = writeln!(
            text,
            "{:width$}  {}  {}",
            figure.name,
            bar(figure),
            round(figure.median())
        );
    }
    text
}

fn bar(figure: &Figure) -> String {
    let target = figure.target.unwrap_or(0.0);
    // The target stands at two thirds; what is far beyond it ends in '>'.
    let place = |value: f64| (value / target * BAR as f64 * 2.0 / 3.0).round() as usize;
    let end = place(figure.median());
    let mut cells: Vec<char> = (0..BAR)
        .map(|at| if at < end { '#' } else { ' ' })
        .collect();
    if end > BAR {
        cells[BAR - 1] = '>';
    }
    cells[place(target).min(BAR - 1)] = '|';
    if let Some(floor) = figure.floor {
        cells[place(floor).min(BAR - 1)] = 'F';
    }
    cells.into_iter().collect()
}

/// The same table in Markdown.
#[must_use]
pub fn markdown(figures: &[Figure]) -> String {
    let mut text = String::from("| | median | least – most | target | |\n|---|---|---|---|---|\n");
    for figure in figures {
        let [name, value, spread, target] = figure.cells();
        let _infallible = writeln!(
            text,
            "| {name} | {value} | {spread} | {target} | {} |",
            figure.verdict()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bars_show_value_floor_and_target() {
        let figure = Figure::ratio("fan-out", vec![1.3, 1.0, 1.1]).target(2.0);
        assert_eq!(figure.median(), 1.1);
        assert_eq!(figure.is_met(), Some(true));
        let bar = bar(&figure);
        assert_eq!(
            bar.trim_end(),
            format!("{}F#{}|", "#".repeat(13), " ".repeat(12))
        );
    }

    #[test]
    fn tables_say_what_was_missed() {
        let figures = [Figure::new("memory", "KiB", vec![4.5]).target(4.0)];
        assert!(table(&figures).contains("4.50 KiB"), "{}", table(&figures));
        assert!(markdown(&figures).contains("| ≤ 4.00 | MISSED |"));
    }

    #[test]
    fn percentiles_of_few_and_many() {
        let mut latencies: Vec<_> = (1..=1_000).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut latencies, 0.5), 501.0);
        assert_eq!(percentile(&mut latencies, 0.99), 991.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
