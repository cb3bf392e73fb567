//! What all sessions of a gateway go by.

use carillon_common::{
    auth::Keyring,
    ids::Millis,
    protocol::SocketLimits,
    settings::{Settings, SocketSettings},
};

/// The configuration, and the keys that are in force.
pub(crate) struct Rules {
    /// The configuration.
    pub settings: Settings,
    /// What tokens are checked by.
    pub keyring: Keyring,
    /// Told in `welcome`.
    pub limits: SocketLimits,
}

impl Rules {
    /// From the configuration and the keys that are in force.
    pub(crate) fn new(settings: Settings, keyring: Keyring) -> Self {
        let limits = SocketLimits {
            frame_bytes: settings.socket.frame_bytes,
            channels: settings.socket.channels,
            frames_per_second: settings.socket.frames_per_second,
            inbox: u32::try_from(settings.inbox.max).unwrap_or(u32::MAX),
        };
        Self {
            settings,
            keyring,
            limits,
        }
    }

    /// How much later than it says a token ends (`auth.leeway`), in ms.
    pub(crate) fn leeway(&self) -> Millis {
        let leeway = self.settings.auth.leeway.as_millis();
        Millis::try_from(leeway).unwrap_or(0)
    }

    pub(super) fn socket(&self) -> &SocketSettings {
        &self.settings.socket
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
