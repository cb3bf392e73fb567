//! Finished spans on their way to the collector: bounded, gathered, and sent by one task.
//!
//! Not the SDK's own processor: that has a thread of its own, in which no client of tokio's works, and
//! does not tell what it dropped.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use prometheus::IntCounter;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{settings::TracingSettings, telemetry::TracingMetrics};

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Sender<SpanData>,
    dropped: IntCounter,
}

/// What sends them.
pub(super) struct Sending {
    waiting: Receiver<SpanData>,
    exporter: SpanExporter,
    /// Spans of one request, and for how long they are gathered.
    batch: usize,
    delay: Duration,
    timeout: Duration,
    sent: IntCounter,
    failed: IntCounter,
    /// It failed the last time, and the log says so.
    failing: bool,
}

/// A queue and what empties it.
pub(super) fn queue(
    settings: &TracingSettings,
    exporter: SpanExporter,
    metrics: &TracingMetrics,
) -> (Queue, Sending) {
    let (sender, waiting) = channel(settings.queue);
    // There before the first: whoever watches their growth needs a zero to grow from.
    let [sent, failed, dropped] =
        ["sent", "failed", "dropped"].map(|result| metrics.spans.with_label_values(&[result]));
    let queue = Queue {
        waiting: sender,
        dropped,
    };
    let sending = Sending {
        waiting,
        exporter,
        batch: settings.batch,
        delay: settings.delay,
        timeout: settings.timeout,
        sent,
        failed,
        failing: false,
    };
    (queue, sending)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Sending {
    /// Sends until `closing`, and then what is left.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        while let Some(batch) = self.gather(&closing).await {
            self.send(batch).await;
        }
    }

    /// The next spans to be sent together; `None` when there will be no more.
    async fn gather(&mut self, closing: &CancellationToken) -> Option<Vec<SpanData>> {
        let first = tokio::select! {
            first = self.waiting.recv() => first?,
            () = closing.cancelled() => {
                self.waiting.close();
                self.waiting.recv().await?
            }
        };
        let mut batch = vec![first];
        let enough = async {
            while batch.len() < self.batch {
                let room = self.batch - batch.len();
                if self.waiting.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            // What waits already is taken before it counts that time is up.
            biased;
            () = enough => {}
            () = sleep(self.delay) => {}
            () = closing.cancelled() => {}
        }
        Some(batch)
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let error = match timeout(self.timeout, self.exporter.export(batch)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {:?}", self.timeout)),
        };
        let Some(error) = error else {
            self.sent.inc_by(count);
            if std::mem::take(&mut self.failing) {
                tracing::info!("spans are taken again");
            }
            return;
        };
        self.failed.inc_by(count);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                error,
                "spans cannot be sent (see tracing.endpoint) and are lost; nothing else depends on it"
            );
        }
    }
}
