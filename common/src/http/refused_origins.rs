//! Which origins were refused a moment ago, so that the log says each once a minute.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How often one origin is told of.
const EVERY: Duration = Duration::from_secs(60);
/// How many origins are told of in that time: strangers name whatever they like.
const REMEMBERED: usize = 32;
/// Longest part of an origin that is told.
const SHOWN_CHARACTERS: usize = 200;

/// Remembers which origins the log has told of.
#[derive(Debug, Default)]
pub struct RefusedOrigins(Mutex<HashMap<Box<str>, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    passed_over: u64,
}

impl RefusedOrigins {
    /// Tells the log of it, unless that was done a moment ago.
    pub fn refused(&self, origin: &[u8], now: Instant) {
        let origin = String::from_utf8_lossy(origin);
        let origin: String = origin.chars().take(SHOWN_CHARACTERS).collect();
        if let Some(passed_over) = self.is_to_be_told(&origin, now) {
            tracing::warn!(
                ?origin,
                passed_over,
                "pages of this origin are refused; to let them come, add it to gateway.origins"
            );
        }
    }

    /// Whether it is, and how often it was not since the last time.
    fn is_to_be_told(&self, origin: &str, now: Instant) -> Option<u64> {
        let mut all = self.0.lock();
        let is_recent = |told: &Told| now.duration_since(told.at) < EVERY;
        if let Some(told) = all.get_mut(origin) {
            if is_recent(told) {
                told.passed_over += 1;
                return None;
            }
            told.at = now;
            return Some(std::mem::take(&mut told.passed_over));
        }
        if all.len() >= REMEMBERED {
            all.retain(|_, told| is_recent(told));
        }
        if all.len() >= REMEMBERED {
            return None;
        }
        let told = Told {
            at: now,
            passed_over: 0,
        };
        all.insert(origin.into(), told);
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_origin_is_told_once_a_minute_and_not_too_many() {
        let (origins, start) = (RefusedOrigins::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let told = |origin: &str, seconds| origins.is_to_be_told(origin, at(seconds));
        assert_eq!(told("https://a.example", 0), Some(0));
        assert_eq!(told("https://a.example", 1), None);
        assert_eq!(told("https://b.example", 1), Some(0));
        assert_eq!(told("https://a.example", 59), None);
        assert_eq!(told("https://a.example", 60), Some(2));
        let many = (0..1000).filter(|n| told(&n.to_string(), 61).is_some());
        assert!(many.count() <= REMEMBERED);
        assert!(origins.0.lock().len() <= REMEMBERED);
        assert_eq!(told("https://c.example", 200), Some(0));
    }
}
