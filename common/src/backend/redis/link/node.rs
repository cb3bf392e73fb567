//! One Redis process: how to dial it, and a command connection that comes back.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, ServerError,
    TlsCertificates, Value,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::LinkSettings;
use super::error::LinkError;
use crate::backend::redis::commit::Committer;
use crate::backend::redis::url::{Address, RedisUrl};
use crate::telemetry::RedisMetrics;

/// What receives push messages. It runs inside the connection's task and must never block.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Callers that find a reconnect under way wait this long for it, then fail fast.
const RECONNECT_GRACE: Duration = Duration::from_millis(100);

/// How long a connection is silent before the kernel asks the peer whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Locks state that is never left half-changed, so a panic elsewhere does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pause before attempt `failures + 1`: doubling, capped, half of it random.
pub(crate) fn backoff(settings: &LinkSettings, failures: u32) -> Duration {
    let doubled = settings
        .backoff_min
        .saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled
        .min(settings.backoff_max)
        .mul_f64(rand::random_range(0.5..=1.0))
}

/// Everything but the address that opening a connection takes.
pub(crate) struct Dialer {
    pub(crate) url: RedisUrl,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) settings: LinkSettings,
    pub(crate) stats: RedisMetrics,
}

impl Dialer {
    /// Opens a RESP3 connection to a data node and hands its push messages to `on_push`.
    pub(crate) async fn open(
        &self,
        address: &Address,
        on_push: OnPush,
    ) -> Result<MultiplexedConnection, LinkError> {
        let credentials = &self.url.credentials;
        let mut redis = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.url.db.into());
        if let Some(user) = &credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password);
        }
        let config = self.config().set_push_sender(move |info| {
            on_push(info);
            Ok::<(), Infallible>(())
        });
        self.dial(address, redis, config).await
    }

    /// Opens a connection to a sentinel.
    pub(crate) async fn open_sentinel(
        &self,
        address: &Address,
    ) -> Result<MultiplexedConnection, LinkError> {
        let credentials = &self.url.sentinel_credentials;
        let mut redis = RedisConnectionInfo::default();
        if let Some(user) = &credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password);
        }
        self.dial(address, redis, self.config()).await
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout))
            .set_pipeline_buffer_size(self.settings.max_in_flight.clamp(1, 1024))
    }

    async fn dial(
        &self,
        address: &Address,
        redis: RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, LinkError> {
        let opened = async {
            let client = self.client(address, redis)?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
        };
        match opened.await {
            Ok(connection) => {
                self.stats.connects.inc();
                Ok(connection)
            }
            Err(error) => {
                self.stats.connect_failures.inc();
                Err(LinkError::Unavailable(format!(
                    "cannot connect to {address}: {error}"
                )))
            }
        }
    }

    fn client(&self, address: &Address, redis: RedisConnectionInfo) -> Result<Client, RedisError> {
        let (host, port) = (address.host.clone(), address.port);
        let target = match self.url.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // Keepalive finds a peer that vanished behind a connection nobody used for a while.
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
        let info = target
            .into_connection_info()?
            .set_tcp_settings(tcp)
            .set_redis_settings(redis.set_lib_name("carillon", env!("CARGO_PKG_VERSION")));
        match &self.ca {
            None => Client::open(info),
            Some(ca) => {
                let root_cert = Some(ca.clone());
                Client::build_with_tls(
                    info,
                    TlsCertificates {
                        client_tls: None,
                        root_cert,
                    },
                )
            }
        }
    }
}

/// A connection that is opened when needed, dropped when it fails and reopened with backoff.
pub(crate) struct Lane {
    dialer: Arc<Dialer>,
    address: Address,
    slot: Arc<Mutex<Slot>>,
    /// Held by the one caller that opens.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Slot {
    open: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one spares the new one.
    epoch: u64,
    failures: u32,
    retry_at: Option<Instant>,
    last_error: Option<LinkError>,
}

