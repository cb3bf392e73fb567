//! Results as JUnit XML, which every CI reads.

use std::fmt;

/// What became of a scenario.
pub(crate) struct Outcome {
    /// Which.
    pub(crate) name: &'static str,
    /// How long it took.
    pub(crate) seconds: f64,
    /// What it measured.
    pub(crate) figures: String,
    /// Why it failed.
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failure.is_none() {
            "ok"
        } else {
            "FAILED"
        };
        write!(f, "{:<22}{verdict:<8}{:>5.0} s", self.name, self.seconds)
    }
}

/// One test suite.
#[must_use]
pub(crate) fn xml(outcomes: &[Outcome]) -> String {
    let failures = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    let cases: String = outcomes.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"e2e\" tests=\"{}\" failures=\"{failures}\">\n{cases}</testsuite>\n",
        outcomes.len()
    )
}

fn case(outcome: &Outcome) -> String {
    let failure = outcome
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| {
            format!("    <failure>{}</failure>\n", escaped(failure))
        });
    format!(
        "  <testcase classname=\"e2e\" name=\"{}\" time=\"{:.1}\">\n{failure}    <system-out>{}</system-out>\n  </testcase>\n",
        outcome.name,
        outcome.seconds,
        escaped(&outcome.figures)
    )
}

fn escaped(text: &str) -> String {
    // Control characters have no place in XML 1.0.
    let text: String = text
        .chars()
        .filter(|it| !it.is_control() || *it == '\n')
        .collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
