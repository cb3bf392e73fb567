//! How fast services may send, and users may be sent to, over all dispatchers together.
//!
//! Each dispatcher borrows what it may use from the store, in slices, ahead of need and beside the sends: no send
//! waits for that, nor does one fail because the store is away. `machine` decides, `account` says how; `borrowing` is
//! the one task that asks the store.

mod account;
mod borrowing;
mod machine;
mod told;

use std::sync::Arc;

use carillon_common::{
    auth::{Keyring, Service},
    backend::{AccountKind, Backend, Quota},
    ids::UserId,
    settings::LiveSettings,
    telemetry::metrics::DispatcherMetrics,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use machine::{Claim, Machine};

#[cfg(test)]
pub(crate) use machine::Short;
pub use told::RateLimited;
pub(crate) use told::{Told, name_of};

/// The allowance of this dispatcher.
pub(crate) struct Allowance {
    machine: Mutex<Machine>,
    /// Something is to be borrowed at once.
    hurry: Notify,
    live: LiveSettings,
    keyring: Keyring,
    backend: Arc<dyn Backend>,
    metrics: DispatcherMetrics,
    /// Who this dispatcher is to the others.
    name: String,
}

impl Allowance {
    pub(crate) fn new(
        live: LiveSettings,
        keyring: Keyring,
        backend: Arc<dyn Backend>,
        metrics: DispatcherMetrics,
    ) -> Self {
        Self {
            machine: Mutex::new(Machine::new(Instant::now())),
            hurry: Notify::new(),
            live,
            keyring,
            backend,
            metrics,
            name: Uuid::new_v4().simple().to_string(),
        }
    }

    /// Uses `units` of what `service` may send, and one of what each of `users` may be sent: of all, or of none. A
    /// request for several notifications claims them together, or each by itself where each may be refused by itself.
    ///
    /// # Errors
    /// One of them has too little left.
    pub(crate) fn take(
        &self,
        service: &Service,
        units: u32,
        users: &[&UserId],
    ) -> Result<Told, RateLimited> {
        let (of_service, of_user) = {
            let live = self.live.current();
            (
                service.send_quota(live.dispatcher.key_quota()),
                live.dispatcher.user_quota(),
            )
        };
        let by_service = of_service.map(|quota| Claim {
            kind: AccountKind::Service,
            account: &service.identity,
            quota,
            units,
        });
        let by_users = users.iter().filter_map(|user| one_of(user, of_user));
        let claims: Vec<_> = by_service.into_iter().chain(by_users).collect();
        if claims.is_empty() {
            return Ok(Told::default());
        }
        let taken = self.machine.lock().take(&claims, Instant::now());
        if taken.hurries {
            self.hurry.notify_one();
        }
        let told = Told {
            service: taken.service,
            user: taken.user,
        };
        taken
            .result
            .map_err(|short| RateLimited { short, told })
            .map(|()| told)
    }

    /// How a service stands, after a request for several: of their users there are many.
    pub(crate) fn standing(&self, service: &Service) -> Told {
        self.take(service, 0, &[])
            .unwrap_or_else(|refused| refused.told)
    }
}

fn one_of(user: &UserId, quota: Option<Quota>) -> Option<Claim<'_>> {
    quota.map(|quota| Claim {
        kind: AccountKind::User,
        account: user.as_str(),
        quota,
        units: 1,
    })
}
