//! One Redis process: a command connection to it that comes back.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, PushKind, RedisError, ServerError, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::commit::{Committer, Durability};
use super::dial::{Dialer, OnPush};
use super::error::LinkError;
use super::settings::Failures;
use crate::backend::url::Address;

/// Callers that find a reconnect under way wait this long for it, then fail fast.
const RECONNECT_GRACE: Duration = Duration::from_millis(100);

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
    failures: Failures,
    /// Why there is none, and when another is tried.
    away: Option<(LinkError, Instant)>,
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
        let reconnecting = self.slot.lock().epoch > 0;
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
            // Seldom, and deep: every future that calls would carry it.
            None => Box::pin(self.open()).await,
        }
    }

    fn ready(&self) -> Result<Option<(MultiplexedConnection, u64)>, LinkError> {
        let slot = self.slot.lock();
        if let Some(open) = &slot.open {
            return Ok(Some((open.clone(), slot.epoch)));
        }
        match &slot.away {
            Some((error, until)) if Instant::now() < *until => Err(error.clone()),
            _ => Ok(None),
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, u64), LinkError> {
        let epoch = {
            let mut slot = self.slot.lock();
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
        let mut slot = self.slot.lock();
        match opened {
            Ok(connection) => {
                if slot.away.take().is_some() {
                    tracing::info!(redis.node = %self.address, "connected to Redis again");
                }
                slot.open = Some(connection.clone());
                slot.failures = Failures::default();
                Ok((connection, epoch))
            }
            Err(error) => {
                // A fault is reported by the dialer.
                if slot.away.is_none() && error.fault().is_none() {
                    tracing::warn!(redis.node = %self.address, %error, "Redis does not answer");
                }
                let pause = slot.failures.pause(&self.dialer.settings);
                slot.away = Some((error.clone(), Instant::now() + pause));
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
        let open = self.slot.lock().open.take();
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
        let mut slot = slot.lock();
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

    /// The answer to one command, as a call wants it: durable or not; `asking` for a key that is here although
    /// its slot is not yet. A refusal is a `Value::ServerError`.
    pub(super) async fn answer(
        &self,
        cmd: &Cmd,
        asking: bool,
        durability: Option<Durability>,
    ) -> Result<Value, LinkError> {
        match (durability, asking) {
            (Some(durability), _) => {
                let committer = self.committer();
                committer.commit(cmd.clone(), asking, durability).await
            }
            (None, true) => self.send_asking(cmd).await,
            (None, false) => self.send(cmd).await,
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

    async fn send_asking(&self, cmd: &Cmd) -> Result<Value, LinkError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(cmd.clone());
        let replies = self.send_all(&pipeline, 0, 2).await?;
        replies
            .into_iter()
            .nth(1)
            .ok_or_else(|| LinkError::shape("no reply after ASKING"))
    }

    /// The group commit of this node, started at the first durable call.
    fn committer(&self) -> &Committer {
        self.committer
            .get_or_init(|| Committer::start(&self.dialer, &self.address))
    }

    fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, LinkError> {
        self.in_flight.try_acquire().map_err(|_| {
            LinkError::Unavailable(format!("too many calls in flight to {}", self.address))
        })
    }
}
