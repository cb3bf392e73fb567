//! The files that a configuration names: the operator's own, and those that hold secrets.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{Origin, SettingsError};
use super::tree::{self, Node};
use super::{IssuerSettings, Settings};
use crate::auth::Secret;
use crate::text::decoded;
use crate::tls::{Tls, client_config};

/// More than any of these files needs, and as much as a Secret of Kubernetes holds.
const MOST_BYTES: u64 = 1 << 20;

/// Reads and parses a TOML file that `setting` names, as far as it is one.
pub(super) fn read_toml(
    setting: &str,
    path: &Path,
    errors: &mut Vec<SettingsError>,
) -> Option<Node> {
    match read_text(setting, path) {
        Ok(text) => Some(tree::parse(&text, Some(path), errors)),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

/// Puts what `backend.url_file` holds where it is used.
pub(super) fn read_url(settings: &mut Settings, errors: &mut Vec<SettingsError>) {
    if let Some(path) = &settings.backend.url_file {
        match read_text("backend.url_file", path) {
            Ok(url) => settings.backend.url = Secret::new(url.trim().to_owned()),
            Err(error) => errors.push(error),
        }
    }
}

/// Fills `secret` and `public_key` from their files; exactly one source of a key is allowed.
pub(super) fn read_issuer(
    issuer: &mut IssuerSettings,
    path: &str,
    errors: &mut Vec<SettingsError>,
) {
    let given = [
        issuer.secret.is_some(),
        issuer.secret_file.is_some(),
        issuer.public_key.is_some(),
        issuer.public_key_file.is_some(),
        issuer.jwks_url.is_some(),
    ];
    let given = given.into_iter().filter(|given| *given).count();
    if given != 1 {
        errors.push(SettingsError::new(
            path,
            format!("{given} keys are given"),
            "set exactly one of `secret`, `secret_file`, `public_key`, `public_key_file`, `jwks_url`",
        ));
        return;
    }
    if let Some(file) = &issuer.secret_file {
        match read_text(&format!("{path}.secret_file"), file) {
            // Editors and `echo` end a file with a line break that nobody means.
            Ok(text) => {
                issuer.secret = Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some(file) = &issuer.public_key_file {
        match read_text(&format!("{path}.public_key_file"), file) {
            Ok(text) => issuer.public_key = Some(text),
            Err(error) => errors.push(error),
        }
    }
    // Read anew for each fetch; here only to see that it is in order.
    if let Some(file) = &issuer.jwks_ca_file {
        let tls = Tls {
            ca_file: Some(file.clone()),
            identity: None,
        };
        errors.extend(client_config(&tls).err().map(|error| {
            let remedy =
                "name a file with the host's authority in PEM, or leave it out for the public ones";
            SettingsError::new(format!("{path}.jwks_ca_file"), error.problem, remedy)
        }));
    }
}

fn read_text(setting: &str, path: &Path) -> Result<String, SettingsError> {
    let wrong = |problem: String, remedy: &str| SettingsError {
        path: setting.to_owned(),
        problem,
        remedy: remedy.to_owned(),
        origin: Origin::File {
            path: path.to_owned(),
            line: 0,
        },
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let length = read.map_err(|error| {
        let remedy = "name a readable file, or leave the setting out";
        wrong(format!("cannot be read: {error}"), remedy)
    })?;
    if length as u64 > MOST_BYTES {
        return Err(wrong(
            "is larger than 1 MiB".to_owned(),
            "name the file that was meant",
        ));
    }
    decoded(&bytes)
        .map(str::to_owned)
        .map_err(|error| wrong(error.to_string(), "or name another file"))
}
