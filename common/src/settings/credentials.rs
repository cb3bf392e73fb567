//! Who may connect and who may send: what `[auth]` says and what stands in `auth.dir`, put together.
//!
//! Each file of the folder counts as a whole. One that is not in order is left out, and what it held when
//! it last was stays in force: a slip in one file revokes nothing, and takes nothing else down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::auth::{AuthSettings, IssuerSettings};
use super::error::{SettingsError, SettingsErrors};
use super::folder::{Part, Reading, Tables};
use crate::auth::jwks::{OverHttp, Pace, Source, Sources};
use crate::auth::{ApiKeys, Issuers, TokenTimes, Verifier};

/// Everything that credentials are judged by, as it stood when it was read.
pub struct Credentials {
    /// Judges the tokens of clients.
    pub verifier: Verifier,
    /// Judges the tokens of services.
    pub services: Verifier,
    /// Judges the keys of services.
    pub api_keys: ApiKeys,
}

/// A file that is not in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    /// The file, or the folder; none for the configuration itself.
    pub file: Option<PathBuf>,
    /// All that is wrong with it.
    pub errors: Vec<SettingsError>,
    /// Whether what it held before stays in force.
    pub kept: bool,
}

/// What is in force, place by place.
pub(crate) struct InForce {
    own: Tables,
    files: BTreeMap<PathBuf, Part>,
    times: TokenTimes,
    sources: Sources,
}

/// The tables of the configuration itself, with the secrets that their files hold.
#[derive(PartialEq)]
pub(crate) struct Own(Tables);

impl Own {
    /// Reads those files anew.
    pub(crate) fn of(auth: &AuthSettings) -> Self {
        Self(Tables::own(auth))
    }
}

impl AuthSettings {
    /// Reads the folder and every file that holds a key.
    ///
    /// # Errors
    /// Every file and field that is not in order; then nothing of it holds.
    pub fn credentials(&self) -> Result<Credentials, SettingsErrors> {
        let (credentials, faults) = self.usable();
        match faults.is_empty() {
            true => Ok(credentials),
            false => Err(all_errors(faults)),
        }
    }

    /// As [`credentials`](Self::credentials), with the keys that issuers publish. An issuer whose keys
    /// cannot be fetched has none.
    ///
    /// # Errors
    /// As there.
    pub async fn fetched_credentials(&self) -> Result<Credentials, SettingsErrors> {
        let (mut in_force, reading) = (InForce::nothing(self), Reading::of(self));
        let (credentials, faults) = in_force.take(&reading);
        if !faults.is_empty() {
            return Err(all_errors(faults));
        }
        let fetch = self.fetch();
        for source in credentials.all_sources() {
            if let Err(error) = source.look(&fetch).await {
                let (issuer, host) = (source.issuer(), source.host());
                tracing::warn!(issuer, host, "the issuer's keys cannot be fetched: {error}");
            }
        }
        Ok(in_force.take(&reading).0)
    }

    /// What fetches key sets, as these settings say.
    pub(crate) fn fetch(&self) -> OverHttp {
        OverHttp {
            timeout: self.jwks_timeout,
        }
    }

    /// What is in order, and what is not.
    pub(crate) fn usable(&self) -> (Credentials, Vec<Fault>) {
        InForce::nothing(self).take(&Reading::of(self))
    }

    /// Appends what is wrong with the tables of the configuration itself.
    pub(super) fn check_own(&self, errors: &mut Vec<SettingsError>) {
        let (_, faults) = InForce::nothing(self).take(&Reading::default());
        errors.extend(all_errors(faults).0);
    }
}

/// The errors of all files in one list.
pub(crate) fn all_errors(faults: Vec<Fault>) -> SettingsErrors {
    SettingsErrors(faults.into_iter().flat_map(|fault| fault.errors).collect())
}

impl InForce {
    /// What the configuration says itself; nothing of the folder yet.
    pub(crate) fn nothing(auth: &AuthSettings) -> Self {
        Self {
            own: Tables::own(auth),
            files: BTreeMap::new(),
            times: TokenTimes {
                leeway: auth.leeway,
                max_lifetime: auth.max_lifetime,
            },
            sources: Sources::new(
                Pace {
                    refresh: auth.jwks_refresh,
                    interval: auth.jwks_interval,
                },
                auth.jwks_http,
            ),
        }
    }

    /// Takes over what the configuration says now. Of the key sets that issuers publish it says nothing new.
    pub(crate) fn renew(&mut self, own: Own, auth: &AuthSettings) {
        self.own = own.0;
        self.times = TokenTimes {
            leeway: auth.leeway,
            max_lifetime: auth.max_lifetime,
        };
    }

