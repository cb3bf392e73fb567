//! What `auth.dir` holds: files with issuers and API keys, each read by itself, and whether any of them
//! was touched since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::auth::{ApiKeySettings, AuthSettings, IssuerSettings};
use super::error::{Origin, SettingsError};
use super::files::{read_issuer, read_toml};
use super::read::settings;
use super::rest;
use super::tree::{self, Node};

/// More files than this are not what `auth.dir` is for.
const MOST_FILES: usize = 1_000;

/// How the paths of tables begin in the errors of those who judge them; a position follows.
const ISSUERS: &str = "auth.issuers.";
const API_KEYS: &str = "auth.api_keys.";

settings! {
    /// What a file in `auth.dir` holds.
    struct CredentialsFile {
        /// As `[[auth.issuers]]`.
        issuers: Vec<IssuerSettings>,
        /// As `[[auth.api_keys]]`.
        api_keys: Vec<ApiKeySettings>,
    }
}

/// The tables of one place, with the secrets that their files hold, and where each stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Part {
    pub(super) issuers: Vec<IssuerSettings>,
    pub(super) api_keys: Vec<ApiKeySettings>,
    issuer_places: Vec<Place>,
    api_key_places: Vec<Place>,
}

/// Where a table stands: its path, as an error tells it, and its origin.
type Place = (String, Origin);

/// What can be read of one place, and what cannot.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tables {
    pub(super) part: Part,
    pub(super) errors: Vec<SettingsError>,
}

/// One look at the whole folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    /// Of each file, in the order of their names.
    pub(super) files: BTreeMap<PathBuf, Tables>,
    /// The folder, and why it could not be read.
    pub(super) unreadable: Option<(PathBuf, SettingsError)>,
    /// The files with secrets and public keys that those name.
    named: BTreeSet<PathBuf>,
}

/// What shows that a file was replaced or written to: device, inode, size, and the times of its last
/// write and change. None: it cannot be seen.
type Mark = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// What the folder, and files beside it, look like from outside, through all links.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stamp(BTreeMap<PathBuf, Mark>);

impl Reading {
    /// Reads everything anew; nothing is there without a folder.
    pub(crate) fn of(auth: &AuthSettings) -> Self {
        let mut reading = Self::default();
        let Some(folder) = &auth.dir else {
            return reading;
        };
        match entries(folder) {
            Ok(paths) => paths.into_iter().for_each(|path| reading.read(path)),
            Err(error) => reading.unreadable = Some((folder.clone(), error)),
        }
        reading
    }

    fn read(&mut self, path: PathBuf) {
        let tables = match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => return,
            Ok(found) if found.is_file() => Tables::read(&path, &mut self.named),
            // A pipe would be waited for.
            Ok(_) => Tables::broken(problem(&path, "is not a file")),
            // One that leads nowhere is a mistake.
            Err(error) => Tables::broken(unreadable(&path, &error)),
        };
        self.files.insert(path, tables);
    }
}

impl Stamp {
    /// Of these files and of the folder as they are now, and of the files that it named when it was read.
    pub(crate) fn of(files: &BTreeSet<PathBuf>, auth: &AuthSettings, reading: &Reading) -> Self {
        let listed = auth.dir.as_deref().map(entries);
        let listed = listed.and_then(Result::ok).unwrap_or_default();
        let all = files
            .iter()
            .chain(&listed)
            .chain(&reading.named)
            .chain(&auth.dir);
        let mark = |path: &Path| std::fs::metadata(path).ok().map(|it| mark(&it));
        Self(all.map(|path| (path.clone(), mark(path))).collect())
    }
}

fn mark(of: &Metadata) -> (u64, u64, u64, (i64, i64), (i64, i64)) {
    let written = (of.mtime(), of.mtime_nsec());
    (
        of.dev(),
        of.ino(),
        of.size(),
        written,
        (of.ctime(), of.ctime_nsec()),
    )
}

