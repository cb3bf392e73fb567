//! What the process of a service has, from its first moment to its last.

use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Shutdown, reload::Reload, supervisor};
use crate::{
    auth::Keyring,
    backend::{self, Backend, BackendError},
    checks::{self, LastLook, Role},
    descriptors::raise_descriptors,
    http::{
        Health,
        admin::{self, Operations},
    },
    settings::{LiveSettings, Settings, SettingsErrors},
    telemetry::{LogLevel, Metrics, Spans},
};

/// The process of a service, whichever service it is.
pub struct Process {
    /// Its configuration.
    pub settings: Arc<Settings>,
    /// What of it may change, as it is now.
    pub live: LiveSettings,
    /// What tokens and API keys are checked by.
    pub keyring: Keyring,
    /// What it counts.
    pub metrics: Metrics,
    /// What traces notifications.
    pub spans: Spans,
    /// What probes are told.
    pub health: Health,
    /// How it is told to end.
    pub shutdown: Shutdown,
    /// The hard limit of open files.
    pub descriptors: u64,
    log: LogLevel,
    /// What it has seen of its configuration and the store.
    last_look: LastLook,
    /// What runs beside the service, and ends with this.
    beside: Vec<AbortOnDropHandle<()>>,
}

impl Process {
    /// One of this role, whose log `log` changes. Inside a runtime of tokio's.
    ///
    /// # Errors
    /// Settings and credentials that it cannot be of use with.
    pub fn start(settings: Settings, log: LogLevel, role: Role) -> Result<Self> {
        let mut process = Self::start_unchecked(settings, log, role)?;
        process.run_beside(checks::watch(
            process.settings.clone(),
            role,
            process.metrics.config_warnings.clone(),
            process.keyring.clone(),
            process.last_look.clone(),
        ));
        Ok(process)
    }

    /// The same, but nothing looks at configuration and Redis as `carillon doctor` does.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_unchecked(settings: Settings, log: LogLevel, role: Role) -> Result<Self> {
        let shutdown = Shutdown::on_signals()?;
        let (service, program) = match role {
            Role::Gateway => ("gateway", "carillon-gateway"),
            Role::Dispatcher => ("dispatcher", "carillon-dispatcher"),
            Role::Standalone => ("standalone", "carillon"),
        };
        let descriptors = raise_descriptors();
        let metrics = Metrics::new(service);
        let spans = Spans::start(&settings, program, &metrics)?;
        let settings = Arc::new(settings);
        let live = LiveSettings::new(settings.clone());
        let reload = Reload::start(live.clone(), log.clone(), role, &metrics)?;
        let mut process = Self {
            settings,
            live,
            keyring: reload.keyring().clone(),
            metrics,
            spans,
            health: Health::new(),
            shutdown: shutdown.clone(),
            descriptors,
            log,
            last_look: LastLook::default(),
            beside: Vec::new(),
        };
        process.run_beside(supervisor::keep_watchdog());
        process.run_beside(reload.run(shutdown));
        Ok(process)
    }

    /// A service within another's process, such as a test's: no signals, no traces, and a log that is
    /// somebody else's.
    ///
    /// # Errors
    /// Credentials that are not in order.
    pub fn detached(settings: Settings) -> Result<Self, SettingsErrors> {
        let settings = Arc::new(settings);
        Ok(Self {
            live: LiveSettings::new(settings.clone()),
            keyring: Keyring::new(settings.auth.credentials()?),
            metrics: Metrics::new("test"),
            spans: Spans::default(),
            health: Health::new(),
            shutdown: Shutdown::new(),
            descriptors: raise_descriptors(),
            log: LogLevel::detached(&settings.log),
            last_look: LastLook::default(),
            beside: Vec::new(),
            settings,
        })
    }

    fn run_beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.beside.push(task);
    }

    /// The store that its settings name, once it is there; none if the process is told to end before.
    ///
    /// # Errors
    /// As [`backend::connect_when_up`].
    pub async fn store(&self) -> Result<Option<Arc<dyn Backend>>, BackendError> {
        supervisor::tell_status("connecting to the store");
        let backend = backend::connect_when_up(&self.settings, self.shutdown.token()).await?;
        if let Some(backend) = &backend {
            self.metrics.add(backend.metrics());
        }
        Ok(backend)
    }

    /// What an operator may do to it; a service adds its own.
    pub fn operations(&self) -> Operations {
        Operations::new(
            self.keyring.clone(),
            self.log.clone(),
            self.last_look.clone(),
        )
    }

    /// Does the service's work, with the admin port open to its end; then sends the spans that wait.
    pub async fn run<T>(
        self,
        admin: TcpListener,
        operations: Operations,
        work: impl Future<Output = T>,
    ) -> T {
        let end = CancellationToken::new();
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        let router = admin::router(health, move || metrics.render(), operations);
        let admin = admin::serve(admin, router, end.clone());
        let work = async {
            let result = work.await;
            end.cancel();
            result
        };
        let (result, ()) = tokio::join!(work, admin);
        self.spans.close().await;
        result
    }
}
