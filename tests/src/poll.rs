//! Waiting for a condition, with a deadline: no test sleeps for a guessed time.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long to rest between two probes.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `probe` until it succeeds and returns its value.
///
/// # Errors
/// When `within` has passed: says what was waited for and why the last probe failed.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut last = anyhow!("no probe finished");
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_elapsed) => {}
        }
        let next = Instant::now() + INTERVAL;
        if next >= deadline {
            return Err(last).with_context(|| format!("not within {within:?}: {what}"));
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_first_success() {
        let mut probes = 0;
        let value = eventually("the third probe", Duration::from_secs(1), async || {
            probes += 1;
            anyhow::ensure!(probes == 3, "probe {probes}");
            Ok(probes)
        })
        .await
        .unwrap();
        assert_eq!(value, 3);
    }

    #[tokio::test]
    async fn says_why_the_last_probe_failed() {
        let waited = eventually(
            "a miracle",
            Duration::from_millis(50),
            async || -> Result<()> { Err(anyhow!("none today")) },
        );
        let error = format!("{:#}", waited.await.unwrap_err());
        assert_eq!(error, "not within 50ms: a miracle: none today");
    }

    #[tokio::test]
    async fn a_probe_that_hangs_meets_the_deadline() {
        let hanging = async || std::future::pending::<Result<()>>().await;
        assert!(
            eventually("a hang", Duration::from_millis(50), hanging)
                .await
                .is_err()
        );
    }
}
