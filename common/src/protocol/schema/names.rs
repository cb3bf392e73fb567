//! Names and values that REST and the socket share, as JSON Schema. Rules that JSON Schema has no word for
//! (bytes of UTF-8) stand beside it in `x-max-bytes`.

use serde_json::{Value, json};

use crate::protocol::RESERVED_TYPES;

/// Most bytes of a notification's type: it becomes a label, and a key of the application's handlers.
pub const TYPE_BYTES: usize = 128;

/// A user's name.
pub fn user() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 255, "x-max-bytes": 255,
        "description": "1 to 255 bytes of any text: the `sub` of the user's tokens",
        "examples": ["alice"],
    })
}

/// A device's or a session's.
pub fn device() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$", "examples": ["phone"] })
}

/// A channel's, as callers and clients may name it.
pub fn channel() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,255}$", "examples": ["orders"] })
}

/// What the newest notification stands for.
pub fn collapse_key() -> Value {
    json!({
        "type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$", "examples": ["order-4711"],
        "description": "What this notification stands for: the user's last one of the same key is delivered no more",
    })
}

/// A gateway's.
pub fn gateway() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "examples": ["5d8f7c9b4d-abcde"] })
}

/// The application's own type of a notification.
pub fn notification_type() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": TYPE_BYTES, "x-max-bytes": TYPE_BYTES,
        "pattern": "^[^$]", "not": { "enum": RESERVED_TYPES },
        "description": "The application's own: none of the protocol's, and none that starts with `$`",
        "examples": ["order.shipped"],
    })
}

/// A position.
pub fn cursor() -> Value {
    json!({
        "type": "string", "pattern": "^[0-9]{1,16}-[0-9]{1,10}$",
        "description": "A position in an inbox or a channel's log. Opaque: kept and given back as it came",
        "examples": ["1767225600123-2874613"],
    })
}

/// A notification's identity.
pub fn notification_id() -> Value {
    json!({
        "type": "string", "format": "uuid",
        "description": "The notification's identity. Opaque: what comes again has the same",
        "examples": ["0199d2c4-7f3a-7000-8000-000000000000"],
    })
}

/// A time.
pub fn time() -> Value {
    json!({
        "type": "string", "format": "date-time",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
        "description": "RFC 3339, in UTC with milliseconds",
        "examples": ["2026-01-01T00:00:00.000Z"],
    })
}

/// A client's own mark on a request.
pub fn mark() -> Value {
    json!({
        "anyOf": [{ "type": "number" }, { "type": "string", "maxLength": 64, "x-max-bytes": 64 }],
        "description": "The client's own mark on a request, echoed in its answer",
    })
}

/// A count.
pub fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}
