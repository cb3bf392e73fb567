//! Asking all gateways who is on a channel: the question goes to each as a control message, the answers come to a
//! list that lives for some seconds.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Value, cmd};
use tokio::time::{Instant, sleep};

use super::{keys::Keys, lease, shared::Shared, words};
use crate::{
    backend::{BackendError, Control, Roll, RollCall, Rolls},
    ids::GatewayId,
};

/// How long answers wait for whoever asked.
const ANSWERS_LIFE_S: u32 = 10;
/// Between two looks for answers: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Asks every gateway whose lease holds, and waits for the answers of all, or so long.
    pub(super) async fn roll_call(
        &self,
        call: &RollCall,
        within: Duration,
    ) -> Result<Rolls, BackendError> {
        let deadline = Instant::now() + within;
        let (live, _) = lease::read_leases(self).await?;
        let mut gateways: Vec<_> = live
            .iter()
            .filter_map(|(name, _)| GatewayId::new(name).ok())
            .collect();
        gateways.sort_unstable();
        gateways.dedup();
        let answer_to = format!("{:032x}", rand::random::<u128>());
        let key = self.keys.answers(&answer_to);
        let question = Control::RollCall {
            answer_to: answer_to.into(),
            call: call.clone(),
        };
        let asked = gateways
            .iter()
            .map(|gateway| words::leave(self, gateway, &question));
        try_join_all(asked).await?;
        let asked = gateways.len();
        let mut pause = FIRST_PAUSE;
        loop {
            let mut look = cmd("LRANGE");
            look.arg(&key).arg(0).arg(-1);
            let answers: Vec<String> = self.link.call(Keys::HOME, &look).await?;
            if answers.len() >= asked || Instant::now() + pause >= deadline {
                let answers = answers.iter().map(|text| read(text));
                return Ok(Rolls {
                    asked,
                    answers: answers.collect::<Result<_, _>>()?,
                });
            }
            sleep(pause).await;
            pause = LAST_PAUSE.min(pause * 2);
        }
    }

    /// Answers such a question.
    pub(super) async fn answer(&self, to: &str, roll: &Roll) -> Result<(), BackendError> {
        let key = self.keys.answers(to);
        let text = serde_json::to_string(roll)
            .map_err(|error| BackendError::Unexpected(error.to_string()))?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("RPUSH").arg(&key).arg(text);
        pipeline.cmd("EXPIRE").arg(&key).arg(ANSWERS_LIFE_S);
        self.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
        Ok(())
    }
}

fn read(text: &str) -> Result<Roll, BackendError> {
    serde_json::from_str(text).map_err(|error| {
        // Never the content: it names users.
        BackendError::Unexpected(format!("a gateway's answer cannot be read: {error}"))
    })
}
