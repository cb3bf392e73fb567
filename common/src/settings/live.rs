//! What of the configuration may change while a process runs: who may connect and send, from where, how fast, and
//! what is logged. All else is read once, because something was made by it that would have to be made anew.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::Settings;
use super::read::Section;

/// The configuration that is in force, read by whoever goes by what may change, and replaced while the process runs.
/// Clones are handles to the same one.
///
/// A reader neither locks nor allocates, and is not held up by who replaces it.
#[derive(Clone)]
pub struct LiveSettings(Arc<Shared>);

struct Shared {
    current: ArcSwap<Settings>,
    changed: watch::Sender<()>,
}

impl LiveSettings {
    /// With these, until they are replaced.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwap::new(settings),
            changed: watch::Sender::new(()),
        }))
    }

    /// What is in force. For the decision at hand: whoever keeps it does not see what comes later.
    pub fn current(&self) -> Guard<Arc<Settings>> {
        self.0.current.load()
    }

    /// Tells of each replacement.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Puts others in force, and tells whoever waits for it.
    pub(crate) fn replace(&self, settings: Settings) {
        self.0.current.store(Arc::new(settings));
        self.0.changed.send_replace(());
    }
}

impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSettings").finish_non_exhaustive()
    }
}

/// What comes of reading a configuration again.
#[derive(Debug)]
pub(crate) struct Renewed {
    /// What is in force from now on.
    pub(crate) settings: Settings,
    /// The settings that have changed, by their paths.
    pub(crate) changed: Vec<String>,
    /// Those that say something else than what is in force, and that only a restart can change.
    pub(crate) need_restart: Vec<String>,
}

impl Settings {
    /// These, with what `newer` says of all that may change while a process runs.
    pub(crate) fn renewed(&self, newer: &Self) -> Renewed {
        let mut settings = self.clone();
        let Self {
            gateway,
            socket,
            dispatcher,
            auth,
            log,
            ..
        } = newer.clone();

        settings.gateway.origins = gateway.origins;
        settings.gateway.query_token = gateway.query_token;
        settings.gateway.handshake_rate = gateway.handshake_rate;
        settings.gateway.handshake_burst = gateway.handshake_burst;
        settings.gateway.per_user_handshake_rate = gateway.per_user_handshake_rate;
        settings.gateway.per_user_connections = gateway.per_user_connections;
        settings.gateway.refusal_rate = gateway.refusal_rate;
        settings.gateway.trusted_hops = gateway.trusted_hops;
        settings.gateway.trusted_proxies = gateway.trusted_proxies;
        settings.gateway.forwarded_header = gateway.forwarded_header;
        settings.gateway.proxy_protocol = gateway.proxy_protocol;

        settings.socket.channels = socket.channels;
        settings.socket.frames_per_second = socket.frames_per_second;
        settings.socket.frames_burst = socket.frames_burst;

        settings.dispatcher.requests_per_user = dispatcher.requests_per_user;
        settings.dispatcher.sends_per_key = dispatcher.sends_per_key;
        settings.dispatcher.sends_per_key_burst = dispatcher.sends_per_key_burst;
        settings.dispatcher.sends_per_user = dispatcher.sends_per_user;
        settings.dispatcher.sends_per_user_burst = dispatcher.sends_per_user_burst;

        settings.auth.issuers = auth.issuers;
        settings.auth.api_keys = auth.api_keys;
        settings.auth.dir = auth.dir;
        settings.auth.leeway = auth.leeway;
        settings.auth.max_lifetime = auth.max_lifetime;

        settings.log.level = log.level;
        Renewed {
            changed: differing(self, &settings),
            need_restart: differing(&settings, newer),
            settings,
        }
    }
}

/// The paths of the settings that differ. Of those without sections of their own, the name.
fn differing(one: &Settings, other: &Settings) -> Vec<String> {
    macro_rules! within {
        ($name:ident: $($field:ident)*) => {
            match $name {
                $(name if name == stringify!($field) => Some(one.$field.differing(&other.$field)),)*
                _ => None,
            }
        };
    }
    let mut paths = Vec::new();
    for section in Section::differing(one, other) {
        let keys = within!(section: backend redis durability inbox channels idempotency lease audit gateway socket
            sse drain dispatcher admin kubernetes auth log tracing canary);
        match keys {
            Some(keys) => paths.extend(keys.iter().map(|key| format!("{section}.{key}"))),
            None => paths.push(section.to_owned()),
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_is_taken_over_and_all_else_is_named() {
        let before = Settings::default();
        let mut newer = before.clone();
        newer.gateway.origins = vec!["https://app.example.com".into()];
        newer.gateway.handshake_rate = 7;
        newer.dispatcher.sends_per_key = 9;
        newer.log.level = "debug".into();
        newer.gateway.path = "/elsewhere".into();
        newer.inbox.max = 5;
        newer.namespaces.clear();
        let renewed = before.renewed(&newer);
        assert_eq!(
            renewed.changed,
            [
                "gateway.handshake_rate",
                "gateway.origins",
                "dispatcher.sends_per_key",
                "log.level"
            ]
        );
        assert_eq!(
            renewed.need_restart,
            ["inbox.max", "gateway.path", "namespaces"]
        );
        let settings = renewed.settings;
        assert_eq!(settings.gateway.handshake_rate, 7);
        assert_eq!(settings.gateway.path, before.gateway.path);
        assert_eq!(settings.inbox.max, before.inbox.max);

        let again = settings.renewed(&newer);
        assert!(again.changed.is_empty());
        assert_eq!(again.need_restart, renewed.need_restart);
        let back = settings.renewed(&before);
        assert_eq!((back.changed.len(), back.need_restart.len()), (4, 0));
        assert_eq!(back.settings, before);
    }

    #[test]
    fn whoever_waits_is_told() {
        let live = LiveSettings::new(Arc::new(Settings::default()));
        let changes = live.changes();
        let mut newer = Settings::default();
        newer.socket.channels = 3;
        live.replace(newer);
        assert!(changes.has_changed().unwrap());
        assert_eq!(live.current().socket.channels, 3);
    }
}
