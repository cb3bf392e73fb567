//! One look at everything that is read again: the configuration file, `auth.dir`, and the files that they name.

use std::{collections::BTreeSet, path::PathBuf};

use crate::settings::{AuthSettings, Own, Reading, Settings, SettingsErrors, Stamp, process_env};

/// Where to look.
#[derive(Clone)]
pub(super) struct Place {
    /// The configuration file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// What holds where that is not in order.
    pub(super) auth: AuthSettings,
}

/// What was read, and what it looked like from outside just before.
#[derive(PartialEq)]
pub(super) struct Seen {
    stamp: Stamp,
    looked: Looked,
}

#[derive(PartialEq)]
struct Looked {
    /// What the file says, with the environment beside it; none without a file.
    configuration: Option<Result<Box<Settings>, SettingsErrors>>,
    /// The tables of the configuration itself; none where it is not in order.
    own: Option<Own>,
    auth: AuthSettings,
    /// The files that are part of the configuration, as far as they are known.
    files: BTreeSet<PathBuf>,
    reading: Reading,
}

impl Place {
    /// Whether there is anything to look at.
    pub(super) fn is_anywhere(&self) -> bool {
        self.file.is_some() || self.auth.dir.is_some()
    }
}

impl Seen {
    /// Takes as long as the disk does.
    pub(super) fn of(place: &Place) -> Self {
        // Which files there are is known only once they are read; what is written after the stamp was
        // taken shows at the next one.
        let stamp = Looked::at(place).stamp();
        Self {
            stamp,
            looked: Looked::at(place),
        }
    }

    /// Whether all of it looks as it did, from outside.
    pub(super) fn is_untouched(&self) -> bool {
        self.looked.stamp() == self.stamp
    }

    pub(super) fn configuration(&self) -> Option<Result<&Settings, &SettingsErrors>> {
        let configuration = self.looked.configuration.as_ref()?;
        Some(configuration.as_deref())
    }

    /// The tables of the configuration itself, once.
    pub(super) fn take_own(&mut self) -> Option<Own> {
        self.looked.own.take()
    }

    pub(super) fn auth(&self) -> &AuthSettings {
        &self.looked.auth
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.looked.reading
    }
}

impl Looked {
    fn at(place: &Place) -> Self {
        let file = place.file.as_deref();
        let configuration =
            file.map(|file| Settings::load(Some(file), process_env()).map(Box::new));
        let settings = configuration.as_ref().and_then(|it| it.as_ref().ok());
        let auth = settings.map_or(&place.auth, |settings| &settings.auth);
        Self {
            own: settings.map(|settings| Own::of(&settings.auth)),
            files: match settings {
                Some(settings) => settings.files(),
                None => place.file.iter().cloned().collect(),
            },
            reading: Reading::of(auth),
            auth: auth.clone(),
            configuration,
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp::of(&self.files, &self.auth, &self.reading)
    }
}
