//! What gateways send.

use serde_json::{Value, json};

use super::{Always, Described, Field, Need, Sometimes, frame, mark, names, object, or_null, said};
use crate::{
    backend::Gap,
    protocol::{CloseCode, Dialect, ErrorCode, SUBPROTOCOL},
};

/// The frames that a client of this dialect is sent.
pub fn answers(dialect: Dialect) -> Vec<Described> {
    let mut all = vec![notification(dialect), subscribed(dialect), error(dialect)];
    if dialect.is_asked() {
        all.push(pong(dialect));
    }
    if dialect.tells() {
        all.extend([
            welcome(),
            replayed(),
            token_expiring(),
            gap(),
            retracted(),
            changed(),
            reconnect(),
        ]);
    }
    match dialect {
        Dialect::Simple => {}
        Dialect::V1 => all.extend([unsubscribed(), authenticated()]),
        Dialect::Events => all.push(disconnect()),
    }
    all
}

fn notification(dialect: Dialect) -> Described {
    let user = said(
        or_null(names::user()),
        "Whose inbox it is from; null for a channel's and for everyone's",
    );
    let label = said(
        or_null(names::channel()),
        "Its channel; on a personal notification a label alone",
    );
    let mut fields = vec![
        Field("id", names::notification_id(), Always),
        Field("type", names::notification_type(), Always),
        text("content", "Text for people; may be empty", Always),
        Field(
            "data",
            json!({ "description": "Any JSON, as the sender wrote it" }),
            Always,
        ),
        Field(
            "timestamp",
            said(names::time(), "When it was accepted"),
            Always,
        ),
        Field("target_user", user, Always),
        Field("channel", label, Always),
        Field(
            "stored_at",
            said(names::time(), "When it was stored, if it was replayed"),
            Sometimes,
        ),
    ];
    let mut example = json!({
        "id": "0199d2c4-7f3a-7000-8000-000000000000", "type": "order.shipped", "content": "On its way",
        "data": { "order": 4711 }, "timestamp": "2026-01-01T00:00:00.000Z", "target_user": "alice", "channel": null,
    });
    if dialect.tells() {
        let place = said(
            names::cursor(),
            "Its position; none if it is stored nowhere",
        );
        fields.extend([
            Field("cursor", place, Sometimes),
            Field(
                "expires_at",
                said(names::time(), "From when on it is delivered no more"),
                Always,
            ),
            Field(
                "replayed",
                json!({ "const": true, "description": "It waited" }),
                Sometimes,
            ),
        ]);
        example["cursor"] = "1767225600123-2874613".into();
        example["expires_at"] = "2026-01-08T00:00:00.000Z".into();
    }
    Described {
        kind: "notification",
        about: "What a service sent: the only frames with an `id`",
        schema: object(fields),
        example,
    }
}

fn retracted() -> Described {
    let ids = json!({
        "type": "array", "minItems": 1, "items": names::notification_id(),
        "description": "Notifications that are to be shown no longer; some may never have been given to this client",
    });
    Described {
        kind: "retracted",
        about: "Their sender took these back, or sent another of the same collapse key",
        schema: frame("retracted", [Field("ids", ids, Always)]),
        example: json!({ "type": "retracted", "ids": ["0199d2c4-7f3a-7000-8000-000000000000"] }),
    }
}

fn changed() -> Described {
    let what = json!({ "const": "read", "description": "`read`: the user has read something, on whichever device" });
    let one = "The position of the one that was read, whose id is `notification`";
    let all = "All up to this position were read";
    Described {
        kind: "changed",
        about: "The user has read one notification (`cursor`, `notification`), or all up to a position (`up_to`). Told \
                to who is connected then; whoever connects asks `/api/me/unread`",
        schema: frame(
            "changed",
            [
                Field("what", what, Always),
                Field("cursor", said(names::cursor(), one), Sometimes),
                Field("notification", names::notification_id(), Sometimes),
                Field("up_to", said(names::cursor(), all), Sometimes),
            ],
        ),
        example: json!({ "type": "changed", "what": "read", "up_to": "1767225600123-2874613" }),
    }
}

