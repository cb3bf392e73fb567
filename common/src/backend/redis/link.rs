//! Calls to Redis that find the right primary and say what became of them.
//!
//! One topology of our own serves every kind of deployment: a call names a partition, its owner
//! is looked up, and the command goes over one shared connection to that node. MOVED and ASK are
//! followed; everything else is reported as a typed error, and a background task looks the
//! topology up again. Nothing is queued while a node is away: calls fail at once, retryably.

mod commit;
mod dial;
mod error;
mod faults;
mod greeting;
mod node;
mod probe;
mod reply;
mod resolve;
mod settings;
mod stats;
mod topology;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use commit::Durability;
pub use error::LinkError;
pub(crate) use settings::Failures;
pub use settings::LinkSettings;
pub use stats::LinkStats;
pub use topology::{Topology, partition_tags};

pub(crate) use dial::Dialer;
pub(crate) use error::{Redirect, fault_of, is_amid_a_function};
pub(crate) use node::{Lane, Node};
pub(crate) use reply::read;
pub(crate) use stats::name_of;

use crate::backend::url::{Address, RedisUrl};

/// How often one call follows redirects.
const MAX_REDIRECTS: usize = 3;
/// Refreshes asked for by failing calls are at least this far apart.
const REFRESH_GAP: Duration = Duration::from_millis(200);

/// Calls to a Redis deployment. Clones share everything; the last one dropped ends its task.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
    _stop: Arc<DropGuard>,
}

pub(crate) struct Inner {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) tags: Vec<(String, u16)>,
    topology: watch::Sender<Arc<Topology>>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// Somebody thinks that the topology has changed.
    suspicion: Notify,
    /// Counts finished refreshes.
    refreshed: watch::Sender<u64>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.inner.dialer.url.to_string())
            .finish()
    }
}