impl Lane {
    pub(crate) fn new(dialer: Arc<Dialer>, address: Address) -> Self {
        Self {
            dialer,
            address,
            slot: Arc::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// The open connection and its epoch; opens one unless that failed a moment ago.
    pub(crate) async fn connection(&self) -> Result<(MultiplexedConnection, u64), LinkError> {
        if let Some(ready) = self.ready()? {
            return Ok(ready);
        }
        let reconnecting = lock(&self.slot).epoch > 0;
        let patience = if reconnecting {
            RECONNECT_GRACE
        } else {
            self.dialer.settings.connect_timeout
        };
        let _turn = timeout(patience, self.opening.lock())
            .await
            .map_err(|_| LinkError::Unavailable(format!("still connecting to {}", self.address)))?;
        match self.ready()? {
            Some(ready) => Ok(ready),
            None => self.open().await,
        }
    }

    fn ready(&self) -> Result<Option<(MultiplexedConnection, u64)>, LinkError> {
        let slot = lock(&self.slot);
        if let Some(open) = &slot.open {
            return Ok(Some((open.clone(), slot.epoch)));
        }
        match (&slot.last_error, slot.retry_at) {
            (Some(error), Some(at)) if Instant::now() < at => Err(error.clone()),
            _ => Ok(None),
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, u64), LinkError> {
        let epoch = {
            let mut slot = lock(&self.slot);
            slot.epoch += 1;
            slot.epoch
        };
        let watched = Arc::downgrade(&self.slot);
        let on_push: OnPush = Arc::new(move |info| {
            if info.kind == PushKind::Disconnection
                && let Some(slot) = watched.upgrade()
            {
                drop(Slot::take(&slot, epoch));
            }
        });
        let opened = self.dialer.open(&self.address, on_push).await;
        let mut slot = lock(&self.slot);
        match opened {
            Ok(connection) => {
                if slot.failures > 0 {
                    tracing::info!(redis.node = %self.address, "connected to Redis again");
                }
                slot.open = Some(connection.clone());
                (slot.failures, slot.retry_at, slot.last_error) = (0, None, None);
                Ok((connection, epoch))
            }
            Err(error) => {
                if slot.failures == 0 {
                    tracing::warn!(redis.node = %self.address, %error, "Redis does not answer");
                }
                slot.failures += 1;
                slot.retry_at =
                    Some(Instant::now() + backoff(&self.dialer.settings, slot.failures));
                slot.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Drops connection `epoch`, so that the next caller opens another.
    pub(crate) fn discard(&self, epoch: u64) {
        drop(Slot::take(&self.slot, epoch));
    }

    /// Drops whatever connection there is.
    pub(crate) fn discard_current(&self) {
        let open = lock(&self.slot).open.take();
        drop(open);
    }

    /// What `error` on connection `epoch` means for the caller; drops the connection unless the
    /// server itself answered.
    pub(crate) fn failure(&self, epoch: u64, error: RedisError) -> LinkError {
        if let ErrorKind::Server(_) | ErrorKind::Extension = error.kind()
            && let Ok(error) = ServerError::try_from(error.clone())
        {
            return LinkError::from(&error);
        }
        self.discard(epoch);
        LinkError::Unknown {
            node: self.address.clone(),
            reason: error.to_string(),
        }
    }
}

impl Slot {
    /// Takes connection `epoch` out, so that it is dropped after the lock is released.
    fn take(slot: &Mutex<Self>, epoch: u64) -> Option<MultiplexedConnection> {
        let mut slot = lock(slot);
        if slot.epoch == epoch {
            slot.open.take()
        } else {
            None
        }
    }
}

/// One Redis process as the link sees it.
pub(crate) struct Node {
    pub(crate) address: Address,
    pub(crate) lane: Lane,
    in_flight: Semaphore,
    dialer: Arc<Dialer>,
    committer: OnceLock<Committer>,
}

impl Node {
    pub(crate) fn new(dialer: Arc<Dialer>, address: Address) -> Self {
        Self {
            lane: Lane::new(dialer.clone(), address.clone()),
            in_flight: Semaphore::new(dialer.settings.max_in_flight),
            committer: OnceLock::new(),
            address,
            dialer,
        }
    }

    /// Sends one command. A refusal is a `Value::ServerError`.
    pub(crate) async fn send(&self, cmd: &Cmd) -> Result<Value, LinkError> {
        let _permit = self.permit()?;
        let (mut connection, epoch) = self.lane.connection().await?;
        match connection.send_packed_command(cmd).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.lane.failure(epoch, error)),
        }
    }

    /// Sends a pipeline and skips the first `offset` of its replies.
    pub(crate) async fn send_all(
        &self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> Result<Vec<Value>, LinkError> {
        let _permit = self.permit()?;
        let (mut connection, epoch) = self.lane.connection().await?;
        match connection
            .send_packed_commands(pipeline, offset, count)
            .await
        {
            Ok(values) => Ok(values),
            Err(error) => Err(self.lane.failure(epoch, error)),
        }
    }

    /// Sends a command for a key that is here although the slot is not yet.
    pub(crate) async fn send_asking(&self, cmd: &Cmd) -> Result<Value, LinkError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(cmd.clone());
        let replies = self.send_all(&pipeline, 0, 2).await?;
        replies
            .into_iter()
            .nth(1)
            .ok_or_else(|| LinkError::shape("no reply after ASKING"))
    }

    /// The group commit of this node, started at the first durable call.
    pub(crate) fn committer(&self) -> &Committer {
        self.committer
            .get_or_init(|| Committer::start(&self.dialer, &self.address))
    }

    fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, LinkError> {
        self.in_flight.try_acquire().map_err(|_| {
            LinkError::Unavailable(format!("too many calls in flight to {}", self.address))
        })
    }
}
