//! `[channels]` and `[[namespaces]]`: logs of channels, and who may join which.

use std::time::Duration;

use super::Settings;
use super::read::{settings, words};

settings! {
    /// `[channels]`: what holds for every channel, unless its namespace says otherwise.
    pub struct ChannelSettings {
        /// Entries of a channel's log.
        pub history: usize,
        /// Age of a channel's log.
        pub ttl: Duration,
        /// Entries of the log of broadcasts.
        pub broadcast_history: usize,
        /// Age of the log of broadcasts.
        pub broadcast_ttl: Duration,
        /// What happens to a connection that reads too slowly.
        pub policy: OverflowPolicy,
        /// How long a gateway follows a channel without members.
        pub linger: Duration,
        /// How long subscriptions of simple clients are kept.
        pub restore: Duration,
        /// Subscriptions of one user that outlive connections.
        pub kept: usize,
    }
}

settings! {
    /// `[[namespaces]]`: rules for the channels whose names start with `prefix`.
    pub struct NamespaceSettings {
        /// Start of the names; empty is every channel.
        pub prefix: String,
        /// Who may join.
        pub kind: NamespaceKind,
        /// Instead of `channels.policy`.
        pub policy: Option<OverflowPolicy>,
        /// Instead of `channels.history`.
        pub history: Option<usize>,
        /// Instead of `channels.ttl`.
        pub ttl: Option<Duration>,
    }
}

/// Who may join the channels of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceKind {
    /// Everyone with a valid token.
    Public,
    /// Whose token names the channel.
    Claim,
    /// The user whose id is the rest of the name, or whose token names the channel.
    User,
}

words!(NamespaceKind {
    Public: "public",
    Claim: "claim",
    User: "user"
});

/// What happens to channel traffic for a connection whose outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// The connection is closed and resumes by cursor.
    Disconnect,
    /// The oldest are dropped, and the client is told of the gap.
    DropOldest,
    /// Only the newest of each channel is kept.
    Latest,
}

words!(OverflowPolicy {
    Disconnect: "disconnect",
    DropOldest: "drop_oldest",
    Latest: "latest",
});

/// The rules that hold for one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace<'a> {
    /// Who may join.
    pub kind: NamespaceKind,
    /// The part of the name after the prefix: the user's id where `kind` is `User`.
    pub rest: &'a str,
    /// What happens to a connection that reads too slowly.
    pub policy: OverflowPolicy,
    /// Entries of the channel's log.
    pub history: usize,
    /// Age of the channel's log.
    pub ttl: Duration,
}

impl Settings {
    /// The rules for `channel`: those of the longest prefix, completed by `[channels]`. `None` when no
    /// namespace covers it, and then nobody may join.
    pub fn namespace<'a>(&self, channel: &'a str) -> Option<Namespace<'a>> {
        let covering = self
            .namespaces
            .iter()
            .filter(|it| channel.starts_with(&it.prefix));
        let namespace = covering.max_by_key(|it| it.prefix.len())?;
        Some(Namespace {
            kind: namespace.kind,
            rest: &channel[namespace.prefix.len()..],
            policy: namespace.policy.unwrap_or(self.channels.policy),
            history: namespace.history.unwrap_or(self.channels.history),
            ttl: namespace.ttl.unwrap_or(self.channels.ttl),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_decides_and_the_rest_is_inherited() {
        let mut settings = Settings::default();
        settings.namespaces.push(NamespaceSettings {
            prefix: "private:ticker.".into(),
            kind: NamespaceKind::Claim,
            policy: Some(OverflowPolicy::Latest),
            history: Some(1),
            ttl: None,
        });
        let kind = |channel| settings.namespace(channel).map(|it| it.kind);
        assert_eq!(kind("orders"), Some(NamespaceKind::Public));
        assert_eq!(kind("private:orders"), Some(NamespaceKind::Claim));
        assert_eq!(
            settings.namespace("user:alice").map(|it| it.rest),
            Some("alice")
        );
        let ticker = settings.namespace("private:ticker.eur").unwrap();
        assert_eq!((ticker.policy, ticker.history), (OverflowPolicy::Latest, 1));
        assert_eq!(ticker.ttl, settings.channels.ttl);
        settings.namespaces.retain(|it| !it.prefix.is_empty());
        assert_eq!(settings.namespace("orders"), None);
    }
}
