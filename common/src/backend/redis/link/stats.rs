//! What becomes of calls, as the metrics tell it.

use std::ops::Deref;

use redis::{Arg, Cmd};
use tokio::time::Instant;

use super::{error::LinkError, faults::Faults};
use crate::{backend::FaultKind, telemetry::RedisMetrics};

/// What a link has done since it was made.
pub struct LinkStats {
    metrics: RedisMetrics,
    /// What keeps the store from serving.
    pub(crate) faults: Faults,
}

impl Deref for LinkStats {
    type Target = RedisMetrics;

    fn deref(&self) -> &RedisMetrics {
        &self.metrics
    }
}

impl Default for LinkStats {
    /// From zero. Every kind of failure is there before the first: an alert on its growth needs a zero
    /// to grow from.
    fn default() -> Self {
        let metrics = RedisMetrics::new();
        for kind in FaultKind::ALL {
            metrics.errors.with_label_values(&[kind.as_str()]);
        }
        let faults = Faults::default();
        Self { metrics, faults }
    }
}

impl LinkStats {
    /// Counts a result that goes to the caller and hands it on; a fault in it is reported.
    pub(crate) fn observe<T>(&self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        let result = self.count(result);
        if let Err(error) = &result {
            self.faults.report(error);
        }
        result
    }

    /// The same for a question whose refusal is an answer.
    pub(crate) fn count<T>(&self, result: Result<T, LinkError>) -> Result<T, LinkError> {
        self.calls.inc();
        match &result {
            Ok(_) => self.up.set(1),
            Err(error) => {
                let kind = error.kind();
                self.errors.with_label_values(&[kind.as_str()]).inc();
                let silent = matches!(kind, FaultKind::Unreachable | FaultKind::Unanswered);
                self.up.set(i64::from(!silent));
            }
        }
        result
    }

    /// What a call took, whatever became of it.
    pub(crate) fn took(&self, call: &str, since: Instant) {
        let took = since.elapsed().as_secs_f64();
        let duration = self.call_duration.with_label_values(&[call]);
        duration.observe(took);
    }

    /// What keeps the store from serving now, in the words for an operator.
    pub fn faults(&self) -> Vec<String> {
        self.faults.now()
    }
}

/// What a command does, in a word: its function, else itself. There are few of either.
pub(crate) fn name_of(cmd: &Cmd) -> &str {
    let mut words = cmd.args_iter().filter_map(|arg| match arg {
        Arg::Simple(word) => str::from_utf8(word).ok(),
        _ => None,
    });
    match words.next() {
        Some("FCALL" | "FCALL_RO") => words.next().unwrap_or("FCALL"),
        Some(command) => command,
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_its_function() {
        let mut call = redis::cmd("FCALL");
        call.arg("c3_send").arg(1).arg("a key of a user");
        assert_eq!(name_of(&call), "c3_send");
        assert_eq!(name_of(&redis::cmd("TIME")), "TIME");
        assert_eq!(name_of(&Cmd::new()), "none");
    }

    #[test]
    fn redis_is_up_while_it_answers_even_if_it_refuses() {
        let stats = LinkStats::default();
        let refusal = || LinkError::Server {
            code: "OOM".into(),
            message: String::new(),
        };
        let away = || LinkError::Unavailable("away".to_owned());
        for (result, up) in [(Ok(()), 1), (Err(away()), 0), (Err(refusal()), 1)] {
            drop(stats.count(result));
            assert_eq!(stats.up.get(), up);
        }
    }
}
