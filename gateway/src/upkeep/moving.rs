//! Connections that are asked to move: all of them when the gateway leaves, some of them when other
//! gateways have room.

use std::{sync::Arc, time::Duration};

use carillon_common::protocol::CloseCode;
use rand::seq::SliceRandom;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{parts::Gateway, routing::Handle, session::Event};

/// Nobody is closed sooner than this after being told, where the window has room for it.
const NOTICE: Duration = Duration::from_secs(2);

impl Gateway {
    /// Closes every connection, spread over the window, each at a time of its own.
    pub(crate) async fn drain(&self, code: CloseCode) {
        let all = self.hub.all();
        let within = self.ask_to_move(all, code);
        self.metrics.drains_within(within);
        let deadline = Instant::now() + within;
        while !self.hub.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        // Who came in the last moment, or does not answer.
        self.close_all();
    }

    /// Closes every connection now, after what waits for it.
    pub(crate) fn close_all(&self) {
        self.hub
            .each(|handle| handle.mailbox.post(Event::Close(CloseCode::GoingAway)));
    }

    /// Closes, as a drain does, all connections here of as many users as are more than `most`, and
    /// goes on. Returns when they are gone: until then they would be counted and could be picked
    /// again.
    pub(crate) async fn rebalance(&self, most: u64) {
        let there = self.hub.users();
        let above = there.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let mut asked = Vec::new();
        if above > 0 {
            asked = longest_here(self.hub.by_user(), above).concat();
        }
        self.metrics.all.rebalanced.inc_by(asked.len() as u64);
        tracing::info!(
            users = there,
            most,
            above,
            connections = asked.len(),
            "asked those above to move, for gateways to be balanced"
        );
        if !asked.is_empty() {
            sleep(self.ask_to_move(asked, CloseCode::Rebalance)).await;
        }
    }

    /// Asks these connections to be gone at a time of their own each, in no order that the clients
    /// know. Answers how long that may take.
    fn ask_to_move(&self, mut asked: Vec<Arc<Handle>>, code: CloseCode) -> Duration {
        asked.shuffle(&mut rand::rng());
        let drain = &self.settings.drain;
        // Few are gone soon, but each has time for its next connection.
        let notice = NOTICE.min(drain.window / 4);
        let spread = drain.spread(asked.len()).min(drain.window - notice);
        let slot = spread.div_f64(asked.len().max(1) as f64);
        for (at, handle) in asked.iter().enumerate() {
            let close_in = notice + slot.mul_f64(at as f64 + rand::random_range(0.5..1.0));
            handle.mailbox.post(Event::Drain { close_in, code });
        }
        notice + spread + drain.close_grace
    }
}

/// One round after the other; what was said meanwhile is looked at after it, by what is here then.
/// Whoever is on a gateway that drains moves anyway.
pub(super) async fn rebalance_when_asked(
    gateway: Arc<Gateway>,
    mut most_users: watch::Receiver<u64>,
) {
    while most_users.changed().await.is_ok() {
        let most = *most_users.borrow_and_update();
        if !gateway.health.is_draining() {
            gateway.rebalance(most).await;
        }
    }
}

