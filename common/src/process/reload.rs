//! Reads the configuration and `auth.dir` again while the process runs: when they changed, and at once when asked to
//! (SIGHUP). And puts the keys in force that issuers publish, when they have come.
//!
//! Files are looked at again and again. A watch of the kernel's (inotify) would tell sooner, but
//! nothing on network and FUSE mounts, nothing of the files elsewhere that a file in it names, and its
//! instances are few and shared by all containers of a user; what it is spared costs less than a
//! millisecond every two seconds.
//!
//! A file that is not in order changes nothing: what it said before stays in force.

mod seen;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use super::Shutdown;
use crate::{
    auth::{Keyring, jwks::Followers},
    checks::Role,
    settings::{Credentials, Fault, InForce, LiveSettings, Settings, SettingsErrors, all_errors},
    telemetry::{LogLevel, Metrics, ReloadMetrics},
};
use seen::{Place, Seen};

/// Between two looks at whether anything was touched.
const EVERY: Duration = Duration::from_secs(2);
/// What was touched is believed when it reads the same again after this: not every writer replaces a
/// file in one step.
const SETTLED: Duration = Duration::from_millis(500);

/// What of a process' configuration may change, and what keeps it up to date.
pub(super) struct Reload {
    place: Place,
    /// What the configuration said when it was last in order, as far as that may change; all else is as it was at
    /// the start. What was said on the command line is in `live` alone.
    read: Box<Settings>,
    live: LiveSettings,
    log: LogLevel,
    keyring: Keyring,
    in_force: InForce,
    seen: Arc<Seen>,
    /// What was said to need a restart.
    need_restart: Vec<String>,
    /// What was reported to be wrong.
    reported: Vec<Fault>,
    metrics: ReloadMetrics,
    followers: Followers,
}

