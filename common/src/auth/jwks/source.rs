//! A key set and what is known of it; every issuer that names the same place shares it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fetch::{Fetch, FetchError};
use super::place::Place;
use super::schedule::{Pace, Schedule, Sought};
use super::set::KeySet;

/// Where a key set comes from, and the last good one.
pub(crate) struct Source {
    /// The first issuer that named it.
    pub(super) issuer: Arc<str>,
    pub(super) place: Place,
    set: ArcSwapOption<KeySet>,
    schedule: Mutex<Schedule>,
    /// That the next fetch is due sooner than it was.
    sooner: Notify,
    hasher: RandomState,
}

/// What a fetch changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetched {
    First,
    Changed,
    Same,
}

impl Source {
    fn new(issuer: Arc<str>, place: Place, pace: Pace) -> Self {
        Self {
            issuer,
            place,
            set: ArcSwapOption::empty(),
            schedule: Mutex::new(Schedule::new(pace, Instant::now())),
            sooner: Notify::new(),
            hasher: RandomState::new(),
        }
    }

    /// The last good set; none until the first has come.
    pub(in crate::auth) fn set(&self) -> Option<Arc<KeySet>> {
        self.set.load_full()
    }

    /// What is known of a key that the set lacks; has it looked for.
    pub(in crate::auth) fn seek(&self, kid: &str) -> Sought {
        let mut schedule = self.schedule.lock();
        let before = schedule.due();
        let sought = schedule.seek(self.hasher.hash_one(kid), Instant::now());
        if schedule.due() < before {
            self.sooner.notify_one();
        }
        sought
    }

    /// Waits until the next fetch is due.
    pub(super) async fn wait(&self) {
        loop {
            let due = self.schedule.lock().due();
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Fetches the set. What is in force stays so if that fails.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn fetch(&self, fetch: &dyn Fetch) -> Result<Fetched, FetchError> {
        self.schedule.lock().begin(Instant::now());
        let fetched = fetch.fetch(&self.place).await;
        let (now, jitter) = (Instant::now(), rand::random());
        let set = fetched.inspect_err(|_| self.schedule.lock().fail(now, jitter))?;
        let kids = set.keys.iter().filter_map(|key| key.kid.as_deref());
        let kids: Vec<u64> = kids.map(|kid| self.hasher.hash_one(kid)).collect();
        let before = self.set.load_full();
        let fetched = match &before {
            None => Fetched::First,
            Some(before) if **before == set => Fetched::Same,
            Some(_) => Fetched::Changed,
        };
        if fetched != Fetched::Same {
            self.set.store(Some(Arc::new(set)));
        }
        // After the set is there: a key that it has is not said to be absent.
        let mut schedule = self.schedule.lock();
        schedule.succeed(now, jitter, |kid| kids.contains(&kid));
        Ok(fetched)
    }

    /// Fetches it now, for a command: how many keys it has, and how many that cannot be used.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) async fn look(&self, fetch: &dyn Fetch) -> Result<(usize, usize), String> {
        self.fetch(fetch).await.map_err(|error| error.to_string())?;
        Ok(self
            .set()
            .map_or((0, 0), |set| (set.keys.len(), set.passed_over)))
    }

    /// The name of the issuer, for people.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The host, for people.
    pub(crate) fn host(&self) -> &str {
        self.place.host()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("issuer", &self.issuer)
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// The sources of a process. One lives as long as credentials name it, so that a set outlives every
/// reading of the settings.
#[derive(Debug)]
pub(crate) struct Sources {
    pace: Pace,
    /// Whether key sets may come from another machine without TLS.
    pub(in crate::auth) http: bool,
    known: Mutex<HashMap<Place, Weak<Source>>>,
}

impl Sources {
    /// None yet.
    pub(crate) fn new(pace: Pace, http: bool) -> Self {
        Self {
            pace,
            http,
            known: Mutex::default(),
        }
    }

    /// For who fetches nothing.
    pub(in crate::auth) fn unfollowed() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        let pace = Pace {
            refresh: DAY,
            interval: DAY,
        };
        Self::new(pace, false)
    }

    /// The one of this place, which `issuer` names.
    pub(in crate::auth) fn of(&self, place: Place, issuer: &Arc<str>) -> Arc<Source> {
        let mut known = self.known.lock();
        known.retain(|_, source| source.strong_count() > 0);
        if let Some(source) = known.get(&place).and_then(Weak::upgrade) {
            return source;
        }
        let source = Arc::new(Source::new(issuer.clone(), place.clone(), self.pace));
        known.insert(place, Arc::downgrade(&source));
        source
    }
}
