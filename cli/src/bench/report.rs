//! What a run showed, for people and for machines.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    latency::Percentiles,
    ledger::{Finding, Verdict},
};
use crate::terminal::Style;

/// Findings that are named; the rest is counted.
const NAMED: usize = 10;

/// The result of a run with a ledger.
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) run: String,
    pub(crate) connections: usize,
    pub(crate) reconnects: usize,
    pub(crate) most_reconnects: usize,
    /// By close code; 1006 is a connection that broke.
    pub(crate) closes: BTreeMap<u16, usize>,
    pub(crate) away: Option<Percentiles>,
    pub(crate) gaps: usize,
    pub(crate) seconds: f64,
    pub(crate) accepted_per_second: f64,
    pub(crate) refused: BTreeMap<String, usize>,
    /// Calls that failed and were tried again, by why.
    pub(crate) retried: BTreeMap<String, usize>,
    pub(crate) unanswered: usize,
    pub(crate) rest: Option<Percentiles>,
    pub(crate) delivery: Option<Percentiles>,
    pub(crate) verdict: Verdict,
    /// Whether every promise was kept.
    pub(crate) kept: bool,
}

impl Report {
    /// One JSON object.
    pub(crate) fn json(&self) -> Value {
        let verdict = &self.verdict;
        json!({
            "bench": self.bench,
            "run": self.run,
            "connections": self.connections,
            "reconnects": self.reconnects,
            "most_reconnects": self.most_reconnects,
            "closes": self.closes,
            "away_ms": self.away,
            "gaps": self.gaps,
            "seconds": self.seconds,
            "accepted": verdict.accepted,
            "accepted_per_second": self.accepted_per_second,
            "refused": self.refused,
            "retried": self.retried,
            "unanswered": self.unanswered,
            "expected": verdict.expected,
            "received": verdict.received,
            "lost": counted(&verdict.lost),
            "duplicates": counted(&verdict.duplicates),
            "disordered": counted(&verdict.disordered),
            "misdelivered": counted(&verdict.misdelivered),
            "unaccounted": counted(&verdict.unaccounted),
            "rest_ms": self.rest,
            "delivery_ms": self.delivery,
            "kept": self.kept,
        })
    }

    /// A table.
    pub(crate) fn table(&self, style: Style) -> String {
        let verdict = &self.verdict;
        let mut lines = vec![
            row(
                "connections",
                format!(
                    "{} ({} times again, one at most {})",
                    self.connections, self.reconnects, self.most_reconnects
                ),
            ),
            row(
                "accepted",
                format!(
                    "{} in {:.1} s, {:.0}/s",
                    verdict.accepted, self.seconds, self.accepted_per_second
                ),
            ),
            row(
                "delivered",
                format!("{} of {}", verdict.received, verdict.expected),
            ),
        ];
        for (code, count) in &self.closes {
            lines.push(row("closed", format!("{count} × {code}")));
        }
        for (name, all) in [("refused", &self.refused), ("tried again", &self.retried)] {
            let counted = all.iter().map(|(why, count)| format!("{count} × {why}"));
            lines.extend(counted.map(|text| row(name, style.yellow(&text))));
        }
        for (name, count) in [("unanswered", self.unanswered), ("gaps", self.gaps)] {
            if count > 0 {
                lines.push(row(name, style.yellow(&count.to_string())));
            }
        }
        lines.extend(
            self.rest
                .as_ref()
                .map(|times| row("REST call", shown(times))),
        );
        lines.extend(
            self.delivery
                .as_ref()
                .map(|times| row("delivery", shown(times))),
        );
        lines.extend(self.away.as_ref().map(|times| row("away", shown(times))));
        for (name, findings) in [
            ("lost", &verdict.lost),
            ("duplicates", &verdict.duplicates),
            ("out of order", &verdict.disordered),
            ("wrong reader", &verdict.misdelivered),
            ("unaccounted", &verdict.unaccounted),
        ] {
            let count = findings.len().to_string();
            let colour = if findings.is_empty() {
                Style::green
            } else {
                Style::red
            };
            lines.push(row(name, colour(style, &count)));
            let named = findings.iter().take(NAMED);
            lines
                .extend(named.map(|it| row("", style.dim(&format!("{} at {}", it.id, it.reader)))));
        }
        lines.push(if self.kept {
            style.green("every promise was kept")
        } else {
            style.red("promises were broken")
        });
        lines.join("\n")
    }
}

fn counted(findings: &[Finding]) -> Value {
    #[derive(Serialize)]
    struct Counted<'a> {
        count: usize,
        first: &'a [Finding],
    }
    json!(Counted {
        count: findings.len(),
        first: &findings[..findings.len().min(NAMED)]
    })
}

/// One line of a table.
pub(super) fn row(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:<14}{value}")
}

/// Percentiles in one line.
pub(super) fn shown(times: &Percentiles) -> String {
    format!(
        "p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} ms",
        times.p50_ms, times.p90_ms, times.p99_ms, times.p999_ms, times.max_ms
    )
}
