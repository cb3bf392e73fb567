//! Which channels a client may join: patterns of its token, and rules of the namespaces.

use super::{Claims, glob};
use crate::settings::{Namespace, NamespaceKind};

/// A channel's name, or a glob in which `*` stands for any run of characters, the empty one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPattern(Box<str>);

impl ChannelPattern {
    /// Longest pattern, in bytes: as a channel's name.
    pub const MAX_BYTES: usize = 255;

    /// `None` unless it is 1–255 of `[A-Za-z0-9_.:*-]`.
    pub fn new(pattern: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:*-".contains(&byte);
        let valid = (1..=Self::MAX_BYTES).contains(&pattern.len()) && pattern.bytes().all(allowed);
        valid.then(|| Self(pattern.into()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` is covered, in linear time.
    pub fn matches(&self, name: &str) -> bool {
        glob::covers(&self.0, name)
    }
}

/// Whether the bearer of `claims` may join `channel`, whose rules are `namespace`
/// ([`Settings::namespace`](crate::settings::Settings::namespace)).
pub fn may_join(claims: &Claims, channel: &str, namespace: Option<Namespace<'_>>) -> bool {
    let named = || {
        claims
            .channels
            .iter()
            .any(|pattern| pattern.matches(channel))
    };
    match namespace.map(|rules| (rules.kind, rules.rest)) {
        None => false,
        Some((NamespaceKind::Public, _)) => true,
        Some((NamespaceKind::Claim, _)) => named(),
        Some((NamespaceKind::User, user)) => *claims.sub == *user || named(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = ChannelPattern::new(pattern).unwrap();
        yes.iter()
            .for_each(|name| assert!(pattern.matches(name), "{pattern:?} and {name}"));
        no.iter()
            .for_each(|name| assert!(!pattern.matches(name), "{pattern:?} and {name}"));
    }

    #[test]
    fn patterns_match() {
        check("orders", &["orders"], &["order", "orders2", "Orders", ""]);
        check("*", &["", "a", "a:b.c"], &[]);
        check("**", &["", "a"], &[]);
        check(
            "orders.*",
            &["orders.", "orders.eu"],
            &["orders", "x.orders.eu"],
        );
        check("*.eu", &["orders.eu", ".eu"], &["eu", "orders.eu.x"]);
        check(
            "a*b",
            &["ab", "axb", "aab", "abb"],
            &["a", "b", "aba", "ba"],
        );
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("ab*ba", &["abba", "abxba"], &["aba"]);
        check(
            "a*b*c",
            &["abc", "axbxc", "abbc", "abcc"],
            &["ac", "acb", "ab"],
        );
        check("*b*", &["b", "abc"], &["", "ac"]);
        check("*ab*ab*", &["abab", "xabxabx"], &["ab", "aba", "aab"]);
        check("a**b", &["ab", "axb"], &["a", "b"]);
    }

    /// Every pattern of up to 5 and every name of up to 6 letters, against the definition.
    #[test]
    fn patterns_match_as_defined() {
        fn defined(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.split_first(), name.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => (0..=name.len()).any(|at| defined(rest, &name[at..])),
                (Some((p, pattern)), Some((n, name))) => p == n && defined(pattern, name),
                _ => false,
            }
        }
        fn words(alphabet: &str, longest: usize) -> Vec<String> {
            let mut words = vec![String::new()];
            let mut last = words.clone();
            for _ in 0..longest {
                last = (last.iter())
                    .flat_map(|word| alphabet.chars().map(move |c| format!("{word}{c}")))
                    .collect();
                words.extend(last.iter().cloned());
            }
            words
        }
        let names = words("ab", 6);
        for pattern in &words("ab*", 5)[1..] {
            let compiled = ChannelPattern::new(pattern).unwrap();
            for name in &names {
                let expected = defined(pattern.as_bytes(), name.as_bytes());
                assert_eq!(compiled.matches(name), expected, "{pattern} and {name}");
            }
        }
    }

    #[test]
    fn only_what_can_name_channels_is_a_pattern() {
        for pattern in ["", "a b", "a/b", "é", "a?", "[a]", &"a".repeat(256)] {
            assert_eq!(ChannelPattern::new(pattern), None, "{pattern}");
        }
        assert!(ChannelPattern::new(&"*".repeat(255)).is_some());
    }

    /// A backtracking matcher would not end within the life of the universe.
    #[test]
    fn a_hostile_pattern_is_linear() {
        let pattern = ChannelPattern::new(&format!("{}b", "a*".repeat(127))).unwrap();
        assert!(!pattern.matches(&"a".repeat(255)));
    }

    #[test]
    fn namespaces_and_claims_decide() {
        let settings = Settings::default();
        let claims = |channels: &[&str]| Claims {
            sub: "alice".into(),
            exp_ms: 0,
            iat_ms: crate::auth::UNDATED,
            jti: None,
            warrant: None,
            channels: channels
                .iter()
                .filter_map(|it| ChannelPattern::new(it))
                .collect(),
        };
        let joins = |channel: &str, channels: &[&str]| {
            may_join(&claims(channels), channel, settings.namespace(channel))
        };
        assert!(joins("orders", &[]));
        assert!(!joins("private:orders", &[]));
        assert!(!joins("private:orders", &["orders", "private:order"]));
        assert!(joins("private:orders", &["private:*"]));
        assert!(joins("user:alice", &[]));
        assert!(!joins("user:bob", &[]));
        assert!(!joins("user:alice2", &[]));
        assert!(
            joins("user:bob", &["user:bob"]),
            "a support desk may be named to it"
        );
        assert!(
            !may_join(&claims(&["*"]), "orders", None),
            "no namespace, no entry"
        );
    }
}