/// As many users as `most`, with all their connections: those whose last one came the longest ago.
/// Whoever has just been made to move is not asked again, and an edge that was reloaded for the
/// gateways that were added counts every connection that comes now.
fn longest_here(mut users: Vec<Vec<Arc<Handle>>>, most: usize) -> Vec<Vec<Arc<Handle>>> {
    // A fence is the time of the registration; who has none yet is just coming.
    let came = |handle: &Arc<Handle>| handle.fence().unwrap_or(u64::MAX);
    users.sort_by_cached_key(|handles| handles.iter().map(came).max());
    users.truncate(most);
    users
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        net::{IpAddr, Ipv4Addr},
    };

    use carillon_common::{
        backend::{self, Backend, Control, Device},
        ids::Cursor,
        process::Process,
        protocol::Dialect,
        settings::Settings,
    };
    use tokio::time::timeout;

    use super::*;
    use crate::routing::{Mail, Origin};

    const HERE: Origin = Origin {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        dialect: Dialect::V1,
    };

    /// A user's connections, registered with these fences; 0 for one that is not yet.
    fn user(name: &str, fences: &[u64]) -> Vec<Arc<Handle>> {
        let connection = |fence: &u64| {
            let session = format!("session-{fence}").parse().unwrap();
            let handle = Handle::new(name.parse().unwrap(), Device::Anonymous, session, HERE);
            handle.publish_position(*fence, Cursor::ZERO);
            handle
        };
        fences.iter().map(connection).collect()
    }

    #[test]
    fn those_who_came_last_stay() {
        let users = [
            user("just-came", &[900]),
            user("long-here", &[100, 200]),
            user("is-coming", &[0]),
            user("came-again", &[50, 800]),
            user("came-once", &[300]),
        ];
        let chosen = |most| {
            let users = longest_here(users.to_vec(), most);
            let name = |handles: Vec<Arc<Handle>>| handles[0].user.to_string();
            users.into_iter().map(name).collect::<Vec<_>>()
        };
        let expected = [
            "long-here",
            "came-once",
            "came-again",
            "just-came",
            "is-coming",
        ];
        for most in 0..=expected.len() {
            assert_eq!(chosen(most), expected[..most]);
        }
        assert_eq!(chosen(9), expected);
        assert_eq!(longest_here(users.to_vec(), 1)[0].len(), 2, "all of a user");
    }

    /// A gateway in memory, and what its store is told.
    async fn gateway() -> (Arc<Gateway>, Arc<dyn Backend>) {
        let mut settings = Settings::default();
        settings.drain.window = Duration::from_millis(100);
        settings.drain.close_grace = Duration::from_millis(100);
        let backend = backend::connect(&settings).await.unwrap();
        let process = Process::detached(settings).unwrap();
        let gateway = Gateway::start(&process, backend.clone()).await.unwrap();
        (gateway, backend)
    }

    /// A user's connection that goes when it is asked to; answers with why.
    async fn connection(gateway: Arc<Gateway>, user: usize, session: &str) -> CloseCode {
        let user = format!("user{user}");
        let handle = Handle::new(
            user.parse().unwrap(),
            Device::Anonymous,
            session.parse().unwrap(),
            HERE,
        );
        assert!(gateway.hub.insert(&handle));
        loop {
            let taken = poll_fn(|context| handle.mailbox.poll_take(context)).await;
            for mail in taken.mails {
                if let Mail::Event(event) = mail
                    && let Event::Drain { close_in, code } = *event
                {
                    sleep(close_in).await;
                    gateway.hub.remove(&handle);
                    return code;
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
        let arrived = arrived.await.is_ok();
        let there = gateway.connections();
        assert!(arrived, "{there}, expected {expected}");
    }

    /// The gateway is to hold at most so many users.
    async fn hold(gateway: &Gateway, backend: &Arc<dyn Backend>, users: u64) {
        let limit = Control::Rebalance { users };
        backend.control(gateway.name(), &limit).await.unwrap();
    }

    #[tokio::test]
    async fn users_above_the_newest_limit_move_and_the_gateway_stays() {
        let (gateway, backend) = gateway().await;
        // Each user's two connections go together.
        let both = |user| ["phone", "laptop"].map(|name| connection(gateway.clone(), user, name));
        let all: Vec<_> = (0..10).flat_map(both).map(tokio::spawn).collect();
        left(&gateway, 20).await;
        assert_eq!(gateway.hub.users(), 10);
        hold(&gateway, &backend, 100).await;
        hold(&gateway, &backend, 7).await;
        left(&gateway, 14).await;
        // While the last ones are waited for: the same limit again, and two of which the newer counts.
        hold(&gateway, &backend, 7).await;
        hold(&gateway, &backend, 0).await;
        hold(&gateway, &backend, 4).await;
        left(&gateway, 8).await;
        assert_eq!(gateway.hub.users(), 4);
        assert_eq!(gateway.metrics.all.rebalanced.get(), 12);
        assert!(gateway.health.is_ready());
        hold(&gateway, &backend, 0).await;
        left(&gateway, 0).await;
        for one in all {
            assert_eq!(one.await.unwrap(), CloseCode::Rebalance);
        }
    }

    #[tokio::test]
    async fn a_limit_that_is_repeated_moves_only_who_came_since() {
        let (gateway, backend) = gateway().await;
        for user in 0..6 {
            tokio::spawn(connection(gateway.clone(), user, "phone"));
        }
        left(&gateway, 6).await;
        hold(&gateway, &backend, 4).await;
        left(&gateway, 4).await;
        hold(&gateway, &backend, 4).await;
        // Longer than both rounds would take.
        sleep(Duration::from_millis(500)).await;
        assert_eq!(gateway.metrics.all.rebalanced.get(), 2);
        for user in 6..9 {
            tokio::spawn(connection(gateway.clone(), user, "phone"));
        }
        left(&gateway, 7).await;
        hold(&gateway, &backend, 4).await;
        left(&gateway, 4).await;
        assert_eq!(gateway.metrics.all.rebalanced.get(), 5);
    }

    #[tokio::test]
    async fn a_gateway_that_drains_says_so_and_asks_nobody_twice() {
        let (gateway, backend) = gateway().await;
        let shown = async || backend.gateways().await.unwrap()[0].draining;
        assert!(!shown().await);
        let one = tokio::spawn(connection(gateway.clone(), 1, "phone"));
        left(&gateway, 1).await;
        gateway.health.set_draining();
        hold(&gateway, &backend, 0).await;
        let says = timeout(Duration::from_secs(10), async {
            while !shown().await {
                sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(says.await.is_ok());
        assert_eq!(gateway.metrics.all.rebalanced.get(), 0);
        gateway.drain(CloseCode::Draining).await;
        assert_eq!(one.await.unwrap(), CloseCode::Draining);
    }
}
