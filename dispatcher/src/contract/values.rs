//! Values that several routes take or answer.

use std::time::Duration;

use carillon_common::{protocol::schema::names, settings::Settings};
use serde_json::{Value, json};

use super::described;

described! {
    /// A gateway's name.
    GatewayName: names::gateway();
    /// A user's name.
    User: names::user();
    /// A channel's name.
    Channel: names::channel();
    /// A session's name.
    Session: names::device();
    /// A notification's identity.
    Id: names::notification_id();
    /// A position.
    Cursor: names::cursor();
    /// A device's name.
    DeviceName: names::device();
    /// A time.
    Time: names::time();
    /// What the newest notification stands for.
    CollapseKey: names::collapse_key();
    /// A notification of an inbox or a log, as `notification_kept` writes it.
    StoredNotification: json!({
        "type": "object",
        "required": ["id", "type", "content", "data", "timestamp", "target_user", "channel", "cursor", "stored_at", "expires_at"],
        "properties": {
            "id": names::notification_id(),
            "type": names::notification_type(),
            "content": { "type": "string", "description": "Text for people; may be empty" },
            "data": { "description": "Any JSON, as the sender wrote it" },
            "timestamp": names::time(),
            "target_user": { "anyOf": [names::user(), { "type": "null" }], "description": "Whose inbox it is in; null for a channel's" },
            "channel": { "anyOf": [names::channel(), { "type": "null" }] },
            "cursor": names::cursor(),
            "stored_at": names::time(),
            "expires_at": names::time(),
        },
    });
    /// A notification that waits for its time, as `notification_waiting` writes it.
    ScheduledNotification: json!({
        "type": "object",
        "required": ["id", "type", "content", "data", "timestamp", "target_user", "channel", "deliver_at", "accepted_at",
            "expires_at", "collapse_key"],
        "properties": {
            "id": names::notification_id(),
            "type": names::notification_type(),
            "content": { "type": "string", "description": "Text for people; may be empty" },
            "data": { "description": "Any JSON, as the sender wrote it" },
            "timestamp": names::time(),
            "target_user": names::user(),
            "channel": { "anyOf": [names::channel(), { "type": "null" }] },
            "deliver_at": names::time(),
            "accepted_at": names::time(),
            "expires_at": names::time(),
            "collapse_key": { "anyOf": [names::collapse_key(), { "type": "null" }] },
        },
    });
    /// What every 2xx begins with.
    Ok: json!({ "type": "string", "const": "ok" });
    /// The application's own.
    Data: json!({
        "description": "Any JSON, passed on as it is written, digit for digit; absent or null: `{}`. Nested at most \
            100 deep, numbers within a double's range, no half surrogate pairs",
        "examples": [{ "order": 4711 }],
    });
    /// How long a notification to a user may be delivered.
    SendTtl: json!({
        "anyOf": [seconds("minimum", send_limit(&Settings::default())), in_words()],
        "description": "How long it may be delivered: seconds, or a text with units; at most, and when absent, \
            `inbox.ttl`. 0: to whoever is connected now, stored nowhere",
    });
    /// When a notification is to be delivered.
    DeliverAt: moment("Not now, but then: at most 30 days ahead; `ttl` counts from there. Null or absent: now");
    /// How long a connection may last whose ticket a service asks for.
    TicketSession: json!({
        "anyOf": [seconds("exclusiveMinimum", session_limit(&Settings::default())), in_words()],
        "description": "Of a service: how long the connection may last: seconds, or a text with units; above 0 and at most, \
            and when absent, `auth.ticket_session`",
    });
    /// How long a broadcast is kept in its channel's log.
    BroadcastTtl: json!({
        "anyOf": [seconds("exclusiveMinimum", broadcast_limit(&Settings::default())), in_words()],
        "description": "How long it is kept: seconds, or a text with units; above 0 and at most, and when absent, the \
            age of the channel's log (`channels.ttl`, its namespace's, or `channels.broadcast_ttl`)",
    });
}

/// A time that a caller names.
pub(crate) fn moment(about: &str) -> Value {
    json!({
        "anyOf": [
            {
                "type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"],
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
            },
            { "type": "number", "minimum": 0, "maximum": 253_402_300_799_u64 },
        ],
        "description": format!("{about}. A text by RFC 3339, or seconds since 1970, as in tokens"),
    })
}

/// How many things a page has.
pub(crate) fn limit(usual: u32, most: u32) -> Value {
    json!({
        "type": "integer", "minimum": 1, "maximum": most, "default": usual,
        "description": format!("How many at most; {usual} where it is absent"),
    })
}

/// The schemas that follow from settings, by name: where in them the limit stands, and what it is.
pub(super) fn limits(settings: &Settings) -> [(&'static str, &'static str, Value); 3] {
    [
        ("SendTtl", "/anyOf/0/maximum", send_limit(settings)),
        ("TicketSession", "/anyOf/0/maximum", session_limit(settings)),
        (
            "BroadcastTtl",
            "/anyOf/0/maximum",
            broadcast_limit(settings),
        ),
    ]
}

fn seconds(least: &str, most: Value) -> Value {
    json!({ "type": "number", least: 0, "maximum": most, "examples": [90] })
}

/// Units in descending order or any other; a number alone counts seconds.
fn in_words() -> Value {
    json!({
        "type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?|([0-9]+ ?(ms|s|m|h|d|w) ?)+)$",
        "examples": ["10m", "2h 30m"],
    })
}

fn send_limit(settings: &Settings) -> Value {
    in_seconds(settings.inbox.ttl)
}

fn session_limit(settings: &Settings) -> Value {
    in_seconds(settings.auth.ticket_session)
}

/// The longest of all logs': which one applies depends on the channel.
fn broadcast_limit(settings: &Settings) -> Value {
    let namespaces = settings.namespaces.iter().filter_map(|it| it.ttl);
    let longest = namespaces.fold(settings.channels.broadcast_ttl, Ord::max);
    in_seconds(longest.max(settings.channels.ttl))
}

/// A whole number where it is one.
pub(super) fn in_seconds(time: Duration) -> Value {
    match time.subsec_nanos() {
        0 => time.as_secs().into(),
        _ => time.as_secs_f64().into(),
    }
}
