//! Prometheus' text format (0.0.4), as far as our own services write it.

use std::collections::HashMap;

/// What one process says of itself at one moment.
#[derive(Debug, Default)]
pub(crate) struct Exposition(HashMap<String, Vec<Sample>>);

#[derive(Debug, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Exposition {
    /// Lines that are none of the format are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                all.0.entry(name.to_owned()).or_default().push(sample);
            }
        }
        all
    }

    /// Whether there is a metric of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The sum over all series of a metric; 0 without any.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.sum_of(name, "", |_| true)
    }

    /// The sum over those whose label has such a value.
    pub(crate) fn sum_of(&self, name: &str, label: &str, is: impl Fn(&str) -> bool) -> f64 {
        let samples = self.0.get(name).into_iter().flatten();
        let counted = samples
            .filter(|sample| label.is_empty() || is(sample.label(label).unwrap_or_default()));
        counted.map(|sample| sample.value).sum()
    }

    /// The buckets of a histogram, cumulative, over all its series: upper bound and count, by bound.
    pub(crate) fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let samples = self.0.get(&format!("{name}_bucket")).into_iter().flatten();
        for sample in samples {
            let bound = match sample.label("le") {
                Some("+Inf") => f64::INFINITY,
                Some(bound) => bound.parse().unwrap_or(f64::INFINITY),
                None => continue,
            };
            match buckets.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        buckets
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `name{label="value",…} 12`
fn sample(line: &str) -> Option<(&str, Sample)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = Vec::new();
    let rest = match rest.strip_prefix('{') {
        Some(inside) => read_labels(inside, &mut labels)?,
        None => rest,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some((name, Sample { labels, value }))
}

/// Answers with what follows the closing brace. A value may hold any character, escaped.
fn read_labels<'a>(mut rest: &'a str, labels: &mut Vec<(String, String)>) -> Option<&'a str> {
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (at, '"') => {
                    rest = &quoted[at + 1..];
                    break;
                }
                (_, '\\') => value.push(match characters.next()? {
                    (_, 'n') => '\n',
                    (_, escaped) => escaped,
                }),
                (_, character) => value.push(character),
            }
        }
        labels.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::telemetry::Metrics;

    use super::*;

    #[test]
    fn what_our_services_write_is_read() {
        let metrics = Metrics::new("gateway");
        metrics.gateway.connections.set(3);
        for code in ["4102", "1006"] {
            let closed = &metrics.gateway.connections_closed;
            closed.with_label_values(&[code, "server"]).inc_by(2);
        }
        let problems = &metrics.dispatcher.problems;
        problems.with_label_values(&["a\"b\\c\nd,e}"]).inc();
        metrics.gateway.delivery_latency.observe(0.002);
        let read = Exposition::parse(&metrics.render());
        assert_eq!(read.sum("carillon_gateway_connections"), 3.0);
        let closed = "carillon_gateway_connections_closed_total";
        assert_eq!(read.sum(closed), 4.0);
        assert_eq!(read.sum_of(closed, "code", |code| code == "4102"), 2.0);
        let wild = |code: &str| code == "a\"b\\c\nd,e}";
        let problems = "carillon_dispatcher_problems_total";
        assert_eq!(read.sum_of(problems, "code", wild), 1.0);
        let buckets = read.buckets("carillon_gateway_delivery_latency_seconds");
        assert_eq!(buckets.first(), Some(&(0.0005, 0.0)));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1.0)));
        assert!(read.has("carillon_build_info") && !read.has("carillon_else"));
    }

    #[test]
    fn other_lines_are_passed_over() {
        let text = "\n# HELP x y\nx{a=\"1\n{} 1\nx\nx one\n<html>\nx{a=\"1\"} 2 1700000000\n";
        let read = Exposition::parse(text);
        assert_eq!(read.sum("x"), 2.0);
        assert_eq!(read.0.len(), 1);
    }
}
