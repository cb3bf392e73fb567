//! What a process knows about its own state; told to probes by the admin port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A process' state. Clones are handles to the same one.
///
/// Only starting and draining decide whether the process is ready. What is degraded is told but does
/// not count: when Redis is away, a readiness that failed would empty the whole fleet at once.
#[derive(Clone, Default)]
pub struct Health(Arc<State>);

#[derive(Default)]
struct State {
    started: AtomicBool,
    draining: AtomicBool,
    degraded: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// A process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process has everything it needs and serves.
    pub fn set_started(&self) {
        self.0.started.store(true, Ordering::Relaxed);
    }

    /// The process is leaving; there is no way back.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Something (`redis`, `bus`, `lease`, `clock`) does not work as it should.
    pub fn set_degraded(&self, what: &'static str, detail: impl Into<String>) {
        self.0.degraded.lock().insert(what, detail.into());
    }

    /// It works again.
    pub fn clear_degraded(&self, what: &'static str) {
        self.0.degraded.lock().remove(what);
    }

    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        self.0.started.load(Ordering::Relaxed)
    }

    /// Whether it is leaving.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Whether new work should come here.
    pub fn is_ready(&self) -> bool {
        self.is_started() && !self.is_draining()
    }

    /// What does not work as it should, with details for the operator.
    pub fn degraded(&self) -> BTreeMap<&'static str, String> {
        self.0.degraded.lock().clone()
    }

    /// One word: `starting`, `draining`, `degraded` or `ready`.
    pub fn status(&self) -> &'static str {
        if self.is_draining() {
            "draining"
        } else if !self.is_started() {
            "starting"
        } else if self.0.degraded.lock().is_empty() {
            "ready"
        } else {
            "degraded"
        }
    }
}