fn pong(dialect: Dialect) -> Described {
    let timestamp = Field(
        "timestamp",
        said(names::time(), "The gateway's time"),
        Always,
    );
    Described {
        kind: "pong",
        about: "Answers `ping`",
        schema: frame("pong", [timestamp].into_iter().chain(mark(dialect))),
        example: json!({ "type": "pong", "timestamp": "2026-01-01T00:00:00.000Z" }),
    }
}

fn subscribed(dialect: Dialect) -> Described {
    let of_v1 = || {
        [
            Field(
                "cursor",
                said(names::cursor(), "From where on the channel is followed"),
                Always,
            ),
            truth("recovered", "Whether nothing is missing since `since`"),
        ]
    };
    let more = (dialect.tells()).then(of_v1).into_iter().flatten();
    let fields = [named_channel()]
        .into_iter()
        .chain(mark(dialect))
        .chain(more);
    let mut example = json!({ "type": "subscribed", "channel": "orders" });
    if dialect.tells() {
        example["cursor"] = "1767225600123-91827364".into();
        example["recovered"] = true.into();
    }
    Described {
        kind: "subscribed",
        about: "The channel is followed: everything accepted from now on comes",
        schema: frame("subscribed", fields),
        example,
    }
}

fn error(dialect: Dialect) -> Described {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let code = json!({ "enum": codes, "description": "Stable; what programs branch on" });
    let fields = [
        Field("code", code, Always),
        text("message", "What is wrong, and what would be right", Always),
        truth("retryable", "Whether the same request may succeed later"),
        Field("channel", names::channel(), Sometimes),
    ];
    Described {
        kind: "error",
        about: "Answers a request that was refused; the connection goes on",
        schema: frame("error", fields.into_iter().chain(mark(dialect))),
        example: json!({
            "type": "error", "code": "channel_forbidden", "message": "…", "retryable": false, "channel": "private:x",
        }),
    }
}

fn welcome() -> Described {
    let limits = object(
        ["frame_bytes", "channels", "frames_per_second", "inbox"]
            .map(|name| Field(name, names::count(), Always)),
    );
    let fields = [
        Field("protocol", json!({ "const": SUBPROTOCOL }), Always),
        Field("session", names::device(), Always),
        Field("user", names::user(), Always),
        Field("device", or_null(names::device()), Always),
        Field(
            "cursor",
            said(names::cursor(), "The position from which the inbox is read"),
            Always,
        ),
        truth(
            "recovered",
            "Whether nothing is missing since that position",
        ),
        Field("ping_interval_ms", names::count(), Always),
        Field("token_expires_at", names::time(), Always),
        Field("limits", limits, Always),
    ];
    Described {
        kind: "welcome",
        about: "Begins a connection; what was missed follows",
        schema: frame("welcome", fields),
        example: json!({
            "type": "welcome", "protocol": SUBPROTOCOL, "session": "tab-1", "user": "alice", "device": "phone",
            "cursor": "1767225600123-2874613", "recovered": true, "ping_interval_ms": 25000,
            "token_expires_at": "2026-01-01T01:00:00.000Z",
            "limits": { "frame_bytes": 65536, "channels": 100, "frames_per_second": 20, "inbox": 1000 },
        }),
    }
}

fn replayed() -> Described {
    let fields = [
        Field(
            "cursor",
            said(names::cursor(), "Up to where the inbox was read"),
            Always,
        ),
        Field(
            "count",
            said(names::count(), "How many were written for it"),
            Always,
        ),
    ];
    Described {
        kind: "replayed",
        about: "Ends the catching up: from here on notifications come as they are sent",
        schema: frame("replayed", fields),
        example: json!({ "type": "replayed", "cursor": "1767225600123-2874613", "count": 12 }),
    }
}

