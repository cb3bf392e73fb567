//! What runs beside a service from its first moment to its last.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::{Reload, Shutdown, supervisor::keep_watchdog};
use crate::{
    checks::{self, Role},
    settings::Settings,
    telemetry::Metrics,
};

/// Tasks that end with this.
#[derive(Debug)]
pub struct Attendants {
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Attendants {
    /// The watchdog's, what keeps the credentials up to date, and what looks at configuration and Redis
    /// as `carillon doctor` does.
    pub fn start(
        settings: &Arc<Settings>,
        role: Role,
        metrics: &Metrics,
        reload: Reload,
        shutdown: &Shutdown,
    ) -> Self {
        let warnings = metrics.config_warnings.clone();
        let looking = checks::watch(settings.clone(), role, warnings, reload.keyring().clone());
        let mut attendants = Self::quiet(reload, shutdown);
        attendants.spawn(looking);
        attendants
    }

    /// All but the last.
    pub fn quiet(reload: Reload, shutdown: &Shutdown) -> Self {
        let mut attendants = Self { _tasks: Vec::new() };
        attendants.spawn(keep_watchdog());
        attendants.spawn(reload.run(shutdown.clone()));
        attendants
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self._tasks.push(AbortOnDropHandle::new(tokio::spawn(task)));
    }
}
