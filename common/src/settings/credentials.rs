//! Who may connect and who may send: what `[auth]` says and what stands in `auth.dir`, put together.
//!
//! Each file of the folder counts as a whole. One that is not in order is left out, and what it held when
//! it last was stays in force: a slip in one file revokes nothing, and takes nothing else down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::auth::AuthSettings;
use super::error::{SettingsError, SettingsErrors};
use super::folder::{Part, Reading, Tables};
use crate::auth::{ApiKeys, TokenTimes, Verifier};

/// Everything that credentials are judged by, as it stood when it was read.
pub struct Credentials {
    /// Judges the tokens of clients.
    pub verifier: Verifier,
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
    /// What the configuration says itself, which is read once; nothing of the folder yet.
    pub(crate) fn nothing(auth: &AuthSettings) -> Self {
        Self {
            own: Tables::own(auth),
            files: BTreeMap::new(),
            times: TokenTimes {
                leeway: auth.leeway,
                max_lifetime: auth.max_lifetime,
            },
        }
    }

    /// Puts in force what was read, as far as it is in order; answers with what that comes to, and
    /// what is not.
    pub(crate) fn take(&mut self, reading: &Reading) -> (Credentials, Vec<Fault>) {
        let mut credentials = Credentials::none(self.times);
        let mut faults = Vec::new();
        if let Err(errors) = credentials.add(&self.own) {
            faults.push(Fault::new(None, errors));
        }
        let before = std::mem::take(&mut self.files);
        for (path, tables) in &reading.files {
            match credentials.add(tables) {
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
            credentials.keep(part);
            self.files.insert(path.clone(), part.clone());
            fault.kept = true;
        }
        if let Some((folder, error)) = &reading.unreadable {
            before.values().for_each(|part| credentials.keep(part));
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
            api_keys: ApiKeys::default(),
        }
    }

    /// What they hold is called, as far as `others` do not hold it, or hold it otherwise.
    pub(crate) fn beyond(&self, others: &Self) -> Vec<String> {
        let issuers = self.verifier.beyond(&others.verifier);
        issuers
            .chain(self.api_keys.beyond(&others.api_keys))
            .collect()
    }

    /// Adds those of one place, if all of it is in order.
    fn add(&mut self, tables: &Tables) -> Result<(), Vec<SettingsError>> {
        let Tables { part, errors } = tables;
        let keys = Verifier::parse(&part.issuers).map_err(|mut errors| {
            errors.retain(|error| !part.is_unread(error));
            errors
        });
        let api_keys = self.api_keys.parse(&part.api_keys);
        let (keys, api_keys) = match (keys, api_keys) {
            (Ok(keys), Ok(api_keys)) if errors.is_empty() => (keys, api_keys),
            (keys, api_keys) => {
                let judged = [keys.err(), api_keys.err()].into_iter().flatten().flatten();
                let located = judged.map(|error| part.locate(error));
                return Err(errors.iter().cloned().chain(located).collect());
            }
        };
        self.verifier.add(keys);
        self.api_keys.add(api_keys);
        Ok(())
    }

    /// Adds what was in order before, apart from keys that are here already.
    fn keep(&mut self, part: &Part) {
        let mut part = part.clone();
        part.api_keys.retain(|key| !self.api_keys.knows(key));
        let tables = Tables {
            part,
            errors: Vec::new(),
        };
        // It was in order by itself, and now nothing of it stands elsewhere.
        drop(self.add(&tables));
    }
}
