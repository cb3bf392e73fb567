//! Several notifications in one call.

use std::time::Duration;

use carillon_common::{http::Problem, retry};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Api, FIRST_PAUSE, LONGEST_PAUSE, Message};
use crate::Error;

/// How many notifications a call takes.
const AT_ONCE: usize = 100;

/// One notification of several. It needs a user.
#[derive(Debug, Clone, Serialize)]
pub struct Keyed<'a> {
    /// What it says, and to whom.
    #[serde(flatten)]
    pub message: Message<'a>,
    /// The caller's own name for it: under which it is repeated, and accepted once.
    pub idempotency_key: &'a str,
}

/// What became of one of several.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// `ok`, `failed`, or `unknown` where the store did not say to the last.
    pub status: String,
    /// The notification's identity, where it was accepted.
    #[serde(default)]
    pub id: Option<String>,
    /// Its position, where it was accepted and is stored.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Why it was not accepted.
    #[serde(default)]
    pub problem: Option<Problem>,
}

impl Outcome {
    /// Whether it was accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.status == "ok"
    }

    /// Whether the same may be accepted later, or has been.
    fn is_open(&self) -> bool {
        let problem = self.problem.as_ref();
        !self.is_accepted() && problem.is_some_and(|problem| problem.retryable)
    }
}

impl Api {
    /// Has notifications accepted, a hundred with each call; those that may be accepted later are sent again under their
    /// keys. Answers what became of each, in their order.
    ///
    /// # Errors
    /// When a call is refused as a whole, or nobody answers it.
    pub async fn accept_all(&self, notifications: &[Keyed<'_>]) -> Result<Vec<Outcome>, Error> {
        let mut outcomes = Vec::with_capacity(notifications.len());
        for some in notifications.chunks(AT_ONCE) {
            outcomes.extend(self.accept_some(some).await?);
        }
        Ok(outcomes)
    }

    async fn accept_some(&self, some: &[Keyed<'_>]) -> Result<Vec<Outcome>, Error> {
        let deadline = Instant::now() + self.retry_for;
        let mut pauses = retry::pauses(FIRST_PAUSE, LONGEST_PAUSE);
        let mut outcomes = self.batch(&some.iter().collect::<Vec<_>>()).await?;
        loop {
            let open: Vec<usize> = (0..outcomes.len())
                .filter(|at| outcomes[*at].is_open())
                .collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if open.is_empty() || left == Duration::ZERO {
                return Ok(outcomes);
            }
            sleep(pauses.next().unwrap_or(LONGEST_PAUSE).min(left)).await;
            let again: Vec<_> = open.iter().map(|at| &some[*at]).collect();
            // What was told of them before stands where nobody answers any more.
            let Ok(answered) = self.batch(&again).await else {
                return Ok(outcomes);
            };
            for (at, outcome) in open.into_iter().zip(answered) {
                outcomes[at] = outcome;
            }
        }
    }

    /// One call, and what became of each.
    async fn batch(&self, some: &[&Keyed<'_>]) -> Result<Vec<Outcome>, Error> {
        #[derive(Deserialize)]
        struct Answered {
            results: Vec<Outcome>,
        }
        let url = self.url(&["notifications", "batch"]);
        let body = json!({ "notifications": some });
        let call = || self.http.post(url.clone()).json(&body);
        let answer = self.until_done(call).await?;
        let answered: Answered = self.read(&answer)?;
        match answered.results.len() == some.len() {
            true => Ok(answered.results),
            false => Err(self.foreign(answer.status)),
        }
    }
}
