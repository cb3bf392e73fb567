//! Values that several routes take or answer.

use std::time::Duration;

use carillon_common::{protocol::schema::names, settings::Settings};
use serde_json::{Value, json};

use super::described;

described! {
    /// A gateway's name.
    GatewayName: names::gateway();
    /// A notification's identity.
    Id: names::notification_id();
    /// A position.
    Cursor: names::cursor();
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
    /// How long a broadcast is kept in its channel's log.
    BroadcastTtl: json!({
        "anyOf": [seconds("exclusiveMinimum", broadcast_limit(&Settings::default())), in_words()],
        "description": "How long it is kept: seconds, or a text with units; above 0 and at most, and when absent, the \
            age of the channel's log (`channels.ttl`, its namespace's, or `channels.broadcast_ttl`)",
    });
}

/// The schemas that follow from settings, by name: where in them the limit stands, and what it is.
pub(super) fn limits(settings: &Settings) -> [(&'static str, &'static str, Value); 2] {
    [
        ("SendTtl", "/anyOf/0/maximum", send_limit(settings)),
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
