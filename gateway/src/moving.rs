//! Connections that are asked to move: all of them when the gateway leaves, some of them when other
//! gateways have room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carillon_common::protocol::CloseCode;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{gateway::Gateway, hub::Handle, session::Event};

/// How many connections are to move to other gateways, of which none has been asked yet.
#[derive(Debug, Default)]
pub(crate) struct ToMove {
    connections: AtomicU64,
    more: Notify,
}

impl ToMove {
    /// So many more; never waits.
    pub(crate) fn add(&self, connections: u64) {
        self.connections
            .update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                before.saturating_add(connections)
            });
        self.more.notify_one();
    }

    /// All of them, once there are any.
    pub(crate) async fn take(&self) -> u64 {
        loop {
            self.more.notified().await;
            let connections = self.connections.swap(0, Ordering::Relaxed);
            if connections > 0 {
                return connections;
            }
        }
    }
}

impl Gateway {
    /// Closes every connection, spread over the window, each at a time of its own.
    pub async fn drain(&self, reason: &'static str) {
        let (_, window) = self.ask_to_move(usize::MAX, reason);
        let deadline = Instant::now() + window + self.settings().drain.close_grace;
        while !self.hub().is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        // Who came in the last moment, or does not answer.
        self.hub()
            .each(|handle| handle.mailbox.post(Event::Close(CloseCode::GoingAway)));
    }

    /// Closes so many connections, as a drain does, and goes on. Returns when they are gone: until
    /// then they could be picked again, and fewer would move than were asked for.
    pub(crate) async fn rebalance(&self, connections: u64) {
        let most = usize::try_from(connections).unwrap_or(usize::MAX);
        let (asked, window) = self.ask_to_move(most, "rebalance");
        self.metrics().all.rebalanced.inc_by(asked as u64);
        tracing::info!(
            connections = asked,
            ?window,
            "asked to move, for gateways to be balanced"
        );
        sleep(window + self.settings().drain.close_grace).await;
    }

    /// Asks connections, `most` of them, to be gone at a time of their own each. Answers how many
    /// were asked, and over which time they go.
    fn ask_to_move(&self, most: usize, reason: &'static str) -> (usize, Duration) {
        let asked: Vec<Arc<Handle>> = picked(self.hub().all(), most);
        let window = self.settings().drain.spread(asked.len());
        let slot = window.div_f64(asked.len().max(1) as f64);
        for (at, handle) in asked.iter().enumerate() {
            let close_in = slot.mul_f64(at as f64 + rand::random_range(0.5..1.0));
            handle.mailbox.post(Event::Drain {
                close_in,
                window,
                reason,
            });
        }
        (asked.len(), window)
    }
}

/// As many as `most`, at random and in no order that the clients know.
fn picked<T>(mut all: Vec<T>, most: usize) -> Vec<T> {
    let most = most.min(all.len());
    for at in 0..most {
        let one = rand::random_range(at..all.len());
        all.swap(at, one);
    }
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, future::poll_fn};

    use carillon_common::{
        auth::Secret,
        backend::{self, Backend, Control, Device},
        http::Health,
        settings::Settings,
        telemetry::Metrics,
    };
    use tokio::time::timeout;

    use super::*;
    use crate::mailbox::Mail;

    #[test]
    fn who_is_picked_is_there_and_is_picked_once() {
        for (there, most, expected) in [(0, 3, 0), (5, 0, 0), (5, 2, 2), (5, 5, 5), (5, 9, 5)] {
            let some: BTreeSet<usize> = picked((0..there).collect(), most).into_iter().collect();
            assert_eq!(some.len(), expected, "{most} of {there}");
            assert!(some.iter().all(|one| *one < there));
        }
        let first: BTreeSet<usize> = (0..200).map(|_| picked((0..4).collect(), 1)[0]).collect();
        assert_eq!(first.len(), 4, "everyone may be");
    }

    #[tokio::test]
    async fn words_add_up_until_somebody_listens() {
        let to_move = ToMove::default();
        to_move.add(3);
        to_move.add(4);
        assert_eq!(to_move.take().await, 7);
        let nothing = timeout(Duration::from_millis(20), to_move.take()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        to_move.add(u64::MAX);
        to_move.add(1);
        assert_eq!(to_move.take().await, u64::MAX);
    }

    /// A gateway in memory, and what its store is told.
    async fn gateway() -> (Arc<Gateway>, Arc<dyn Backend>) {
        let mut settings = Settings::default();
        settings.backend.url = Secret::new("memory://".to_owned());
        settings.drain.window = Duration::from_millis(100);
        settings.drain.close_grace = Duration::from_millis(100);
        let backend = backend::connect(&settings).await.unwrap();
        let metrics = Metrics::new("gateway").gateway;
        let health = Health::default();
        let gateway = Gateway::start(
            Arc::new(settings),
            backend.clone(),
            metrics,
            health,
            1 << 20,
        );
        (gateway.await.unwrap(), backend)
    }

    /// A connection that goes when it is asked to; answers with why.
    async fn connection(gateway: Arc<Gateway>, name: usize) -> &'static str {
        let (user, session) = (format!("user{name}"), format!("session{name}"));
        let handle = Handle::new(
            user.parse().unwrap(),
            Device::Anonymous,
            session.parse().unwrap(),
        );
        assert!(gateway.hub().insert(&handle));
        loop {
            let taken = poll_fn(|context| handle.mailbox.poll_take(context)).await;
            for mail in taken.mails {
                if let Mail::Event(event) = mail
                    && let Event::Drain {
                        close_in, reason, ..
                    } = *event
                {
                    sleep(close_in).await;
                    gateway.hub().remove(&handle);
                    return reason;
                }
            }
        }
    }

    async fn left(gateway: &Gateway, expected: usize) {
        let arrived = timeout(Duration::from_secs(10), async {
            while gateway.connections() != expected {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let there = gateway.connections();
        assert!(arrived.await.is_ok(), "{there}, expected {expected}");
    }

    #[tokio::test]
    async fn as_many_move_as_were_asked_for_and_the_gateway_stays() {
        let (gateway, backend) = gateway().await;
        let all: Vec<_> = (0..10)
            .map(|name| tokio::spawn(connection(gateway.clone(), name)))
            .collect();
        left(&gateway, 10).await;
        let rebalance = async |connections| {
            let word = Control::Rebalance { connections };
            backend.control(gateway.name(), &word).await.unwrap();
        };
        rebalance(4).await;
        // While those go.
        rebalance(1).await;
        rebalance(2).await;
        left(&gateway, 3).await;
        assert!(gateway.health().is_ready());
        rebalance(100).await;
        left(&gateway, 0).await;
        assert_eq!(gateway.metrics().all.rebalanced.get(), 10);
        for one in all {
            assert_eq!(one.await.unwrap(), "rebalance");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_drains_asks_nobody_twice() {
        let (gateway, backend) = gateway().await;
        let one = tokio::spawn(connection(gateway.clone(), 1));
        left(&gateway, 1).await;
        gateway.health().set_draining();
        let word = Control::Rebalance { connections: 1 };
        backend.control(gateway.name(), &word).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        assert_eq!(gateway.metrics().all.rebalanced.get(), 0);
        gateway.drain("draining").await;
        assert_eq!(one.await.unwrap(), "draining");
    }
}