impl Link {
    /// Finds the primaries and connects to them.
    ///
    /// # Errors
    /// If the topology cannot be found, no primary answers, or those who do are not what the URL says.
    pub fn connect(
        url: RedisUrl,
        settings: LinkSettings,
    ) -> BoxFuture<'static, Result<Self, LinkError>> {
        Box::pin(Self::connected(url, settings))
    }

    async fn connected(url: RedisUrl, settings: LinkSettings) -> Result<Self, LinkError> {
        if url.tls.is_some() {
            // The client library leaves the choice of cryptography to the process, and panics
            // without one. Somebody else's earlier choice is as good.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        }
        let tags = partition_tags(settings.partitions);
        let dialer = Arc::new(Dialer {
            url,
            settings,
            stats: Arc::default(),
        });
        let nobody = Topology::none(tags.len());
        let inner = Arc::new(Inner {
            dialer,
            tags,
            topology: watch::Sender::new(Arc::new(nobody)),
            nodes: Mutex::default(),
            suspicion: Notify::new(),
            refreshed: watch::Sender::new(0),
        });
        inner
            .topology
            .send_replace(Arc::new(resolve::resolve(&inner, None).await?));

        let stop = CancellationToken::new();
        tokio::spawn(resolve::keep_topology(inner.clone(), stop.clone()));
        let link = Self {
            inner,
            _stop: Arc::new(stop.drop_guard()),
        };
        link.greet().await?;
        Ok(link)
    }

    /// Sends `cmd` to the owner of `partition`.
    ///
    /// # Errors
    /// See [`LinkError`]; MOVED and ASK have been followed already.
    pub async fn call<T: FromRedisValue>(&self, partition: u16, cmd: &Cmd) -> Result<T, LinkError> {
        let start = Instant::now();
        let result = self.inner.value(partition, cmd, None).await.and_then(read);
        self.stats().took(name_of(cmd), start);
        self.stats().observe(result)
    }

    /// Sends all commands of `pipeline` at once to the owner of `partition`. Commands that Cluster
    /// redirects are sent again one by one, except in a transaction, which fails as a whole.
    ///
    /// # Errors
    /// See [`LinkError`]; the first refusal stands for the pipeline, unless it ignores errors.
    pub async fn pipeline<T: FromRedisValue>(
        &self,
        partition: u16,
        pipeline: &Pipeline,
    ) -> Result<T, LinkError> {
        let start = Instant::now();
        let result = self.inner.values(partition, pipeline).await;
        self.stats().took("pipeline", start);
        let result = match result {
            Ok(values) => reply::compose(pipeline, values).await,
            Err(error) => Err(error),
        };
        self.stats().observe(result)
    }

    /// Sends `cmd` to every primary at once, for work on nodes rather than keys.
    pub async fn each_primary(&self, cmd: &Cmd) -> Vec<(Address, Result<Value, LinkError>)> {
        let primaries = self.primaries();
        let answers = primaries.iter().map(|address| self.at(address, cmd));
        let answers = join_all(answers).await;
        primaries.into_iter().zip(answers).collect()
    }

    /// Sends `cmd` to one node.
    ///
    /// # Errors
    /// See [`LinkError`]; redirects are not followed.
    pub async fn at<T: FromRedisValue>(
        &self,
        address: &Address,
        cmd: &Cmd,
    ) -> Result<T, LinkError> {
        let node = self.inner.node(address);
        let result = match node.send(cmd).await {
            Ok(value) => self.inner.refusal(&node, value),
            Err(error) => Err(self.inner.suspect(&node, error)),
        };
        self.stats().count(result.and_then(read))
    }

    /// The primaries as last seen.
    pub fn primaries(&self) -> Vec<Address> {
        self.inner.topology.borrow().primaries().to_vec()
    }

    /// The topology as last seen, and word of every change.
    pub fn topology(&self) -> watch::Receiver<Arc<Topology>> {
        self.inner.topology.subscribe()
    }

    /// Hash tag and slot of each partition.
    pub fn tags(&self) -> &[(String, u16)] {
        &self.inner.tags
    }

    /// What this link and its bus have done so far.
    pub fn stats(&self) -> &LinkStats {
        &self.inner.dialer.stats
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &LinkSettings {
        &self.inner.dialer.settings
    }

    /// Asks the background task to look the topology up soon.
    pub fn suspect_topology(&self) {
        self.inner.suspicion.notify_one();
    }

    /// Has the topology looked up and waits for it, for as long as that may take.
    pub async fn refresh(&self) {
        let mut refreshed = self.inner.refreshed.subscribe();
        self.suspect_topology();
        let settings = self.settings();
        let limit = settings.connect_timeout + settings.response_timeout + REFRESH_GAP;
        // Late or not, the caller goes on with the topology there is.
        drop(timeout(limit, refreshed.changed()).await);
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl Inner {
    /// The node at `address`, made known if it was not.
    pub(crate) fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(address) {
            return node.clone();
        }
        let node = Arc::new(Node::new(self.dialer.clone(), address.clone()));
        nodes.insert(address.clone(), node.clone());
        node
    }

    /// The node that owns `partition`.
    pub(crate) fn owner(&self, partition: u16) -> Result<Arc<Node>, LinkError> {
        let owner = self.topology.borrow().owner(partition).cloned();
        match owner {
            Some(address) => Ok(self.node(&address)),
            None => {
                self.suspicion.notify_one();
                Err(LinkError::Unavailable(format!(
                    "no primary owns partition {partition}"
                )))
            }
        }
    }

    /// The answer of the owner of `partition`, redirects followed.
    async fn value(
        &self,
        partition: u16,
        cmd: &Cmd,
        durability: Option<Durability>,
    ) -> Result<Value, LinkError> {
        let node = self.owner(partition)?;
        match node.answer(cmd, false, durability).await {
            Ok(value) => self.follow(node, cmd, durability, value).await,
            Err(error) => Err(self.suspect(&node, error)),
        }
    }

    async fn values(&self, partition: u16, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let node = self.owner(partition)?;
        let (offset, count) = match pipeline.is_transaction() {
            true => (pipeline.len() + 1, 1),
            false => (0, pipeline.len()),
        };
        let answered = node.send_all(pipeline, offset, count).await;
        let mut values = answered.map_err(|error| self.suspect(&node, error))?;
        if pipeline.is_transaction() {
            return Ok(values);
        }
        for (cmd, value) in pipeline.cmd_iter().zip(&mut values) {
            if let Value::ServerError(error) = value
                && Redirect::read(error, &node.address).is_some()
            {
                let moved = std::mem::take(value);
                *value = self.follow(node.clone(), cmd, None, moved).await?;
            }
        }
        Ok(values)
    }

    /// Follows the redirects in `value`, the answer of `node` to `cmd`.
    async fn follow(
        &self,
        mut node: Arc<Node>,
        cmd: &Cmd,
        durability: Option<Durability>,
        mut value: Value,
    ) -> Result<Value, LinkError> {
        for _ in 0..MAX_REDIRECTS {
            let Value::ServerError(error) = &value else {
                break;
            };
            let Some(redirect) = Redirect::read(error, &node.address) else {
                break;
            };
            self.dialer.stats.redirects.inc();
            let asking = matches!(redirect, Redirect::Ask(_));
            if !asking {
                self.suspicion.notify_one();
            }
            let (Redirect::Moved(address) | Redirect::Ask(address)) = redirect;
            node = self.node(&address);
            let answered = node.answer(cmd, asking, durability).await;
            value = answered.map_err(|error| self.suspect(&node, error))?;
        }
        self.refusal(&node, value)
    }

    /// Turns a refusal into an error.
    fn refusal(&self, node: &Node, value: Value) -> Result<Value, LinkError> {
        match value {
            Value::ServerError(error) => Err(self.suspect(node, LinkError::from(&error))),
            value => Ok(value),
        }
    }

    /// Draws the conclusions about `node` and the topology from an error, and hands it on.
    pub(crate) fn suspect(&self, node: &Node, error: LinkError) -> LinkError {
        let suspicious = match &error {
            LinkError::Unavailable(_) | LinkError::Refused(_) | LinkError::Unknown { .. } => true,
            LinkError::Server { code, .. } => {
                if code == "READONLY" {
                    // A demoted primary. Behind a name, the next connection may reach the new one.
                    node.lane.discard_current();
                }
                matches!(
                    code.as_str(),
                    "MOVED"
                        | "ASK"
                        | "TRYAGAIN"
                        | "CLUSTERDOWN"
                        | "LOADING"
                        | "READONLY"
                        | "MASTERDOWN"
                )
            }
            LinkError::TooFewReplicas { .. } | LinkError::Shape(_) => false,
        };
        if suspicious {
            self.suspicion.notify_one();
        }
        error
    }

    /// Takes a freshly resolved topology over.
    fn adopt(&self, topology: Topology) {
        if **self.topology.borrow() == topology {
            return;
        }
        tracing::info!(redis.primaries = ?topology.primaries(), "Redis topology changed");
        self.nodes
            .lock()
            .retain(|address, _| topology.primaries().contains(address));
        self.dialer.stats.topology_changes.inc();
        self.topology.send_replace(Arc::new(topology));
    }
}
