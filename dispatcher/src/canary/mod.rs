//! The canary: a client of the dispatchers' own, which sends itself a notification once round the whole
//! deployment, again and again. What it finds is what users find, whatever the other metrics say.
//!
//! One dispatcher at a time does it. It is in no count of users and of what they are given: its user's
//! name tells it apart ([`UserId::CANARY`]).

mod round;

use std::{fmt, sync::Arc};

use carillon_common::{
    backend::Backend,
    settings::CanarySettings,
    telemetry::CanaryMetrics,
    tls::{Tls, client_config},
};
use rustls::ClientConfig;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use round::{Round, Stage};

/// What one dispatcher of all has to do.
const DUTY: &str = "canary";

/// A gauge without labels would show a 0 where it is not this dispatcher's turn.
const NO_LABELS: [&str; 0] = [];

/// Sends to itself.
pub(crate) struct Canary {
    settings: CanarySettings,
    backend: Arc<dyn Backend>,
    metrics: CanaryMetrics,
    /// The endpoint's path, where the URL has none.
    path: String,
    /// Who this dispatcher is to the others.
    name: String,
    /// Whether it was this one's turn the last time.
    mine: bool,
    /// What was wrong the last time, as it was reported.
    wrong: Option<String>,
}

impl Canary {
    /// Of this dispatcher; `path` is that of the gateways' endpoint.
    pub(crate) fn new(
        settings: CanarySettings,
        backend: Arc<dyn Backend>,
        metrics: CanaryMetrics,
        path: String,
    ) -> Self {
        Self {
            settings,
            backend,
            metrics,
            path,
            name: Uuid::new_v4().simple().to_string(),
            mine: false,
            wrong: None,
        }
    }

    /// Round after round; ends at once where none is wanted.
    pub(crate) async fn run(mut self) {
        let Some(url) = self.settings.url.clone() else {
            return;
        };
        let mut tick = interval(self.settings.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if !self.takes_its_turn().await {
                continue;
            }
            let result = self.round(&url).await;
            let success = self.metrics.success.with_label_values(&NO_LABELS);
            success.set(i64::from(result.is_ok()));
            if let Ok(took) = &result {
                self.metrics.roundtrip.observe(took.as_secs_f64());
            }
            self.report(result.err());
        }
    }

    /// Whether the next round is this dispatcher's. While nobody can say, whose turn it was goes on: what it
    /// finds is that nothing works.
    async fn takes_its_turn(&mut self) -> bool {
        let for_ = (self.settings.interval + self.settings.timeout) * 2;
        match self.backend.hold(DUTY, &self.name, for_).await {
            Ok(mine) => self.mine = mine,
            Err(error) => tracing::debug!(%error, "whose turn the canary is cannot be told"),
        }
        if !self.mine {
            // Another one tells how it goes.
            self.metrics.success.reset();
            self.wrong = None;
        }
        self.mine
    }

    async fn round(&self, url: &str) -> Result<std::time::Duration, Failure> {
        let mut stage = Stage::Connecting;
        let round = Round {
            url,
            path: &self.path,
            token_file: self.settings.token_file.as_deref(),
            tls: self.tls()?,
            backend: &*self.backend,
        };
        let within = self.settings.timeout;
        match timeout(within, round.go(&mut stage)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(format!("{stage} within {within:?}"))),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, Failure> {
        let tls = Tls {
            ca_file: self.settings.ca_file.clone(),
            identity: None,
        };
        let config = client_config(&tls);
        config.map(Arc::new).map_err(|error| {
            Failure::new(format!("canary.ca_file cannot be used: {}", error.problem))
        })
    }

    /// Logs what is wrong when that changes.
    fn report(&mut self, failure: Option<Failure>) {
        let wrong = failure.map(|failure| failure.to_string());
        if wrong == self.wrong {
            return;
        }
        match &wrong {
            Some(reason) => tracing::warn!(reason, "the canary's notification does not come round"),
            None => tracing::info!("the canary's notification comes round again"),
        }
        self.wrong = wrong;
    }
}

/// Why a round failed, for an operator.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
