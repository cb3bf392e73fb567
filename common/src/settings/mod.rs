//! The configuration: defaults from `carillon.toml`, then the operator's file, then the environment.
//!
//! The defaults file is built in, so what it documents is what holds. Everything wrong is reported at
//! once. The result is plain data; what judges credentials is read of it by
//! [`AuthSettings::credentials`], as often as it may have changed.

mod auth;
mod backend;
mod canary;
mod channels;
mod credentials;
mod error;
mod files;
mod folder;
mod gateway;
mod inbox;
mod kubernetes;
mod lease;
mod live;
mod log;
mod network;
mod otel;
mod print;
mod read;
mod rest;
mod services;
mod socket;
mod sse;
mod store;
#[cfg(test)]
mod tests;
mod traces;
mod tree;
mod validate;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use self::auth::{ApiKeySettings, AuthSettings, IssuerSettings, Scope, TokenAlgorithm};
pub use self::backend::{BackendSettings, DurabilitySettings, RedisSettings};
pub use self::canary::CanarySettings;
pub use self::channels::{
    ChannelSettings, Namespace, NamespaceKind, NamespaceSettings, OverflowPolicy,
};
pub use self::credentials::Credentials;
pub(crate) use self::credentials::{Fault, InForce, Own, all_errors};
pub use self::error::{Origin, SettingsError, SettingsErrors};
pub(crate) use self::folder::{Reading, Stamp};
pub use self::gateway::{DrainSettings, ForwardedHeader, GatewaySettings};
pub use self::inbox::{IdempotencySettings, InboxSettings};
pub use self::kubernetes::KubernetesSettings;
pub use self::lease::{AuditSettings, LeaseSettings};
pub use self::live::LiveSettings;
pub use self::log::{LogFormat, LogSettings};
pub use self::network::Network;
pub use self::services::{AdminSettings, DispatcherSettings};
pub use self::socket::SocketSettings;
pub use self::sse::SseSettings;
pub use self::traces::{TracingProtocol, TracingSampler, TracingSettings};
pub use self::values::Auto;

/// Every default, documented.
const DEFAULTS: &str = include_str!("../../../carillon.toml");

read::settings! {
    /// The whole configuration, one field for each section of `carillon.toml`.
    pub struct Settings {
        /// `[backend]`
        pub backend: BackendSettings,
        /// `[redis]`
        pub redis: RedisSettings,
        /// `[durability]`
        pub durability: DurabilitySettings,
        /// `[inbox]`
        pub inbox: InboxSettings,
        /// `[channels]`
        pub channels: ChannelSettings,
        /// `[idempotency]`
        pub idempotency: IdempotencySettings,
        /// `[lease]`
        pub lease: LeaseSettings,
        /// `[audit]`
        pub audit: AuditSettings,
        /// `[gateway]`
        pub gateway: GatewaySettings,
        /// `[socket]`
        pub socket: SocketSettings,
        /// `[sse]`
        pub sse: SseSettings,
        /// `[drain]`
        pub drain: DrainSettings,
        /// `[dispatcher]`
        pub dispatcher: DispatcherSettings,
        /// `[admin]`
        pub admin: AdminSettings,
        /// `[kubernetes]`
        pub kubernetes: KubernetesSettings,
        /// `[auth]`
        pub auth: AuthSettings,
        /// `[[namespaces]]`
        pub namespaces: Vec<NamespaceSettings>,
        /// `[log]`
        pub log: LogSettings,
        /// `[tracing]`
        pub tracing: TracingSettings,
        /// `[canary]`
        pub canary: CanarySettings,
        ;
        /// The file that was read, if one was.
        pub file: Option<PathBuf>,
    }
}

impl Settings {
    /// Reads the defaults, then `file`, then the `OTEL_…` and `CARILLON__…` variables among `env`, and the files
    /// that hold secrets, to see that they are in order. Reports every mistake, not only the first.
    /// Those in `auth.dir` are none: a service does without a file that is not in order.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsErrors> {
        let mut errors = Vec::new();
        let settings = Self::read_all(file, env, &mut errors);
        match settings {
            Some(settings) if errors.is_empty() => Ok(settings),
            _ => Err(SettingsErrors(errors)),
        }
    }

    /// As [`load`](Self::load); but every file in `auth.dir` has to be in order as well.
    pub fn check(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Credentials), SettingsErrors> {
        let mut errors = Vec::new();
        let settings = Self::read_all(file, env, &mut errors);
        let Some(settings) = settings else {
            return Err(SettingsErrors(errors));
        };
        let (credentials, mut faults) = settings.auth.usable();
        // What is wrong with the configuration itself is known already.
        faults.retain(|fault| fault.file.is_some());
        errors.extend(all_errors(faults).0);
        match errors.is_empty() {
            true => Ok((settings, credentials)),
            false => Err(SettingsErrors(errors)),
        }
    }

    /// The files that are part of this configuration: that itself, and those that hold what it would else say.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let issuers = self.auth.issuers.iter();
        let keys = issuers.flat_map(|it| [&it.secret_file, &it.public_key_file]);
        let all = keys.chain([&self.file, &self.backend.url_file]);
        all.flatten().cloned().collect()
    }

    /// The text of `carillon.toml`: every setting with its default and what it does.
    pub fn default_toml() -> &'static str {
        DEFAULTS
    }

    fn read_all(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        errors: &mut Vec<SettingsError>,
    ) -> Option<Self> {
        let Merged {
            root,
            defaults,
            sound,
        } = Merged::of(file, env.collect(), errors);
        let (mut settings, unread) = rest::read::<Self>(&root, &defaults, sound, errors)?;
        settings.file = file.map(Path::to_owned);
        let mut broken = Vec::new();
        files::read_url(&mut settings, &mut broken);
        settings.auth.check_own(&mut broken);
        settings.backend.read_store(&mut broken);
        validate::check(&settings, &mut broken);
        let broken = broken
            .into_iter()
            .filter_map(|error| unread.of_whole(error));
        errors.extend(broken.map(|error| tree::locate(&root, error)));
        Some(settings)
    }
}

/// Defaults, file and environment, laid on each other, before they have types.
struct Merged {
    root: tree::Node,
    defaults: tree::Node,
    /// Whether what was read is TOML as a whole.
    sound: bool,
}

impl Merged {
    fn of(
        file: Option<&Path>,
        env: Vec<(String, String)>,
        errors: &mut Vec<SettingsError>,
    ) -> Self {
        let defaults = tree::parse(DEFAULTS, None, errors);
        let mut root = defaults.clone();
        if let Some(over) =
            file.and_then(|path| files::read_toml("configuration file", path, errors))
        {
            tree::merge(&mut root, over);
        }
        let sound = errors.is_empty();
        otel::overlay(&mut root, &env, errors);
        tree::overlay_env(&mut root, env.iter().cloned(), errors);
        otel::overrule(&mut root, &env, errors);
        Self {
            root,
            defaults,
            sound,
        }
    }
}

/// The environment of this process, for [`Settings::load`]; what is not UTF-8 is none of ours.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Default for Settings {
    /// The built-in defaults.
    #[expect(
        clippy::expect_used,
        reason = "the defaults are built in; a test reads them"
    )]
    fn default() -> Self {
        Self::load(None, std::iter::empty()).expect("built-in defaults are valid")
    }
}
