//! What a test has measured, as a short table.

use std::fmt::{self, Display};
use std::time::Duration;

/// Named figures under a title.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    title: String,
    rows: Vec<(String, String)>,
}

impl Figures {
    /// An empty table.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, value: impl Display) {
        self.rows.push((name.to_owned(), value.to_string()));
    }

    /// Adds p50, p99 and the longest of these times.
    pub fn times(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        let value = match times.is_empty() {
            true => "none".to_owned(),
            false => format!("{:.1} / {:.1} / {:.1} ms", at(0.5), at(0.99), at(1.0)),
        };
        self.row(&format!("{name} p50/p99/max"), value);
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== {}", self.title)?;
        self.rows
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "   {name:<34} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_percentiles_of_what_was_measured() {
        let mut figures = Figures::new("a test");
        figures.row("sends", 3);
        figures.times(
            "latency",
            (1..=101).rev().map(Duration::from_millis).collect(),
        );
        figures.times("nothing", Vec::new());
        let text = figures.to_string();
        assert!(text.starts_with("== a test\n   sends   "), "{text}");
        assert!(text.contains("51.0 / 100.0 / 101.0 ms"), "{text}");
        assert!(text.contains("none"), "{text}");
    }
}
