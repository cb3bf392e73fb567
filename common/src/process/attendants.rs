//! What runs beside a service from its first moment to its last.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::supervisor::keep_watchdog;
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
    /// The watchdog's, and what looks at configuration and Redis as `carillon doctor` does.
    pub fn start(settings: &Arc<Settings>, role: Role, metrics: &Metrics) -> Self {
        let looking = checks::watch(settings.clone(), role, metrics.config_warnings.clone());
        let mut attendants = Self::quiet();
        attendants
            ._tasks
            .push(AbortOnDropHandle::new(tokio::spawn(looking)));
        attendants
    }

    /// The watchdog's alone.
    pub fn quiet() -> Self {
        let watchdog = AbortOnDropHandle::new(tokio::spawn(keep_watchdog()));
        Self {
            _tasks: vec![watchdog],
        }
    }
}