impl Reload {
    /// Reads everything for the first time. What is not in order is said in the log, and left out.
    ///
    /// # Errors
    /// All that is not in order, if nothing is left that a process of this `role` could be of use
    /// with. That an issuer's keys cannot be fetched is no reason.
    pub(super) fn start(
        live: LiveSettings,
        log: LogLevel,
        role: Role,
        metrics: &Metrics,
    ) -> Result<Self, SettingsErrors> {
        let settings = Settings::clone(&live.current());
        let auth = settings.auth.clone();
        let mut in_force = InForce::nothing(&auth);
        let followers = Followers::new(Arc::new(auth.fetch()), metrics.jwks.clone());
        let file = settings.file.clone();
        let place = Place { file, auth };
        let seen = Seen::of(&place);
        let (credentials, mut faults) = in_force.take(seen.reading());
        let own = faults.iter().any(|fault| fault.file.is_none());
        if own || (!faults.is_empty() && !role.is_of_use(&credentials)) {
            return Err(all_errors(faults));
        }
        // It may have been written to since it was read for this start.
        faults.extend(fault_of(&place, &seen));
        let read = match seen.configuration() {
            Some(Ok(read)) => read.clone(),
            _ => settings,
        };
        let mut reload = Self {
            place,
            read: Box::new(read),
            live,
            log,
            keyring: Keyring::new(credentials),
            in_force,
            seen: Arc::new(seen),
            need_restart: Vec::new(),
            reported: Vec::new(),
            metrics: metrics.reload.clone(),
            followers,
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
                () = sleep(pause), if self.place.is_anywhere() => {
                    touched = self.look(touched.take()).await;
                }
            }
        }
    }

    /// Whether anything was touched; what was `touched` before is put in force if it has not changed
    /// again since.
    async fn look(&mut self, touched: Option<Seen>) -> Option<Seen> {
        if touched.is_none() && self.is_untouched().await? {
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
        if !self.place.is_anywhere() {
            tracing::info!(
                signal = "SIGHUP",
                "ignored: there is no configuration file (--config) and no auth.dir, so nothing to read again"
            );
            return;
        }
        // All of it is said again to whoever asked.
        self.reported.clear();
        self.need_restart.clear();
        if let Some(seen) = self.read().await
            && !self.apply(seen)
        {
            tracing::info!(
                signal = "SIGHUP",
                "configuration and auth.dir were read again: nothing has changed"
            );
        }
    }

    /// None only while the process ends.
    async fn read(&self) -> Option<Seen> {
        let place = self.place.clone();
        let reading = tokio::task::spawn_blocking(move || Seen::of(&place));
        reading.await.ok()
    }

    async fn is_untouched(&self) -> Option<bool> {
        let seen = self.seen.clone();
        let looking = tokio::task::spawn_blocking(move || seen.is_untouched());
        looking.await.ok()
    }

    /// Puts in force what was read, and says what came and what went; answers whether anything did.
    fn apply(&mut self, mut seen: Seen) -> bool {
        let mut faults: Vec<_> = fault_of(&self.place, &seen).into_iter().collect();
        if let Some(own) = seen.take_own() {
            self.in_force.renew(own, seen.auth());
            self.place.auth = seen.auth().clone();
        }
        let has_changed = match seen.configuration() {
            Some(Ok(newer)) => self.renew(newer),
            _ => false,
        };
        let (credentials, broken) = self.in_force.take(seen.reading());
        faults.extend(broken);
        self.seen = Arc::new(seen);
        let changed = self.put_in_force(credentials, "read again: credentials have changed");
        let changed = changed || has_changed;
        let result = match (faults.is_empty(), changed) {
            (false, _) => "faulty",
            (true, true) => "changed",
            (true, false) => "unchanged",
        };
        self.metrics.reloads.with_label_values(&[result]).inc();
        self.report(faults);
        changed
    }

    /// Puts in force what the configuration says of all that may change, and names what only a restart can change;
    /// answers whether anything has changed.
    fn renew(&mut self, newer: &Settings) -> bool {
        let renewed = self.read.renewed(newer);
        let has_changed = !renewed.changed.is_empty();
        if has_changed {
            tracing::info!(changed = ?renewed.changed, "read again: the configuration has changed");
            if self.read.log.level != newer.log.level && !self.log.configure(&newer.log.level) {
                tracing::warn!(
                    "the log of this process cannot be changed: log.level needs a restart"
                );
            }
            let in_force = self.live.current().renewed(newer).settings;
            self.live.replace(in_force);
        }
        *self.read = renewed.settings;
        if renewed.need_restart != self.need_restart && !renewed.need_restart.is_empty() {
            tracing::warn!(
                settings = ?renewed.need_restart,
                "needs a restart: these settings have changed in the configuration, and are read at the start alone"
            );
        }
        let waiting = i64::try_from(renewed.need_restart.len()).unwrap_or(i64::MAX);
        self.metrics.need_restart.set(waiting);
        self.need_restart = renewed.need_restart;
        has_changed
    }

    /// Puts in force what issuers publish now, with all else as it was read last.
    fn take_keys(&mut self) {
        // What is wrong with a file has been said.
        let (credentials, _) = self.in_force.take(self.seen.reading());
        self.put_in_force(credentials, "issuers' keys have changed");
    }

    /// Says what came and what went; answers whether anything did.
    fn put_in_force(&mut self, credentials: Credentials, why: &str) -> bool {
        let (came, went, times) = {
            let before = self.keyring.current();
            let times = credentials.verifier.times() != before.verifier.times();
            (
                credentials.beyond(&before),
                before.beyond(&credentials),
                times,
            )
        };
        let changed = times || !came.is_empty() || !went.is_empty();
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

    /// Fetches what is in force now, and nothing else. Clients show their tokens to dispatchers, too: for tickets.
    fn follow(&mut self) {
        let sources = self.keyring.current().all_sources();
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
            tracing::info!("the configuration and every file in auth.dir are in order again");
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

/// The configuration file, if it is not in order.
fn fault_of(place: &Place, seen: &Seen) -> Option<Fault> {
    let errors = seen.configuration()?.err()?;
    Some(Fault {
        file: place.file.clone(),
        errors: errors.0.clone(),
        kept: true,
    })
}
