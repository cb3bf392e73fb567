//! The Redis plumbing against real servers: standalone, replicated, Sentinel and Cluster.

#![expect(clippy::unwrap_used, reason = "a test may panic, helpers included")]

mod authority;
mod bus;
mod cluster;
mod commit;
mod functions;
mod refusals;
mod sentinel;
mod servers;
mod standalone;
mod tls;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carillon_common::backend::redis::bus::{Bus, BusMessage, BusSettings};
use carillon_common::backend::redis::link::{Link, LinkSettings};
use carillon_common::backend::url::RedisUrl;
use tokio::time::{Instant, sleep};

/// Longer than anything takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Short times, so that the tests do not wait for what production may.
fn quick() -> LinkSettings {
    LinkSettings {
        partitions: 8,
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        refresh_interval: Duration::from_millis(500),
        backoff_max: Duration::from_millis(500),
        ..LinkSettings::default()
    }
}

async fn link(url: &str) -> Link {
    Link::connect(RedisUrl::parse(url).unwrap(), quick())
        .await
        .unwrap()
}

/// Asks again until `condition` holds.
#[track_caller]
fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition().await {
            assert!(
                start.elapsed() < DEADLINE,
                "{caller}: {what} did not happen"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A key in a partition.
fn key(link: &Link, partition: u16, name: &str) -> String {
    format!("{{{}}}:{name}", link.tags()[usize::from(partition)].0)
}

/// What a bus has told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<BusMessage>>>);

impl Heard {
    fn start(&self, link: &Link) -> Bus {
        let settings = BusSettings {
            prefix: "t:".into(),
            ping_interval: Duration::from_millis(300),
            probe_interval: Duration::from_millis(500),
            probe_deadline: Duration::from_secs(1),
            ..BusSettings::default()
        };
        let heard = self.0.clone();
        let on_event = Arc::new(move |event| heard.lock().unwrap().push(event));
        Bus::start(link.clone(), settings, on_event)
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn payloads(&self, channel: &str) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let of = |event: &BusMessage| match event {
            BusMessage::Message {
                channel: at,
                payload,
            } if at == channel => Some(String::from_utf8_lossy(payload).into_owned()),
            _ => None,
        };
        heard.iter().filter_map(of).collect()
    }

    fn dirty(&self, partition: u16) -> bool {
        let heard = self.0.lock().unwrap();
        heard.iter().any(|event| match event {
            BusMessage::Dirty { partitions, .. } => partitions.contains(&partition),
            BusMessage::Message { .. } => false,
        })
    }

    /// Publishes until one message has come back.
    async fn hears(&self, link: &Link, partition: u16, channel: &str) {
        let mut number = 0;
        eventually(&format!("hearing {channel}"), || {
            number += 1;
            let payload = format!("probe {number}");
            async move {
                let mut publish = redis::cmd("SPUBLISH");
                publish.arg(channel).arg(payload);
                drop(link.call::<u64>(partition, &publish).await);
                sleep(Duration::from_millis(30)).await;
                !self.payloads(channel).is_empty()
            }
        })
        .await;
    }
}
