//! A profile of callgrind: how much of it metrics took.

use anyhow::{Context, Result, ensure};

/// Instructions of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// All of them.
    pub all: u64,
    /// Those of metrics, and of what metrics call.
    pub metrics: u64,
}

impl Cost {
    /// All of them against those that would be left without metrics.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.all as f64 / (self.all - self.metrics).max(1) as f64
    }
}

/// Files of metrics: where a function of theirs was inlined, its lines are told apart by them.
const FILES: [&str; 6] = [
    "/prometheus-0.",
    "gateway/src/metrics.rs",
    "gateway/src/busiest.rs",
    "dispatcher/src/counters.rs",
    "common/src/telemetry/metrics",
    "redis/link/stats.rs",
];

/// Functions of metrics, as their names have it, mangled or not.
const FUNCTIONS: [&str; 11] = [
    "prometheus",
    "gateway::metrics",
    "gateway7metrics",
    "gateway::busiest",
    "gateway7busiest",
    "dispatcher::counters",
    "dispatcher8counters",
    "telemetry::metrics",
    "telemetry7metrics",
    "link::stats",
    "link5stats",
];

fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|part| name.contains(part))
}

fn is_file(name: &str) -> bool {
    FILES.iter().any(|part| name.contains(part))
}

/// Reads a profile whose names and positions are not compressed.
///
/// # Errors
/// When it is none, or counts something else than instructions.
pub fn cost(text: &str) -> Result<Cost> {
    let events = text.lines().find_map(|line| line.strip_prefix("events: "));
    ensure!(events == Some("Ir"), "it counts {events:?}");
    let mut cost = Cost { all: 0, metrics: 0 };
    // Where a line of costs belongs: the function, and the file that its code is of.
    let (mut function, mut file) = (false, false);
    let mut callee = None;
    for line in text.lines() {
        if let Some((key, name)) = line.split_once('=') {
            match key {
                "fn" => function = is_function(name),
                "fl" | "fi" | "fe" => file = is_file(name),
                "cfn" => callee = Some(is_function(name)),
                // The next line has what the calls took, all together.
                "calls" => {}
                _ => {}
            }
            continue;
        }
        let Some(count) = instructions(line) else {
            continue;
        };
        let of_metrics = function || file;
        match callee.take() {
            None => {
                cost.all += count;
                cost.metrics += if of_metrics { count } else { 0 };
            }
            // What is counted by itself, as one of metrics, is not counted here again.
            Some(callee) => cost.metrics += if of_metrics && !callee { count } else { 0 },
        }
    }
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let totals: u64 = totals
        .context("no totals: it is not whole")?
        .trim()
        .parse()?;
    ensure!(
        totals == cost.all,
        "{totals} in all, {} in its lines",
        cost.all
    );
    ensure!(cost.metrics > 0, "metrics are not found in it");
    Ok(cost)
}

/// `123 4567`: a position and how many.
fn instructions(line: &str) -> Option<u64> {
    let (position, count) = line.split_once(' ')?;
    position.parse::<u64>().ok()?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
events: Ir
positions: line

fl=gateway/src/connection.rs
fn=carillon_gateway::connection::run
10 100
fi=/registry/prometheus-0.14.0/src/atomic64.rs
7 5
fe=gateway/src/connection.rs
11 50
cfn=carillon_gateway::metrics::Metrics::note
calls=2 30
12 40
cfn=memcpy
calls=1 1
13 60

fl=gateway/src/metrics.rs
fn=carillon_gateway::metrics::Metrics::note
30 10
cfn=prometheus::histogram::Histogram::observe
calls=2 0
31 20
cfn=clock_gettime
calls=2 0
31 10

fl=???
fn=prometheus::histogram::Histogram::observe
0 20

fl=???
fn=memcpy
1 60

fl=???
fn=clock_gettime
0 10

totals: 255
";

    #[test]
    fn metrics_are_what_they_take_themselves_and_what_others_do_for_them() {
        let cost = cost(PROFILE).unwrap();
        // An inlined line, a function with the clock that it asks, and a function that it calls.
        assert_eq!((cost.all, cost.metrics), (255, 5 + 10 + 10 + 20));
        assert!((cost.ratio() - 255.0 / 210.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_whole_profile_is_refused() {
        for (from, to) in [
            ("totals: 255\n", ""),
            ("totals: 255", "totals: 256"),
            ("events: Ir", "events: Ir Dr"),
        ] {
            assert!(cost(&PROFILE.replace(from, to)).is_err(), "{from} {to}");
        }
        let nobody = "events: Ir\nfn=main\n1 2\ntotals: 2\n";
        assert!(cost(nobody).unwrap_err().to_string().contains("not found"));
    }
}
