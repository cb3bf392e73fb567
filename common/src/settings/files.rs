//! The files that a configuration names: the operator's own, and those that hold secrets.

use std::path::Path;

use super::auth::ApiKeySettings;
use super::error::{Origin, SettingsError};
use super::read::{self, settings};
use super::tree::{self, Node};
use super::{IssuerSettings, Settings};
use crate::auth::Secret;

settings! {
    /// What `auth.api_keys_file` holds.
    struct ApiKeysFile {
        /// The keys.
        api_keys: Vec<ApiKeySettings>,
    }
}

/// Reads and parses a TOML file.
pub(super) fn read_toml(path: &Path) -> Result<Node, SettingsError> {
    let text = read_text("configuration file", path)?;
    tree::parse(&text, Some(path))
}

/// Puts what the named files hold where it is used.
pub(super) fn read_secrets(settings: &mut Settings, errors: &mut Vec<SettingsError>) {
    if let Some(path) = &settings.backend.url_file {
        match read_text("backend.url_file", path) {
            Ok(url) => settings.backend.url = Secret::new(url.trim().to_owned()),
            Err(error) => errors.push(error),
        }
    }
    for (index, issuer) in settings.auth.issuers.iter_mut().enumerate() {
        read_issuer(issuer, &format!("auth.issuers.{index}"), errors);
    }
    if let Some(path) = settings.auth.api_keys_file.clone() {
        match read_toml(&path) {
            Ok(root) => {
                let file = read::root::<ApiKeysFile>(&root, errors);
                settings
                    .auth
                    .api_keys
                    .extend(file.into_iter().flat_map(|file| file.api_keys));
            }
            Err(error) => errors.push(error),
        }
    }
}

/// Fills `secret` and `public_key` from their files; exactly one source of a key is allowed.
fn read_issuer(issuer: &mut IssuerSettings, path: &str, errors: &mut Vec<SettingsError>) {
    let given = [
        issuer.secret.is_some(),
        issuer.secret_file.is_some(),
        issuer.public_key.is_some(),
        issuer.public_key_file.is_some(),
    ];
    let given = given.into_iter().filter(|given| *given).count();
    if given != 1 {
        errors.push(SettingsError::new(
            path,
            format!("{given} keys are given"),
            "set exactly one of `secret`, `secret_file`, `public_key`, `public_key_file`",
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
}

fn read_text(setting: &str, path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|error| SettingsError {
        path: setting.to_owned(),
        problem: format!("cannot be read: {error}"),
        remedy: "name a readable file, or leave the setting out".to_owned(),
        origin: Origin::File {
            path: path.to_owned(),
            line: 0,
        },
    })
}
