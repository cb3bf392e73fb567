//! Times, and what may be said of them.

use std::time::Duration;

/// Every time that was measured.
#[derive(Debug, Default, Clone)]
pub struct Latencies(Vec<u32>);

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[expect(missing_docs, reason = "the names say all there is")]
pub struct Percentiles {
    pub count: usize,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Latencies {
    /// Notes one, in microseconds up to an hour.
    pub fn note(&mut self, time: Duration) {
        self.0
            .push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes over another's.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `None` where nothing was measured. Exact: all values are kept.
    pub fn percentiles(mut self) -> Option<Percentiles> {
        self.0.sort_unstable();
        let max = *self.0.last()?;
        let at = |part: f64| {
            // Nearest rank: the least value that is not below `part` of all.
            let rank = (part * self.0.len() as f64).ceil() as usize;
            millis(self.0[rank.clamp(1, self.0.len()) - 1])
        };
        Some(Percentiles {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(max),
        })
    }
}

fn millis(micros: u32) -> f64 {
    f64::from(micros) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        (1..=1000)
            .rev()
            .for_each(|n| latencies.note(Duration::from_millis(n)));
        let percentiles = latencies.percentiles().unwrap();
        assert_eq!(percentiles.count, 1000);
        let told = [
            percentiles.p50_ms,
            percentiles.p90_ms,
            percentiles.p99_ms,
            percentiles.p999_ms,
            percentiles.max_ms,
        ];
        assert_eq!(told, [500.0, 900.0, 990.0, 999.0, 1000.0]);
    }

    #[test]
    fn nothing_measured_is_nothing_said() {
        assert_eq!(Latencies::default().percentiles(), None);
    }
}
