//! Reads `auth.dir` again while the process runs: when it changed, and at once when asked to (SIGHUP). And
//! puts the keys in force that issuers publish, when they have come.
//!
//! The folder is looked at again and again. A watch of the kernel's (inotify) would tell sooner, but
//! nothing on network and FUSE mounts, nothing of the files elsewhere that a file in it names, and its
//! instances are few and shared by all containers of a user; what it is spared costs less than a
//! millisecond every two seconds.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use super::Shutdown;
use crate::{
    auth::{Keyring, jwks::Followers},
    checks::Role,
    settings::{
        AuthSettings, Credentials, Fault, InForce, Reading, SettingsErrors, Stamp, all_errors,
    },
    telemetry::{Metrics, ReloadMetrics},
};

/// Between two looks at whether anything was touched.
const EVERY: Duration = Duration::from_secs(2);
/// What was touched is believed when it reads the same again after this: not every writer replaces a
/// file in one step.
const SETTLED: Duration = Duration::from_millis(500);

/// The credentials of a process, and what keeps them up to date.
pub(super) struct Reload {
    auth: Arc<AuthSettings>,
    keyring: Keyring,
    in_force: InForce,
    seen: Arc<Seen>,
    /// What was reported to be wrong.
    reported: Vec<Fault>,
    metrics: ReloadMetrics,
    role: Role,
    followers: Followers,
}

/// A reading, and what the folder looked like just before it.
#[derive(PartialEq)]
struct Seen {
    stamp: Stamp,
    reading: Reading,
}

impl Seen {
    /// Takes as long as the disk does.
    fn of(auth: &AuthSettings) -> Self {
        // Which files there are is known only once they are read; what is written after the stamp was
        // taken shows at the next one.
        let stamp = Stamp::of(auth, &Reading::of(auth));
        Self {
            stamp,
            reading: Reading::of(auth),
        }
    }
}

impl Reload {
    /// Reads everything for the first time. What is not in order is said in the log, and left out.
    ///
    /// # Errors
    /// All that is not in order, if nothing is left that a process of this `role` could be of use
    /// with. That an issuer's keys cannot be fetched is no reason.
    pub(super) fn start(
        auth: &AuthSettings,
        role: Role,
        metrics: &Metrics,
    ) -> Result<Self, SettingsErrors> {
        let mut in_force = InForce::nothing(auth);
        let seen = Seen::of(auth);
        let (credentials, faults) = in_force.take(&seen.reading);
        let own = faults.iter().any(|fault| fault.file.is_none());
        if own || (!faults.is_empty() && !role.is_of_use(&credentials)) {
            return Err(all_errors(faults));
        }
        let mut reload = Self {
            auth: Arc::new(auth.clone()),
            keyring: Keyring::new(credentials),
            in_force,
            seen: Arc::new(seen),
            reported: Vec::new(),
            metrics: metrics.reload.clone(),
            role,
            followers: Followers::new(Arc::new(auth.fetch()), metrics.jwks.clone()),
        };
        reload.follow();
        reload.report(faults);
        Ok(reload)
    }

