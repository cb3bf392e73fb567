//! The store that `[backend]` names: its URL, and what may stand beside it.

use std::path::PathBuf;

use super::BackendSettings;
use super::error::{SettingsError, SettingsErrors};
use crate::auth::Secret;
use crate::backend::url::{Credentials, Deployment, RedisUrl, StoreUrl};
use crate::tls::{Identity, Tls, client_config};

impl BackendSettings {
    /// Names another store, of which what is beside the URL has to be true as well.
    ///
    /// # Errors
    /// Everything that is not in order.
    pub fn name_store(&mut self, url: String) -> Result<(), SettingsErrors> {
        let mut errors = Vec::new();
        self.url = Secret::new(url);
        self.url_file = None;
        self.read_store(&mut errors);
        match errors.is_empty() {
            true => Ok(()),
            false => Err(SettingsErrors(errors)),
        }
    }

    /// Finds the store that all of this names.
    pub(super) fn read_store(&mut self, errors: &mut Vec<SettingsError>) {
        let mut found = Found {
            url_path: match self.url_file {
                Some(_) => "backend.url_file",
                None => "backend.url",
            },
            errors,
        };
        let mut store = match StoreUrl::parse(self.url.expose()) {
            Ok(store) => store,
            Err(error) => {
                found.push(found.url_path, error.problem(), &error.remedy());
                return;
            }
        };
        match &mut store {
            StoreUrl::Memory => found.nothing_beside_memory(self),
            StoreUrl::Redis(url) => {
                found.log_in(self, url);
                found.sentinel_log_in(self, url);
                found.certificates(self, url);
            }
        }
        self.store = store;
    }

    /// The settings that only a Redis takes, as far as they are given.
    fn beside(&self) -> impl Iterator<Item = &'static str> {
        let files = [
            ("backend.password_file", &self.password_file),
            (
                "backend.sentinel_password_file",
                &self.sentinel_password_file,
            ),
            ("backend.ca_file", &self.ca_file),
            ("backend.cert_file", &self.cert_file),
            ("backend.key_file", &self.key_file),
        ];
        let names = [
            ("backend.username", &self.username),
            ("backend.sentinel_username", &self.sentinel_username),
        ];
        let names = names.map(|(path, it)| (path, it.is_some()));
        let files = files.map(|(path, it)| (path, it.is_some()));
        let all = names.into_iter().chain(files);
        all.filter_map(|(path, given)| given.then_some(path))
    }
}

/// What is found wrong.
struct Found<'a> {
    /// Where the URL came from.
    url_path: &'static str,
    errors: &'a mut Vec<SettingsError>,
}

/// The two settings of a log-in.
struct LogIn<'a> {
    user: (&'static str, &'a Option<String>),
    password_file: (&'static str, &'a Option<PathBuf>),
}

impl Found<'_> {
    fn push(&mut self, path: &str, problem: impl Into<String>, remedy: &str) {
        self.errors.push(SettingsError::new(path, problem, remedy));
    }

    fn nothing_beside_memory(&mut self, settings: &BackendSettings) {
        for path in settings.beside() {
            let remedy = "leave it out, or name a Redis in backend.url";
            self.push(path, "memory:// has no use for it", remedy);
        }
    }

    fn log_in(&mut self, settings: &BackendSettings, url: &mut RedisUrl) {
        let given = LogIn {
            user: ("backend.username", &settings.username),
            password_file: ("backend.password_file", &settings.password_file),
        };
        self.merge(&given, &mut url.credentials);
    }

    fn sentinel_log_in(&mut self, settings: &BackendSettings, url: &mut RedisUrl) {
        let given = LogIn {
            user: ("backend.sentinel_username", &settings.sentinel_username),
            password_file: (
                "backend.sentinel_password_file",
                &settings.sentinel_password_file,
            ),
        };
        if matches!(url.deployment, Deployment::Sentinel { .. }) {
            return self.merge(&given, &mut url.sentinel_credentials);
        }
        for path in given.paths() {
            self.push(
                path,
                "there is no sentinel",
                "leave it out, or use a redis+sentinel:// URL",
            );
        }
    }

    /// Puts the settings where the URL has nothing.
    fn merge(&mut self, given: &LogIn<'_>, credentials: &mut Credentials) {
        if !credentials.is_empty() {
            for path in given.paths() {
                let problem = format!("{} holds a user or password as well", self.url_path);
                let remedy = format!("leave them out of {}, or leave this out", self.url_path);
                self.push(path, problem, &remedy);
            }
            return;
        }
        credentials.user.clone_from(given.user.1);
        credentials.password_file.clone_from(given.password_file.1);
        if let Err(problem) = credentials.read_password() {
            let remedy = "name a readable file that holds the password alone";
            self.push(given.password_file.0, problem, remedy);
        }
    }

    fn certificates(&mut self, settings: &BackendSettings, url: &mut RedisUrl) {
        let paths = [
            ("backend.ca_file", &settings.ca_file),
            ("backend.cert_file", &settings.cert_file),
            ("backend.key_file", &settings.key_file),
        ];
        let Some(tls) = &mut url.tls else {
            for (path, _) in paths.iter().filter(|(_, file)| file.is_some()) {
                let remedy = "write rediss… in place of redis… in backend.url, or leave it out";
                self.push(path, "the URL is one without TLS", remedy);
            }
            return;
        };
        let in_url = tls.ca_file.is_some();
        match (in_url, &settings.ca_file) {
            (_, None) => {}
            (false, Some(file)) => tls.ca_file = Some(file.clone()),
            (true, Some(_)) => {
                let problem = format!("{} names a ca_file as well", self.url_path);
                self.push("backend.ca_file", problem, "keep one of them");
            }
        }
        tls.identity = match (&settings.cert_file, &settings.key_file) {
            (Some(cert_file), Some(key_file)) => Some(Identity {
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
            }),
            (None, None) => None,
            (Some(_), None) => return self.half("backend.cert_file", "backend.key_file"),
            (None, Some(_)) => return self.half("backend.key_file", "backend.cert_file"),
        };
        self.try_certificates(tls, in_url);
    }

    fn half(&mut self, given: &str, missing: &str) {
        let problem = format!("is given without {missing}");
        self.push(given, problem, &format!("name {missing} as well"));
    }

    fn try_certificates(&mut self, tls: &Tls, ca_in_url: bool) {
        let Err(error) = client_config(tls) else {
            return;
        };
        let path = match error.setting {
            "ca_file" if ca_in_url => self.url_path.to_owned(),
            setting => format!("backend.{setting}"),
        };
        let problem = match ca_in_url && error.setting == "ca_file" {
            true => error.to_string(),
            false => error.problem,
        };
        self.push(&path, problem, "name a readable file in PEM");
    }
}

impl LogIn<'_> {
    fn paths(&self) -> impl Iterator<Item = &'static str> {
        let user = self.user.1.is_some().then_some(self.user.0);
        let file = self.password_file.1.is_some();
        user.into_iter().chain(file.then_some(self.password_file.0))
    }
}