impl Tables {
    /// Those of the configuration itself.
    pub(super) fn own(auth: &AuthSettings) -> Self {
        let places = |start: &str, count: usize| {
            let place = |index| (format!("{start}{index}"), Origin::Default);
            (0..count).map(place).collect()
        };
        let part = Part {
            issuer_places: places(ISSUERS, auth.issuers.len()),
            api_key_places: places(API_KEYS, auth.api_keys.len()),
            issuers: auth.issuers.clone(),
            api_keys: auth.api_keys.clone(),
        };
        let mut tables = Self {
            part,
            errors: Vec::new(),
        };
        tables.read_secrets();
        tables
    }

    fn broken(error: SettingsError) -> Self {
        Self {
            errors: vec![error],
            ..Self::default()
        }
    }

    /// Those of a file; adds the files that it names to `named`.
    fn read(file: &Path, named: &mut BTreeSet<PathBuf>) -> Self {
        let name = file.file_name().unwrap_or_default().display();
        let mut tables = Self::default();
        let Some(root) = read_toml("auth.dir", file, &mut tables.errors) else {
            return tables;
        };
        let sound = tables.errors.is_empty();
        let nothing = Node::table(Origin::Default);
        let mut broken = Vec::new();
        let read = rest::read::<CredentialsFile>(&root, &nothing, sound, &mut broken);
        let in_file = broken.into_iter().map(|error| SettingsError {
            path: format!("{name}: {}", error.path),
            ..error
        });
        tables.errors.extend(in_file);
        let Some((CredentialsFile { issuers, api_keys }, unread)) = read else {
            return tables;
        };
        let places = |key: &str, count: usize| {
            let place = |index| {
                let path = format!("{key}.{}", unread.position(key, index));
                let origin = tree::origin(&root, &path);
                (format!("{name}: {path}"), origin)
            };
            (0..count).map(place).collect()
        };
        tables.part = Part {
            issuer_places: places("issuers", issuers.len()),
            api_key_places: places("api_keys", api_keys.len()),
            issuers,
            api_keys,
        };
        for issuer in &tables.part.issuers {
            let files = [&issuer.secret_file, &issuer.public_key_file];
            named.extend(files.into_iter().flatten().cloned());
        }
        tables.read_secrets();
        tables
    }

    fn read_secrets(&mut self) {
        let mut broken = Vec::new();
        for (index, issuer) in self.part.issuers.iter_mut().enumerate() {
            read_issuer(issuer, &format!("{ISSUERS}{index}"), &mut broken);
        }
        let located = broken.into_iter().map(|error| self.part.locate(error));
        self.errors.extend(located);
    }
}

impl Part {
    /// Whether an error is about an issuer whose key could not be read, which has been reported.
    pub(super) fn is_unread(&self, error: &SettingsError) -> bool {
        position(&error.path, ISSUERS)
            .and_then(|(index, _)| self.issuers.get(index))
            .is_some_and(|issuer| {
                issuer.secret.is_none() && issuer.public_key.is_none() && issuer.jwks_url.is_none()
            })
    }

    /// An error about a position in these lists becomes one about its place.
    pub(super) fn locate(&self, mut error: SettingsError) -> SettingsError {
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

/// What in a folder is to be read. A mounted Secret has hidden entries beside its keys (`..data` and the
/// folder it points to): hidden is never read.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|it| unreadable(folder, &it))? {
        let path = entry.map_err(|it| unreadable(folder, &it))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") || path.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        if paths.len() == MOST_FILES {
            return Err(problem(
                folder,
                "holds more than 1000 files that end in .toml",
            ));
        }
        paths.push(path);
    }
    Ok(paths)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SettingsError {
    problem(path, &format!("cannot be read: {error}"))
}

fn problem(path: &Path, problem: &str) -> SettingsError {
    SettingsError {
        path: "auth.dir".to_owned(),
        problem: problem.to_owned(),
        remedy:
            "name a folder that this user may read, with readable files, or leave the setting out"
                .to_owned(),
        origin: Origin::File {
            path: path.to_owned(),
            line: 0,
        },
    }
}