    /// What is in force, now and later.
    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Never ends.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut touched: Option<Seen> = None;
        loop {
            let pause = match touched {
                Some(_) => SETTLED,
                None => EVERY,
            };
            tokio::select! {
                () = shutdown.reload_asked() => {
                    touched = None;
                    self.read_at_once().await;
                    shutdown.tell_reloaded();
                }
                () = self.followers.changed() => self.take_keys(),
                () = sleep(pause), if self.auth.dir.is_some() => {
                    touched = self.look(touched.take()).await;
                }
            }
        }
    }

    /// Whether anything was touched; what was `touched` before is put in force if it has not changed
    /// again since.
    async fn look(&mut self, touched: Option<Seen>) -> Option<Seen> {
        if touched.is_none() && self.stamp().await? == self.seen.stamp {
            return None;
        }
        let seen = self.read().await?;
        if touched.as_ref() != Some(&seen) {
            return Some(seen);
        }
        self.apply(seen);
        None
    }

    /// Whoever asks says that it is written.
    async fn read_at_once(&mut self) {
        if self.auth.dir.is_none() {
            tracing::info!(
                signal = "SIGHUP",
                "ignored: auth.dir is not set, and nothing else is read again; restart for a new configuration"
            );
            return;
        }
        // All of it is said again to whoever asked.
        self.reported.clear();
        if let Some(seen) = self.read().await
            && !self.apply(seen)
        {
            tracing::info!(
                signal = "SIGHUP",
                "auth.dir was read again: nothing has changed"
            );
        }
    }

    /// None only while the process ends.
    async fn read(&self) -> Option<Seen> {
        let auth = self.auth.clone();
        let reading = tokio::task::spawn_blocking(move || Seen::of(&auth));
        reading.await.ok()
    }

    async fn stamp(&self) -> Option<Stamp> {
        let (auth, seen) = (self.auth.clone(), self.seen.clone());
        let looking = tokio::task::spawn_blocking(move || Stamp::of(&auth, &seen.reading));
        looking.await.ok()
    }

    /// Puts in force what was read, and says what came and what went; answers whether anything did.
    fn apply(&mut self, seen: Seen) -> bool {
        let (credentials, faults) = self.in_force.take(&seen.reading);
        self.seen = Arc::new(seen);
        let changed = self.put_in_force(
            credentials,
            "auth.dir was read again: credentials have changed",
        );
        let result = match (faults.is_empty(), changed) {
            (false, _) => "faulty",
            (true, true) => "changed",
            (true, false) => "unchanged",
        };
        self.metrics.reloads.with_label_values(&[result]).inc();
        self.report(faults);
        changed
    }

    /// Puts in force what issuers publish now, with all else as it was read last.
    fn take_keys(&mut self) {
        // What is wrong with a file has been said.
        let (credentials, _) = self.in_force.take(&self.seen.reading);
        self.put_in_force(credentials, "issuers' keys have changed");
    }

    /// Says what came and what went; answers whether anything did.
    fn put_in_force(&mut self, credentials: Credentials, why: &str) -> bool {
        let (came, went) = {
            let before = self.keyring.current();
            (credentials.beyond(&before), before.beyond(&credentials))
        };
        let changed = !came.is_empty() || !went.is_empty();
        if changed {
            tracing::info!(
                ?came,
                ?went,
                issuers = credentials.verifier.len() + credentials.services.len(),
                api_keys = credentials.api_keys.len(),
                "{why}"
            );
            self.keyring.replace(credentials);
            self.follow();
        }
        changed
    }

    /// Fetches what is in force now, and nothing else: the keys that clients' tokens are signed with are
    /// no business of a dispatcher.
    fn follow(&mut self) {
        let credentials = self.keyring.current();
        let sources = match self.role {
            Role::Dispatcher => credentials.sources_of_services(),
            Role::Gateway | Role::Standalone => credentials.all_sources(),
        };
        self.followers.follow(&sources);
    }

    /// Logs what is wrong, once, and shows whether anything is.
    fn report(&mut self, faults: Vec<Fault>) {
        for fault in faults.iter().filter(|it| !self.reported.contains(it)) {
            let meanwhile = match fault.kept {
                true => "what the file held before stays in force",
                false => "the file is left out",
            };
            for error in &fault.errors {
                tracing::error!("{error}; until then {meanwhile}");
            }
        }
        if faults.is_empty() && !self.reported.is_empty() {
            tracing::info!("every file in auth.dir is in order again");
        }
        self.metrics
            .reload_success
            .set(i64::from(faults.is_empty()));
        if faults.is_empty() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0.0, |since| since.as_secs_f64());
            self.metrics.reload_success_at.set(now);
        }
        self.reported = faults;
    }
}
