//! Sharded Pub/Sub that comes back by itself and says when messages may have been missed.
//!
//! One connection per primary subscribes the channels of the partitions it owns. What the client
//! library leaves to its users is done here: a ping with a deadline keeps asking a silent
//! connection, a message to ourselves proves that publishing reaches us, channels are subscribed
//! one per command, a channel that the server takes away is subscribed where its slot went, and
//! after each of these `Dirty` names the partitions to read again.

mod listener;
mod pushes;
mod wanted;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Link, LinkError, LinkStats};
use crate::backend::url::Address;
use listener::Listener;
use wanted::Wanted;

/// What the bus tells. It is called from connection tasks and must never block.
pub type OnEvent = Arc<dyn Fn(BusMessage) + Send + Sync>;

/// One thing that happened on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusMessage {
    /// Somebody published.
    Message {
        /// The channel it was published to.
        channel: Bytes,
        /// What was published.
        payload: Bytes,
    },
    /// The channels of these partitions are subscribed again; messages may have been missed.
    Dirty {
        /// Who serves them now.
        primary: Address,
        /// The partitions, in ascending order.
        partitions: Vec<u16>,
        /// What happened.
        reason: DirtyReason,
    },
}

/// Why messages may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirtyReason {
    /// The connection was closed.
    Disconnected,
    /// A ping was not answered in time.
    PingFailed,
    /// A message to ourselves did not come back.
    ProbeLost,
    /// The server ended subscriptions unasked.
    Unsubscribed,
    /// The partitions have another primary, or were subscribed late.
    Moved,
}

/// How a bus behaves.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// Starts the names of the probe channels.
    pub prefix: String,
    /// How often each connection is pinged; the link's response timeout is the deadline.
    pub ping_interval: Duration,
    /// How often each connection is probed.
    pub probe_interval: Duration,
    /// The most time a probe may take.
    pub probe_deadline: Duration,
    /// Channels that may be wanted at a time; one more is refused as unavailable.
    pub max_channels: usize,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            ping_interval: Duration::from_secs(2),
            probe_interval: Duration::from_secs(5),
            probe_deadline: Duration::from_secs(2),
            max_channels: 100_000,
        }
    }
}

/// Subscriptions of one process. Dropping it ends them.
pub struct Bus {
    state: Arc<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct State {
    link: Link,
    settings: BusSettings,
    on_event: OnEvent,
    wanted: Mutex<Wanted>,
    /// Changes when there may be channels to subscribe or to leave.
    work: watch::Sender<()>,
    /// Numbers the connections.
    subscribers: AtomicU64,
    live: Mutex<HashSet<Address>>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("link", &self.state.link)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Starts to listen on every primary of `link`, now and as they change.
    pub fn start(link: Link, settings: BusSettings, on_event: OnEvent) -> Self {
        let state = Arc::new(State {
            link,
            settings,
            on_event,
            wanted: Mutex::default(),
            work: watch::Sender::new(()),
            subscribers: AtomicU64::new(1),
            live: Mutex::default(),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(follow_topology(state.clone(), stop.clone(), tasks.clone()));
        Self { state, stop, tasks }
    }

    /// Subscribes `channel`, whose hash tag is that of `partition`, and returns once Redis has
    /// confirmed it. A channel that is subscribed already costs nothing.
    ///
    /// # Errors
    /// `Unavailable` if that takes too long: the channel stays wanted, and `Dirty` tells when it
    /// is subscribed after all. `Server` if Redis refuses it for good.
    pub async fn subscribe(
        &self,
        partition: u16,
        channel: impl Into<Bytes>,
    ) -> Result<(), LinkError> {
        let (waiter, answer) = oneshot::channel();
        {
            let mut wanted = self.state.wanted.lock();
            if wanted.len() >= self.state.settings.max_channels {
                return Err(LinkError::Unavailable("too many channels".into()));
            }
            wanted.add((partition, channel.into()), waiter);
        }
        self.state.announce_work();
        let settings = self.state.link.settings();
        let patience = settings.connect_timeout + settings.response_timeout;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LinkError::Unavailable("unsubscribed meanwhile".into())),
            Err(_) => Err(LinkError::Unavailable(
                "the subscription is not confirmed yet".into(),
            )),
        }
    }

    /// Ends the subscription of `channel` soon; messages may still come for a moment.
    pub fn unsubscribe(&self, partition: u16, channel: impl Into<Bytes>) {
        self.state
            .wanted
            .lock()
            .remove(&(partition, channel.into()));
        self.state.announce_work();
    }

    /// Whether every primary that owns a partition has a live connection.
    pub fn healthy(&self) -> bool {
        let topology = self.state.link.topology();
        let topology = topology.borrow();
        let live = self.state.live.lock();
        topology.is_complete()
            && topology
                .primaries()
                .iter()
                .all(|primary| live.contains(primary) || topology.owned_by(primary).is_empty())
    }

    /// What this bus and its link have done so far.
    pub fn stats(&self) -> &LinkStats {
        self.state.link.stats()
    }

    /// Ends every subscription and waits until its tasks have ended.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl State {
    fn owned_by(&self, primary: &Address) -> BTreeSet<u16> {
        self.link
            .topology()
            .borrow()
            .owned_by(primary)
            .into_iter()
            .collect()
    }

    fn announce_work(&self) {
        self.work.send_replace(());
    }

    fn set_live(&self, primary: &Address, live: bool) {
        let mut all = self.live.lock();
        if !live {
            all.remove(primary);
        } else if !all.contains(primary) {
            all.insert(primary.clone());
        }
    }
}

/// Keeps one listener per primary.
async fn follow_topology(state: Arc<State>, stop: CancellationToken, tasks: TaskTracker) {
    let mut topology = state.link.topology();
    let mut listeners: HashMap<Address, CancellationToken> = HashMap::new();
    loop {
        let primaries = topology.borrow_and_update().primaries().to_vec();
        listeners.retain(|address, stop| {
            let stays = primaries.contains(address);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for address in primaries {
            listeners.entry(address.clone()).or_insert_with(|| {
                let stop = stop.child_token();
                let listener = Listener {
                    address,
                    state: state.clone(),
                    stop: stop.clone(),
                };
                tasks.spawn(listener.run());
                stop
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = topology.changed() => if changed.is_err() { return },
        }
    }
}
