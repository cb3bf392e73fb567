//! Every key and channel that Carillon has in Redis, spelled here and nowhere else.
//!
//! Each carries its partition's hash tag, so that all keys of one user (or channel) share a slot;
//! free strings stand last, or have their length before them.

use crate::{
    backend::{AccountKind, Device, Holder},
    ids::{ChannelName, GatewayId, SessionId, UserId},
};

/// Spells keys for one prefix and one set of partitions.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
    tags: Vec<String>,
}

impl Keys {
    /// `tags`: one hash tag per partition.
    pub fn new(prefix: &str, tags: Vec<String>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            tags,
        }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.tags.len()).unwrap_or(u16::MAX)
    }

    /// The partition of a user or channel name: FNV-1a, stable for ever (it places data).
    pub fn partition(&self, name: &str) -> u16 {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The low bits of FNV mix poorly for short names: fold the high half in.
        let mixed = hash ^ (hash >> 32);
        u16::try_from(mixed % u64::from(self.partitions())).unwrap_or(0)
    }

    fn key(&self, partition: u16, rest: std::fmt::Arguments<'_>) -> String {
        format!(
            "{}{{{}}}:{rest}",
            self.prefix,
            self.tags[usize::from(partition)]
        )
    }

    /// All keys of a user.
    pub fn user(&self, user: &UserId) -> UserKeys {
        let partition = self.partition(user.as_str());
        UserKeys {
            partition,
            inbox: self.key(partition, format_args!("inbox:{user}")),
            user: self.key(partition, format_args!("user:{user}")),
            left: self.key(partition, format_args!("left:{user}")),
            buried: self.key(partition, format_args!("buried:{user}")),
            presence: self.key(partition, format_args!("presence:{user}")),
            subs: self.key(partition, format_args!("subs:{user}")),
            marks: self.key(partition, format_args!("marks:{user}")),
            collapse: self.key(partition, format_args!("collapse:{user}")),
            read: self.key(partition, format_args!("read:{user}")),
            assigned: self.key(partition, format_args!("assigned:{user}")),
            scheduled: self.key(partition, format_args!("scheduled:{user}")),
            waiting: self.key(partition, format_args!("waiting:{user}")),
            due: self.due(partition),
            online: self.online(partition),
        }
    }

    /// The set of users with presence in a partition.
    pub fn online(&self, partition: u16) -> String {
        self.key(partition, format_args!("online"))
    }

    /// The users of a partition for whom something waits, by when it is due.
    pub fn due(&self, partition: u16) -> String {
        self.key(partition, format_args!("due"))
    }

    /// A remembered idempotency key of a user.
    pub fn user_dedup(&self, user: &UserId, key: &str) -> String {
        let partition = self.partition(user.as_str());
        self.key(
            partition,
            format_args!("dedup:u{}:{user}:{key}", user.as_str().len()),
        )
    }

    /// A remembered idempotency key of a channel.
    pub fn channel_dedup(&self, channel: &ChannelName, key: &str) -> String {
        let partition = self.partition(channel.as_str());
        self.key(
            partition,
            format_args!("dedup:c{}:{channel}:{key}", channel.as_str().len()),
        )
    }

    /// Users of a gateway's generation in a partition: what the reaper goes by.
    pub fn sessions(&self, partition: u16, gateway: &str, generation: u64) -> String {
        self.key(partition, format_args!("sessions:{gateway}:{generation}"))
    }

    /// A channel's log.
    pub fn log(&self, channel: &ChannelName) -> String {
        self.key(
            self.partition(channel.as_str()),
            format_args!("log:{channel}"),
        )
    }

    /// Where a channel's log stood; it outlives the log.
    pub fn log_end(&self, channel: &ChannelName) -> String {
        self.key(
            self.partition(channel.as_str()),
            format_args!("end:{channel}"),
        )
    }

    /// Which history a partition serves.
    pub fn history(&self, partition: u16) -> String {
        self.key(partition, format_args!("history"))
    }

    /// The Pub/Sub channel of a gateway's hints in a partition, less the gateway's name.
    pub fn gateway_channel_prefix(&self, partition: u16) -> String {
        self.key(partition, format_args!("gw:"))
    }

    /// The Pub/Sub channel of a gateway's hints in a partition.
    pub fn gateway_channel(&self, partition: u16, gateway: &GatewayId) -> String {
        self.key(partition, format_args!("gw:{gateway}"))
    }

    /// The Pub/Sub channel of a channel's hints.
    pub fn channel_channel(&self, channel: &ChannelName) -> String {
        self.key(
            self.partition(channel.as_str()),
            format_args!("ch:{channel}"),
        )
    }

    /// A glob that the Pub/Sub channels of all channels' hints match.
    pub fn channel_channels(&self) -> String {
        format!("{}{{*}}:ch:*", self.globbed_prefix())
    }

    /// The channel whose hints a Pub/Sub channel has, if it is one of those.
    pub fn channel_of(&self, pubsub: &str) -> Option<ChannelName> {
        ChannelName::new(self.rest(pubsub)?.strip_prefix("ch:")?).ok()
    }

    /// Where the deployment's own keys live.
    pub const HOME: u16 = 0;

    /// A gateway's lease.
    pub fn lease(&self, gateway: &GatewayId) -> String {
        self.key(Self::HOME, format_args!("lease:{gateway}"))
    }

    /// Every generation and its deadline.
    pub fn gateways(&self) -> String {
        self.key(Self::HOME, format_args!("gateways"))
    }

    /// The highest generation so far.
    pub fn generations(&self) -> String {
        self.key(Self::HOME, format_args!("generations"))
    }

    /// Held by whoever reaps a generation.
    pub fn reap_lock(&self, gateway: &str, generation: u64) -> String {
        self.key(Self::HOME, format_args!("reap:{gateway}:{generation}"))
    }

    /// Held by whoever has a duty of which there is one in the deployment.
    pub fn duty(&self, duty: &str) -> String {
        self.key(Self::HOME, format_args!("duty:{duty}"))
    }

    /// Where an account is from which allowance is lent, and its key.
    pub fn allowance(&self, kind: AccountKind, account: &str) -> (u16, String) {
        let kind = match kind {
            AccountKind::Service => 's',
            AccountKind::User => 'u',
        };
        let partition = self.partition(account);
        let key = self.key(partition, format_args!("rate:{kind}:{account}"));
        (partition, key)
    }

    /// The processes that borrow from such accounts.
    pub fn borrowers(&self) -> String {
        self.key(Self::HOME, format_args!("borrowers"))
    }

    /// What a generation of a gateway tells of itself.
    pub fn about(&self, gateway: &str, generation: u64) -> String {
        self.key(Self::HOME, format_args!("about:{gateway}:{generation}"))
    }

    /// There while a generation of a gateway drains.
    pub fn draining(&self, gateway: &str, generation: u64) -> String {
        self.key(Self::HOME, format_args!("draining:{gateway}:{generation}"))
    }

    /// Words for a gateway.
    pub fn control(&self, gateway: &GatewayId) -> String {
        self.key(Self::HOME, format_args!("ctl:{gateway}"))
    }

    /// What gateways answer to a question.
    pub fn answers(&self, to: &str) -> String {
        self.key(Self::HOME, format_args!("answers:{to}"))
    }

    /// Which tokens are revoked, each with the time before which they were issued.
    pub fn revoked(&self) -> String {
        self.key(Self::HOME, format_args!("revoked"))
    }

    /// The same, each with the time at which its revocation lapses.
    pub fn revoked_until(&self) -> String {
        self.key(Self::HOME, format_args!("revoked-until"))
    }

    /// Another value after every change of these.
    pub fn revoked_revision(&self) -> String {
        self.key(Self::HOME, format_args!("revoked-revision"))
    }

    /// What is told of a revocation, or that it was taken back. `what`: as [`Revoked`](crate::auth::Revoked) encodes it.
    pub fn revoked_note(&self, what: &str) -> String {
        self.key(Self::HOME, format_args!("revoked-note:{what}"))
    }

    /// What a ticket stands for, by its hash, and the partition where that is.
    pub fn ticket(&self, hash: &str) -> (u16, String) {
        let partition = self.partition(hash);
        (
            partition,
            self.key(partition, format_args!("ticket:{hash}")),
        )
    }

    /// The tickets of a user, each with the time at which it lapses, and the partition where they are.
    pub fn tickets(&self, user: &UserId) -> (u16, String) {
        let partition = self.partition(user.as_str());
        (
            partition,
            self.key(partition, format_args!("tickets:{user}")),
        )
    }

    /// A glob that every key of a partition matches, and no key under another prefix.
    pub fn all(&self) -> String {
        self.globbed_prefix() + "{*}:*"
    }

    /// The prefix, for a glob.
    fn globbed_prefix(&self) -> String {
        let mut glob = String::new();
        for character in self.prefix.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
                glob.push('\\');
            }
            glob.push(character);
        }
        glob
    }

    /// What stands after a partition's hash tag.
    fn rest<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(&self.prefix)?.strip_prefix('{')?;
        let (tag, rest) = rest.split_once("}:")?;
        self.tags.iter().any(|it| it == tag).then_some(rest)
    }

    /// Whose notifications a key holds, if it holds any.
    pub fn holds(&self, key: &str) -> Option<Holds> {
        match self.rest(key)?.split_once(':')? {
            ("inbox", user) => Some(Holds::Inbox(UserId::new(user).ok()?)),
            ("log", channel) => Some(Holds::Log(ChannelName::new(channel).ok()?)),
            _ => None,
        }
    }

    /// How many partitions this deployment was made with.
    pub fn partition_count(&self) -> String {
        self.key(Self::HOME, format_args!("partitions"))
    }

    /// The highest layout that was ever written here.
    pub fn layout(&self) -> String {
        self.key(Self::HOME, format_args!("layout"))
    }
}

