//! What the callers ask for, with every rule on its fields.

use std::{borrow::Cow, time::Duration};

use carillon_common::{
    errors::ProblemKind,
    ids::{ChannelName, UserId},
    protocol::{is_reserved_type, schema::names::TYPE_BYTES},
    settings::Settings,
};
use serde_json::value::RawValue;

use crate::{
    error::ApiError,
    extract::{FieldReader, Fields},
};

/// A personal notification to be sent.
pub(crate) struct SendRequest<'a> {
    pub(crate) user: UserId,
    pub(crate) message: Message<'a>,
    /// A label; personal notifications are not in a channel.
    pub(crate) label: Option<ChannelName>,
    /// At most `inbox.ttl`; zero: to whoever is connected now.
    pub(crate) ttl: Duration,
}

/// A notification for a channel, or for everyone.
pub(crate) struct BroadcastRequest<'a> {
    pub(crate) message: Message<'a>,
    /// `None`: for everyone.
    pub(crate) channel: Option<ChannelName>,
    /// Above zero and at most the log's own age.
    pub(crate) ttl: Duration,
    pub(crate) log: LogRules,
}

/// What every notification has.
pub(crate) struct Message<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) content: Cow<'a, str>,
    pub(crate) data: &'a RawValue,
}

/// The bounds of the log that a broadcast is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogRules {
    pub(crate) history: usize,
    pub(crate) age: Duration,
    /// The setting that `age` is, for the caller who asks for more.
    setting: &'static str,
}

impl<'a> SendRequest<'a> {
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(fields: &'a Fields<'a>, settings: &Settings) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let user = reader.required_text("target_user");
        let user = reader.parsed("target_user", user, ProblemKind::InvalidField);
        let message = Message::read(&mut reader);
        let label = channel(&mut reader);
        let ttl = ttl(&mut reader, settings.inbox.ttl, "inbox.ttl");
        let errors = reader.finish();
        match (user, message) {
            (Some(user), Some(message)) if errors.is_empty() => Ok(Self {
                user,
                message,
                label,
                ttl,
            }),
            _ => Err(ApiError::InvalidFields(errors)),
        }
    }
}

impl<'a> BroadcastRequest<'a> {
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(fields: &'a Fields<'a>, settings: &Settings) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let message = Message::read(&mut reader);
        let channel = channel(&mut reader);
        let log = LogRules::of(channel.as_ref(), settings);
        if log.is_none() {
            let detail = "no namespace of the configuration covers this channel, so nobody can \
                          join it";
            reader.refuse(ProblemKind::InvalidChannel, "channel", detail.to_owned());
        }
        let log = log.unwrap_or_else(|| LogRules::broadcast(settings));
        let ttl = ttl(&mut reader, log.age, log.setting);
        if ttl.is_zero() {
            let detail = "ttl must be above 0: a broadcast is always kept in its channel's log";
            reader.refuse(ProblemKind::InvalidField, "ttl", detail.to_owned());
        }
        let errors = reader.finish();
        match message {
            Some(message) if errors.is_empty() => Ok(Self {
                message,
                channel,
                ttl,
                log,
            }),
            _ => Err(ApiError::InvalidFields(errors)),
        }
    }
}

impl<'a> Message<'a> {
    /// `None` when something is missing, which the reader then remembers.
    fn read(reader: &mut FieldReader<'a>) -> Option<Self> {
        let kind = reader.required_text("notification_type");
        if let Some(kind) = &kind {
            check_type(reader, kind);
        }
        let content = reader.required_text("content");
        let data = reader.json("data").unwrap_or_else(empty_object);
        Some(Self {
            kind: kind?,
            content: content?,
            data,
        })
    }
}

impl LogRules {
    fn of(channel: Option<&ChannelName>, settings: &Settings) -> Option<Self> {
        let Some(channel) = channel else {
            return Some(Self::broadcast(settings));
        };
        let namespace = settings.namespace(channel.as_str())?;
        Some(Self {
            history: namespace.history,
            age: namespace.ttl,
            setting: "channels.ttl, or its namespace's",
        })
    }

    fn broadcast(settings: &Settings) -> Self {
        Self {
            history: settings.channels.broadcast_history,
            age: settings.channels.broadcast_ttl,
            setting: "channels.broadcast_ttl",
        }
    }
}

fn check_type(reader: &mut FieldReader<'_>, kind: &str) {
    if !(1..=TYPE_BYTES).contains(&kind.len()) {
        let detail = format!("notification_type must be 1 to {TYPE_BYTES} bytes long");
        reader.refuse(ProblemKind::InvalidField, "notification_type", detail);
    } else if is_reserved_type(kind) {
        let detail = format!(
            "`{kind}` is one of the protocol's own frames; notifications take another type, such \
             as `order.{kind}`"
        );
        reader.refuse(ProblemKind::ReservedType, "notification_type", detail);
    }
}

fn channel(reader: &mut FieldReader<'_>) -> Option<ChannelName> {
    let text = reader.text("channel");
    let name: ChannelName = reader.parsed("channel", text, ProblemKind::InvalidChannel)?;
    if name.is_broadcast() {
        let detail = "channel `*` is reserved; a broadcast without a channel reaches everyone";
        reader.refuse(ProblemKind::InvalidChannel, "channel", detail.to_owned());
    }
    Some(name)
}

/// The ttl asked for, else the longest.
fn ttl(reader: &mut FieldReader<'_>, longest: Duration, setting: &str) -> Duration {
    let Some(ttl) = reader.duration("ttl") else {
        return longest;
    };
    if ttl > longest {
        let longest = longest.as_secs_f64();
        let detail = format!("ttl may be at most {longest} seconds here ({setting})");
        reader.refuse(ProblemKind::TtlTooLong, "ttl", detail);
    }
    ttl
}

fn empty_object<'a>() -> &'a RawValue {
    #[expect(clippy::expect_used, reason = "the text is a constant and JSON")]
    serde_json::from_str("{}").expect("an empty object is JSON")
}
