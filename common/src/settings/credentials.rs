//! Who may connect and who may send: what `[auth]` says and what stands in `auth.dir`, read together.

use std::path::{Path, PathBuf};

use super::auth::{ApiKeySettings, AuthSettings, IssuerSettings};
use super::error::{Origin, SettingsError, SettingsErrors};
use super::files::{read_issuer, read_toml};
use super::read::settings;
use super::rest;
use super::tree::{self, Node};
use crate::auth::{ApiKeys, Verifier};

/// Everything that credentials are judged by, as it stood when it was read.
pub struct Credentials {
    /// Judges the tokens of clients.
    pub verifier: Verifier,
    /// Judges the keys of services.
    pub api_keys: ApiKeys,
}

settings! {
    /// What a file in `auth.dir` holds.
    struct CredentialsFile {
        /// As `[[auth.issuers]]`.
        issuers: Vec<IssuerSettings>,
        /// As `[[auth.api_keys]]`.
        api_keys: Vec<ApiKeySettings>,
    }
}

impl AuthSettings {
    /// Reads the folder and every file that holds a key. Each call reads anew: that is a reload.
    ///
    /// # Errors
    /// Every file and field that is not in order; then nothing of it holds.
    pub fn credentials(&self) -> Result<Credentials, SettingsErrors> {
        let mut errors = Vec::new();
        match self.read_credentials(&mut errors) {
            Some(credentials) if errors.is_empty() => Ok(credentials),
            _ => Err(SettingsErrors(errors)),
        }
    }

    pub(super) fn read_credentials(&self, errors: &mut Vec<SettingsError>) -> Option<Credentials> {
        let mut tables = Tables::of(self);
        if let Some(folder) = &self.dir {
            match toml_files(folder) {
                Ok(files) => files.iter().for_each(|file| tables.read(file, errors)),
                Err(error) => errors.push(error),
            }
        }
        let mut broken = Vec::new();
        for (index, issuer) in tables.issuers.iter_mut().enumerate() {
            read_issuer(issuer, &format!("{ISSUERS}{index}"), &mut broken);
        }
        let verifier = Verifier::new(&tables.issuers, self.leeway)
            .map_err(|errors| broken.extend(errors.into_iter().filter(|it| !tables.is_unread(it))));
        let api_keys = ApiKeys::new(&tables.api_keys).map_err(|errors| broken.extend(errors));
        errors.extend(broken.into_iter().map(|error| tables.locate(error)));
        Some(Credentials {
            verifier: verifier.ok()?,
            api_keys: api_keys.ok()?,
        })
    }
}

/// How the paths of tables begin in the errors of those who judge them; a position follows.
const ISSUERS: &str = "auth.issuers.";
const API_KEYS: &str = "auth.api_keys.";

/// The tables of all places in one list each, and where each stands.
struct Tables {
    issuers: Vec<IssuerSettings>,
    api_keys: Vec<ApiKeySettings>,
    issuer_places: Vec<Place>,
    api_key_places: Vec<Place>,
}

/// Where a table stands: its path, as an error tells it, and its origin.
type Place = (String, Origin);

impl Tables {
    /// Those of the configuration itself.
    fn of(auth: &AuthSettings) -> Self {
        let places = |start: &str, count: usize| {
            let place = |index| (format!("{start}{index}"), Origin::Default);
            (0..count).map(place).collect()
        };
        Self {
            issuer_places: places(ISSUERS, auth.issuers.len()),
            api_key_places: places(API_KEYS, auth.api_keys.len()),
            issuers: auth.issuers.clone(),
            api_keys: auth.api_keys.clone(),
        }
    }

    /// Adds those of a file.
    fn read(&mut self, file: &Path, errors: &mut Vec<SettingsError>) {
        let name = file.file_name().unwrap_or_default().display();
        let mut broken = Vec::new();
        let told = errors.len();
        let Some(root) = read_toml("auth.dir", file, errors) else {
            return;
        };
        let sound = errors.len() == told;
        let nothing = Node::table(Origin::Default);
        let tables = rest::read::<CredentialsFile>(&root, &nothing, sound, &mut broken);
        errors.extend(broken.into_iter().map(|error| SettingsError {
            path: format!("{name}: {}", error.path),
            ..error
        }));
        let Some((CredentialsFile { issuers, api_keys }, unread)) = tables else {
            return;
        };
        let places = |key: &str, count: usize| {
            let place = |index| {
                let path = format!("{key}.{}", unread.position(key, index));
                let origin = tree::origin(&root, &path);
                (format!("{name}: {path}"), origin)
            };
            (0..count).map(place).collect::<Vec<_>>()
        };
        self.issuer_places.extend(places("issuers", issuers.len()));
        self.api_key_places
            .extend(places("api_keys", api_keys.len()));
        self.issuers.extend(issuers);
        self.api_keys.extend(api_keys);
    }

    /// Whether an error is about an issuer whose key could not be read, which has been reported.
    fn is_unread(&self, error: &SettingsError) -> bool {
        position(&error.path, ISSUERS)
            .and_then(|(index, _)| self.issuers.get(index))
            .is_some_and(|issuer| issuer.secret.is_none() && issuer.public_key.is_none())
    }

    /// An error about a position in these lists becomes one about its place.
    fn locate(&self, mut error: SettingsError) -> SettingsError {
        for (start, places) in [
            (ISSUERS, &self.issuer_places),
            (API_KEYS, &self.api_key_places),
        ] {
            if let Some((index, rest)) = position(&error.path, start)
                && let Some((place, origin)) = places.get(index)
            {
                error.path = format!("{place}{rest}");
                if error.origin == Origin::Default {
                    error.origin = origin.clone();
                }
                break;
            }
        }
        error
    }
}

/// `auth.issuers.12.secret` after `auth.issuers.` is 12 and `.secret`.
fn position<'a>(path: &'a str, start: &str) -> Option<(usize, &'a str)> {
    let rest = path.strip_prefix(start)?;
    let (index, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    Some((index.parse().ok()?, rest))
}

/// The files of a folder that are read, in the order of their names. A mounted Secret has hidden
/// entries beside its keys (`..data` and the folder it points to): hidden is never read.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let error = |error: std::io::Error, path: &Path| SettingsError {
        path: "auth.dir".to_owned(),
        problem: format!("cannot be read: {error}"),
        remedy: "name a folder that this user may read, or leave the setting out".to_owned(),
        origin: Origin::File {
            path: path.to_owned(),
            line: 0,
        },
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|it| error(it, folder))? {
        let path = entry.map_err(|it| error(it, folder))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") || path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        // Through a link, as those of a mounted Secret are; one that leads nowhere is a mistake.
        if !std::fs::metadata(&path)
            .map_err(|it| error(it, &path))?
            .is_dir()
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