/// Whose notifications there are under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// A user's.
    Inbox(UserId),
    /// A channel's; `*` is the one of broadcasts.
    Log(ChannelName),
}

/// The keys of one user.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as in the table of ARCHITECTURE.md")]
pub struct UserKeys {
    pub partition: u16,
    pub inbox: String,
    pub user: String,
    pub left: String,
    pub buried: String,
    pub presence: String,
    pub subs: String,
    pub marks: String,
    pub collapse: String,
    pub read: String,
    pub assigned: String,
    pub scheduled: String,
    pub waiting: String,
    pub due: String,
    pub online: String,
}

/// A connection's field in the presence hash.
pub fn presence_field(device: &Device, session: &SessionId) -> String {
    match device {
        Device::Named(name) => format!("={name}/{session}"),
        Device::Anonymous => format!("~/{session}"),
    }
}

/// A device's record in the user hash, less `d:`.
pub fn device_record(device: &Device, session: &SessionId) -> String {
    match device {
        Device::Named(name) => format!("={name}"),
        Device::Anonymous => format!("~{session}"),
    }
}

/// When a client last asked for a channel, in the subs hash.
pub fn use_field(channel: &ChannelName) -> String {
    format!("u/{channel}")
}

/// A kept subscription in the subs hash.
pub fn kept_field(holder: &Holder, channel: &ChannelName) -> String {
    match holder {
        Holder::Device(Device::Named(name)) => format!("d/={name}/{channel}"),
        Holder::Device(Device::Anonymous) => format!("d/~/{channel}"),
        Holder::Assigned(Device::Named(name)) => format!("a/={name}/{channel}"),
        Holder::Assigned(Device::Anonymous) => format!("a/~/{channel}"),
        Holder::Session(session) => format!("r/{session}/{channel}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("t:", (0..64).map(|tag| tag.to_string()).collect())
    }

    #[test]
    fn users_cannot_meet_in_one_dedup_key() {
        let keys = Keys::new("t:", vec!["0".into()]);
        let one = keys.user_dedup(&UserId::new("a:b").unwrap(), "c");
        let other = keys.user_dedup(&UserId::new("a").unwrap(), "b:c");
        assert_ne!(one, other);
    }

    #[test]
    fn a_key_tells_whose_notifications_it_holds() {
        let keys = Keys::new("a*b:", vec!["0".into(), "17".into()]);
        let user = UserId::new("x:{0}:inbox:y").unwrap();
        let channel = ChannelName::broadcast();
        let inbox = keys.user(&user).inbox;
        assert_eq!(keys.holds(&inbox), Some(Holds::Inbox(user.clone())));
        assert_eq!(
            keys.holds(&keys.log(&channel)),
            Some(Holds::Log(channel.clone()))
        );
        for other in [keys.user(&user).left, keys.log_end(&channel)] {
            assert_eq!(keys.holds(&other), None, "{other}");
        }
        for foreign in ["a*b:{99}:inbox:x", "axb:{0}:inbox:x", "a*b:{0}:inbox:"] {
            assert_eq!(keys.holds(foreign), None, "{foreign}");
        }
        assert_eq!(keys.all(), "a\\*b:{*}:*");
    }

    #[test]
    fn a_pubsub_channel_tells_whose_hints_it_has() {
        let keys = Keys::new("a*b:", vec!["0".into(), "17".into()]);
        let channel = ChannelName::new("ch:orders.eu").unwrap();
        let theirs = keys.channel_channel(&channel);
        assert_eq!(keys.channel_of(&theirs), Some(channel));
        let gateway = GatewayId::new("ch").unwrap();
        for other in [
            keys.gateway_channel(0, &gateway),
            "a*b:{99}:ch:orders".to_owned(),
            "axb:{0}:ch:orders".to_owned(),
        ] {
            assert_eq!(keys.channel_of(&other), None, "{other}");
        }
        assert_eq!(keys.channel_channels(), "a\\*b:{*}:ch:*");
    }

    #[test]
    fn users_spread_over_the_partitions() {
        let keys = keys();
        let mut counts = [0_u32; 64];
        for user in 0..64_000 {
            counts[usize::from(keys.partition(&format!("user-{user}")))] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_name_stays_in_its_partition_for_ever() {
        assert_eq!(keys().partition("alice"), 60);
        assert_eq!(keys().partition("*"), 49);
    }
}
