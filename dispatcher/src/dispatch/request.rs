//! What the callers ask for, with every rule on its fields.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use carillon_common::{
    errors::ProblemKind,
    ids::{ChannelName, CollapseKey, Millis, UserId},
    protocol::{is_reserved_type, schema::names::TYPE_BYTES},
    settings::Settings,
};
use serde_json::value::RawValue;

use crate::{
    error::ApiError,
    extract::{FieldReader, Fields, IdempotencyKey, json_text},
};

/// Users that one request may name.
pub(crate) const MOST_USERS: usize = 1_000;

/// A personal notification to be sent.
pub(crate) struct SendRequest<'a, To = Receivers> {
    pub(crate) to: To,
    pub(crate) message: Message<'a>,
    /// A label; personal notifications are not in a channel.
    pub(crate) label: Option<ChannelName>,
    /// At most `inbox.ttl`; zero: to whoever is connected now.
    pub(crate) ttl: Duration,
    /// The last one of the same key is delivered no more.
    pub(crate) collapse_key: Option<CollapseKey>,
    /// When it is to be delivered; `ttl` counts from there. `None`: now.
    pub(crate) deliver_at: Option<Millis>,
}

/// Whom a personal notification is for.
pub(crate) enum Receivers {
    One(UserId),
    /// Each once, and each by itself.
    Several(Vec<UserId>),
}

/// One of a batch.
pub(crate) struct BatchItem<'a> {
    pub(crate) request: SendRequest<'a, UserId>,
    /// Under which it may be repeated.
    pub(crate) key: Option<Cow<'a, str>>,
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
        let to = Receivers::read(&mut reader);
        Self::rest(reader, to, settings)
    }
}

impl<'a, To> SendRequest<'a, To> {
    /// What is read whoever it is for.
    fn rest(
        mut reader: FieldReader<'a>,
        to: Option<To>,
        settings: &Settings,
    ) -> Result<Self, ApiError> {
        let message = Message::read(&mut reader);
        let label = channel(&mut reader);
        let ttl = ttl(&mut reader, settings.inbox.ttl, "inbox.ttl");
        let collapse_key = collapse_key(&mut reader, ttl);
        let deliver_at = deliver_at(&mut reader, ttl);
        let errors = reader.finish();
        match (to, message) {
            (Some(to), Some(message)) if errors.is_empty() => Ok(Self {
                to,
                message,
                label,
                ttl,
                collapse_key,
                deliver_at,
            }),
            _ => Err(ApiError::InvalidFields(errors)),
        }
    }
}

impl<'a> BatchItem<'a> {
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(fields: &'a Fields<'a>, settings: &Settings) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let user = one(&mut reader);
        let key = reader.text("idempotency_key");
        if key
            .as_deref()
            .is_some_and(|key| IdempotencyKey::of_field(key).is_none())
        {
            let detail = "idempotency_key must be 1 to 255 printable ASCII characters";
            reader.refuse(
                ProblemKind::InvalidField,
                "idempotency_key",
                detail.to_owned(),
            );
        }
        let request = SendRequest::rest(reader, user, settings)?;
        Ok(Self { request, key })
    }
}

impl Receivers {
    /// `None` when they are missing or wrong, which the reader then remembers.
    fn read(reader: &mut FieldReader<'_>) -> Option<Self> {
        match (reader.has("target_user"), reader.has("target_users")) {
            (true, true) => {
                let detail = "give either target_user or target_users, not both";
                reader.refuse(ProblemKind::InvalidField, "target_users", detail.to_owned());
                None
            }
            (false, true) => users(reader, "target_users").map(Self::Several),
            (_, false) => one(reader).map(Self::One),
        }
    }
}

fn one(reader: &mut FieldReader<'_>) -> Option<UserId> {
    let user = reader.required_text("target_user");
    reader.parsed("target_user", user, ProblemKind::InvalidField)
}

/// A list of users, each once.
pub(super) fn users(reader: &mut FieldReader<'_>, name: &'static str) -> Option<Vec<UserId>> {
    let items = reader.list(name, MOST_USERS)?;
    let mut seen = HashSet::with_capacity(items.len());
    let mut users = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let text = json_text(item);
        let user = text.and_then(|text| text.parse::<UserId>().map_err(|error| error.to_string()));
        match user {
            Ok(user) if seen.insert(user.clone()) => users.push(user),
            Ok(_) => {
                let detail = format!("{name}: item {at} is there before");
                reader.refuse_item(name, at, detail);
            }
            Err(error) => {
                let detail = format!("{name}: item {at}: {error}");
                reader.refuse_item(name, at, detail);
            }
        }
    }
    (users.len() == items.len()).then_some(users)
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
        let detail = "a broadcast is delivered now, to whoever is there: only what is sent to users may wait for its time";
        reader.refuse_elsewhere("deliver_at", detail);
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

fn collapse_key(reader: &mut FieldReader<'_>, ttl: Duration) -> Option<CollapseKey> {
    let text = reader.text("collapse_key");
    let key = reader.parsed("collapse_key", text, ProblemKind::InvalidField)?;
    if ttl.is_zero() {
        let detail = "what has a ttl of 0 is stored nowhere, so that nothing can replace it: leave collapse_key \
                      out, or give it a ttl";
        reader.refuse(ProblemKind::InvalidField, "collapse_key", detail.to_owned());
    }
    Some(key)
}

/// When it is to be delivered. Whether that is neither past nor too far ahead is for the store to say, which first looks
/// whether it is a repetition: that may come after its time.
fn deliver_at(reader: &mut FieldReader<'_>, ttl: Duration) -> Option<Millis> {
    let at = reader.time("deliver_at")?;
    if ttl.is_zero() {
        let detail = "what has a ttl of 0 is stored nowhere, and nobody could be told later whether anybody was \
                      connected: leave deliver_at out, or give it a ttl";
        reader.refuse(ProblemKind::InvalidField, "deliver_at", detail.to_owned());
    }
    Some(at)
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