    /// Puts in force what was read, as far as it is in order; answers with what that comes to, and
    /// what is not.
    pub(crate) fn take(&mut self, reading: &Reading) -> (Credentials, Vec<Fault>) {
        let mut credentials = Credentials::none(self.times);
        let mut faults = Vec::new();
        if let Err(errors) = credentials.add(&self.own, &self.sources) {
            faults.push(Fault::new(None, errors));
        }
        let before = std::mem::take(&mut self.files);
        for (path, tables) in &reading.files {
            match credentials.add(tables, &self.sources) {
                Ok(()) => drop(self.files.insert(path.clone(), tables.part.clone())),
                Err(errors) => faults.push(Fault::new(Some(path), errors)),
            }
        }
        // After all that is new: a key that has moved to another file is that file's.
        for fault in &mut faults {
            let Some((path, part)) = fault.file.as_ref().and_then(|it| before.get_key_value(it))
            else {
                continue;
            };
            credentials.keep(part, &self.sources);
            self.files.insert(path.clone(), part.clone());
            fault.kept = true;
        }
        if let Some((folder, error)) = &reading.unreadable {
            before
                .values()
                .for_each(|part| credentials.keep(part, &self.sources));
            faults.push(Fault {
                kept: !before.is_empty(),
                ..Fault::new(Some(folder), vec![error.clone()])
            });
            self.files = before;
        }
        (credentials, faults)
    }
}

impl Fault {
    fn new(file: Option<&PathBuf>, errors: Vec<SettingsError>) -> Self {
        Self {
            file: file.cloned(),
            errors,
            kept: false,
        }
    }
}

impl Credentials {
    /// Those that nobody has.
    fn none(times: TokenTimes) -> Self {
        Self {
            verifier: Verifier::none(times),
            services: Verifier::none(times),
            api_keys: ApiKeys::default(),
        }
    }

    /// What they hold is called, as far as `others` do not hold it, or hold it otherwise.
    pub(crate) fn beyond(&self, others: &Self) -> Vec<String> {
        let clients = self.verifier.beyond(&others.verifier);
        let services = self.services.beyond(&others.services);
        let issuers = clients.chain(services);
        issuers
            .chain(self.api_keys.beyond(&others.api_keys))
            .collect()
    }

    /// Where the keys come from that issuers publish, each place once.
    pub(crate) fn all_sources(&self) -> Vec<Arc<Source>> {
        each_once(self.verifier.sources().chain(self.services.sources()))
    }

    /// Adds those of one place, if all of it is in order.
    fn add(&mut self, tables: &Tables, sources: &Sources) -> Result<(), Vec<SettingsError>> {
        let Tables { part, errors } = tables;
        let issuers = Issuers::parse(&part.issuers, sources)
            .map_err(|mut errors| {
                errors.retain(|error| !part.is_unread(error));
                errors
            })
            .and_then(|issuers| self.check_audiences(&part.issuers).map(|()| issuers));
        let api_keys = self.api_keys.parse(&part.api_keys);
        let (issuers, api_keys) = match (issuers, api_keys) {
            (Ok(issuers), Ok(api_keys)) if errors.is_empty() => (issuers, api_keys),
            (issuers, api_keys) => {
                let judged = [issuers.err(), api_keys.err()];
                let judged = judged.into_iter().flatten().flatten();
                let located = judged.map(|error| part.locate(error));
                return Err(errors.iter().cloned().chain(located).collect());
            }
        };
        let (clients, services) = issuers.apart();
        self.verifier.add(clients);
        self.services.add(services);
        self.api_keys.add(api_keys);
        Ok(())
    }

    /// An issuer often signs for clients and for services with the same keys: what tells their tokens
    /// apart is whom they are meant for. So no audience is both.
    fn check_audiences(&self, issuers: &[IssuerSettings]) -> Result<(), Vec<SettingsError>> {
        let is_taken = |issuer: &IssuerSettings| {
            let ours = issuer.audience.as_deref()?;
            let others = match issuer.scopes {
                Some(_) => &self.verifier,
                None => &self.services,
            };
            let beside = |other: &IssuerSettings| {
                other.audience.as_deref() == Some(ours)
                    && other.scopes.is_some() != issuer.scopes.is_some()
            };
            let taken = others.audiences().any(|it| it == ours) || issuers.iter().any(beside);
            taken.then_some(())
        };
        let taken = (0..).zip(issuers).filter(|(_, it)| is_taken(it).is_some());
        let errors: Vec<_> = taken.map(|(index, _)| both_audiences(index)).collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }

    /// Adds what was in order before, apart from what is here already.
    fn keep(&mut self, part: &Part, sources: &Sources) {
        let mut part = part.clone();
        part.api_keys.retain(|key| !self.api_keys.knows(key));
        let is_apart = |it: &IssuerSettings| self.check_audiences(std::slice::from_ref(it)).is_ok();
        part.issuers.retain(is_apart);
        let tables = Tables {
            part,
            errors: Vec::new(),
        };
        // It was in order by itself, and now nothing of it stands elsewhere.
        drop(self.add(&tables, sources));
    }
}

fn both_audiences(index: usize) -> SettingsError {
    SettingsError::new(
        format!("auth.issuers.{index}.audience"),
        "is that of clients and of services (`scopes`), so that one could pass for the other",
        "have the issuer give them tokens with another `aud`",
    )
}

fn each_once<'a>(sources: impl Iterator<Item = &'a Arc<Source>>) -> Vec<Arc<Source>> {
    let mut all: Vec<Arc<Source>> = Vec::new();
    for source in sources {
        if !all.iter().any(|it| Arc::ptr_eq(it, source)) {
            all.push(source.clone());
        }
    }
    all
}
