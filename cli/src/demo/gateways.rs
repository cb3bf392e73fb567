//! Gateways of the page's own, so that it can have one drained: two of them, for as long as the page is used.
//!
//! They are gateways as any other, in this process and over its store. One that was asked to drain ends when it is
//! empty, and another takes its place, as in a rolling update. The one at the public port is left alone, and what
//! these count is not among what it counts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use carillon_common::{
    backend::Backend,
    http::{Front, Health, listen},
    ids::GatewayId,
    process::{Process, Shutdown},
    settings::Settings,
};
use carillon_gateway::Gateway;
use parking_lot::Mutex;
use tokio::time::{interval, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Enough for one to leave.
const READY: usize = 2;
/// A client is told a quarter of it before it would be closed: time enough to watch it move.
const WINDOW: Duration = Duration::from_secs(8);
/// How often it is looked whether one that drains is empty.
const LOOK: Duration = Duration::from_millis(200);
/// A drained gateway is seen to be empty before it is gone.
const SHOWN: Duration = Duration::from_secs(2);

/// Those that there are, and the wires to them.
pub(crate) struct Gateways {
    settings: Settings,
    backend: Arc<dyn Backend>,
    shutdown: Shutdown,
    pub(super) tasks: TaskTracker,
    /// Held while one starts, so that two pages do not start two.
    all: tokio::sync::Mutex<Vec<Seat>>,
    started: AtomicU32,
    wires: Arc<Mutex<Vec<Laid>>>,
    laid: AtomicU64,
}

/// One of them.
struct Seat {
    gateway: Arc<Gateway>,
    health: Health,
    address: SocketAddr,
}

/// A wire, as it is found again.
struct Laid {
    number: u64,
    session: String,
    gateway: GatewayId,
    cut: CancellationToken,
}

/// A connection's way to its gateway; forgotten when it is dropped.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    pub(super) cut: CancellationToken,
    number: u64,
    wires: Arc<Mutex<Vec<Laid>>>,
}

impl Gateways {
    /// None yet: they start when the page is opened.
    pub(crate) fn new(settings: &Settings, backend: Arc<dyn Backend>, shutdown: Shutdown) -> Self {
        Self {
            settings: settings.clone(),
            backend,
            shutdown,
            tasks: TaskTracker::new(),
            all: tokio::sync::Mutex::default(),
            started: AtomicU32::new(0),
            wires: Arc::default(),
            laid: AtomicU64::new(0),
        }
    }

    /// Of their sockets.
    pub(super) fn path(&self) -> &str {
        &self.settings.gateway.path
    }

    /// Until they have ended, once the process is told to.
    pub(crate) async fn ended(&self) {
        self.shutdown.told().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A wire to the one with the fewest, as a load balancer would.
    pub(super) async fn lay(&self, session: String) -> anyhow::Result<Wire> {
        let mut all = self.all.lock().await;
        all.retain(|seat| seat.health.is_ready());
        while all.len() < READY && !self.shutdown.token().is_cancelled() {
            all.push(self.start().await?);
        }
        let mut wires = self.wires.lock();
        let load = |seat: &&Seat| {
            let to = seat.gateway.name();
            wires.iter().filter(|wire| wire.gateway == *to).count()
        };
        let seat = all
            .iter()
            .min_by_key(load)
            .ok_or_else(|| anyhow::anyhow!("this process is ending"))?;
        let (number, cut) = (
            self.laid.fetch_add(1, Ordering::Relaxed),
            CancellationToken::new(),
        );
        wires.push(Laid {
            number,
            session,
            gateway: seat.gateway.name().clone(),
            cut: cut.clone(),
        });
        Ok(Wire {
            address: seat.address,
            cut,
            number,
            wires: self.wires.clone(),
        })
    }

    /// Where the newest wire of a session leads.
    pub(super) fn of_session(&self, session: &str) -> Option<GatewayId> {
        let wires = self.wires.lock();
        let newest = wires.iter().rfind(|wire| wire.session == session);
        newest.map(|wire| wire.gateway.clone())
    }

    /// Cuts the wires of a session; how many there were.
    pub(super) fn cut(&self, session: &str) -> usize {
        let wires = self.wires.lock();
        let of_it = wires.iter().filter(|wire| wire.session == session);
        of_it.map(|wire| wire.cut.cancel()).count()
    }

    async fn start(&self) -> anyhow::Result<Seat> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let mut settings = self.settings.clone();
        // Another process may share the store.
        settings.gateway.name = Some(format!("page-{number}-{:04x}", rand::random::<u16>()));
        settings.drain.asked_delay = Duration::ZERO;
        settings.drain.window = WINDOW;
        let front = Front::of_gateway(&settings.gateway.path, &settings.sse.path);
        let process = Process::detached(settings)?;
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into())?;
        let seat = Seat {
            gateway: Gateway::start(&process, self.backend.clone()).await?,
            health: process.health.clone(),
            address: listener.local_addr()?,
        };
        let (gateway, health) = (seat.gateway.clone(), seat.health.clone());
        let (whole, end) = (self.shutdown.clone(), process.shutdown);
        self.tasks.spawn(async move {
            let until = async {
                tokio::select! {
                    () = whole.told() => {}
                    () = drained(&gateway, &health) => {}
                }
                // Nobody waits for a drain at a keyboard, and an empty one has nobody to wait for.
                end.hasten();
            };
            let work = gateway.run(listener, front, end.clone());
            let (result, ()) = tokio::join!(work, until);
            if let Err(error) = result {
                tracing::warn!(%error, "a gateway of the page failed");
            }
        });
        Ok(seat)
    }
}

/// Until it was asked to drain, and is empty.
async fn drained(gateway: &Gateway, health: &Health) {
    let mut ticks = interval(LOOK);
    while !health.is_draining() || gateway.connections() > 0 {
        ticks.tick().await;
    }
    sleep(SHOWN).await;
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.wires.lock().retain(|wire| wire.number != self.number);
    }
}
