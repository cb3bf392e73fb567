//! The senders: an open loop. Each send has its time, whether or not the one before is answered.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use carillon_client::{Api, Message};
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    latency::Latencies,
    ledger::Audience,
    reader::{Shared, Stamp},
};
use crate::failure::Failure;

/// One caller's share of the schedule. Sends to one audience are in one share, one after the other:
/// only then do they have an order.
pub(super) struct Share {
    /// Places in the schedule, with whom they are for.
    pub(super) sends: Vec<(u64, Audience)>,
    /// From one place to the next.
    pub(super) interval: Duration,
    pub(super) content: String,
}

/// What became of a share.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) rest: Latencies,
    /// Refused, by code.
    pub(super) refused: BTreeMap<String, usize>,
    /// No answer, for as long as it was tried: accepted or not, nobody knows.
    pub(super) unanswered: usize,
}

impl Outcome {
    pub(super) fn merge(&mut self, other: Self) {
        self.rest.merge(other.rest);
        self.unanswered += other.unanswered;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// Sends a share.
///
/// # Errors
/// When no send can succeed: the key is refused.
pub(super) async fn send(
    shared: Arc<Shared>,
    api: Api,
    share: Share,
    start: Instant,
    stop: CancellationToken,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    for (place, audience) in share.sends {
        let due = start + share.interval.mul_f64(place as f64);
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        let key = format!("bench-{}-{place}", shared.run);
        let stamp = Stamp {
            bench: shared.run.clone(),
            due_us: u64::try_from((due - shared.started).as_micros()).unwrap_or(u64::MAX),
        };
        let message = message(&audience, &share.content, &stamp);
        match api.accept(&message, &key).await.map_err(Failure::from) {
            Ok(accepted) => {
                outcome.rest.note(due.elapsed());
                shared.ledger.lock().accepted(audience, accepted.id);
            }
            Err(Failure::Refused(problem)) if matches!(problem.status, 401 | 403 | 404) => {
                return Err(Failure::Refused(problem));
            }
            Err(Failure::Refused(problem)) if problem.status < 500 => {
                *outcome
                    .refused
                    .entry(problem.code.into_owned())
                    .or_default() += 1;
            }
            Err(_) => outcome.unanswered += 1,
        }
    }
    Ok(outcome)
}

fn message<'a>(audience: &'a Audience, content: &'a str, stamp: &Stamp) -> Message<'a> {
    let (target_user, channel) = match audience {
        Audience::User(user) => (Some(user.as_str()), None),
        Audience::Channel(channel) => (None, Some(channel.as_str())),
        Audience::Everyone => (None, None),
    };
    Message {
        target_user,
        channel,
        notification_type: "bench",
        content,
        data: Some(json!(stamp)),
        ttl: None,
        collapse_key: None,
        deliver_at: None,
    }
}