fn unsubscribed() -> Described {
    let codes = [
        ErrorCode::ChannelForbidden,
        ErrorCode::Removed,
        ErrorCode::TooManyChannels,
    ]
    .map(ErrorCode::as_str);
    let code = json!({ "enum": codes, "description": "Why, where the client did not ask" });
    let fields = [named_channel(), Field("code", code, Sometimes)];
    Described {
        kind: "unsubscribed",
        about: "The channel is left",
        schema: frame("unsubscribed", fields.into_iter().chain(mark(Dialect::V1))),
        example: json!({ "type": "unsubscribed", "channel": "private:x", "code": "channel_forbidden" }),
    }
}

fn authenticated() -> Described {
    let expires = Field(
        "expires_at",
        said(names::time(), "When the token ends"),
        Always,
    );
    Described {
        kind: "authenticated",
        about: "Answers `auth`: the token is in force",
        schema: frame(
            "authenticated",
            [expires].into_iter().chain(mark(Dialect::V1)),
        ),
        example: json!({ "type": "authenticated", "expires_at": "2026-01-01T01:00:00.000Z" }),
    }
}

fn token_expiring() -> Described {
    let expires = Field(
        "expires_at",
        said(names::time(), "When the token ends"),
        Always,
    );
    Described {
        kind: "token_expiring",
        about: "The token ends soon: renew it with `auth`",
        schema: frame("token_expiring", [expires]),
        example: json!({ "type": "token_expiring", "expires_at": "2026-01-01T01:00:00.000Z" }),
    }
}

fn gap() -> Described {
    let reasons = [Gap::Expired, Gap::TooMany, Gap::Rewound].map(Gap::as_str);
    let channel = json!({
        "anyOf": [names::channel(), { "const": "*" }, { "type": "null" }],
        "description": "Where something is missing: null is the inbox, `*` the broadcasts to everyone",
    });
    let fields = [
        Field("channel", channel, Always),
        Field("reason", json!({ "enum": reasons }), Always),
        Field(
            "resume",
            said(names::cursor(), "From where to go on"),
            Always,
        ),
    ];
    Described {
        kind: "gap",
        about: "Something cannot be had any more",
        schema: frame("gap", fields),
        example: json!({ "type": "gap", "channel": null, "reason": "expired", "resume": "1767225600123-2874613" }),
    }
}

fn reconnect() -> Described {
    let reasons = [CloseCode::Draining, CloseCode::Rebalance].map(CloseCode::reason);
    let fields = [
        Field("reason", json!({ "enum": reasons }), Always),
        Field(
            "after_ms",
            said(names::count(), "Leave after so long"),
            Always,
        ),
        Field(
            "spread_ms",
            said(names::count(), "and a random part of this"),
            Always,
        ),
        Field(
            "deadline_ms",
            said(names::count(), "Then the connection is closed"),
            Always,
        ),
    ];
    Described {
        kind: "reconnect",
        about: "The connection is going to be closed: open another one first",
        schema: frame("reconnect", fields),
        example: json!({
            "type": "reconnect", "reason": "draining", "after_ms": 0, "spread_ms": 110000, "deadline_ms": 120000,
        }),
    }
}

fn disconnect() -> Described {
    let code = json!({ "type": "integer", "minimum": 1000, "maximum": 4299,
        "description": "As a socket would be closed with; 4204 is of streams alone" });
    let fields = [
        Field("code", code, Always),
        text(
            "reason",
            "Of the code, or what a service has said instead",
            Always,
        ),
        Field(
            "retry_ms",
            said(names::count(), "When a browser comes back by itself"),
            Always,
        ),
    ];
    Described {
        kind: "disconnect",
        about: "The stream ends, and why",
        schema: frame("disconnect", fields),
        example: json!({ "type": "disconnect", "code": 4204, "reason": "unacked", "retry_ms": 270 }),
    }
}

fn named_channel() -> Field {
    Field("channel", names::channel(), Always)
}

fn text(name: &'static str, about: &str, need: Need) -> Field {
    Field(
        name,
        json!({ "type": "string", "description": about }),
        need,
    )
}

fn truth(name: &'static str, about: &str) -> Field {
    let schema: Value = json!({ "type": "boolean", "description": about });
    Field(name, schema, Always)
}
