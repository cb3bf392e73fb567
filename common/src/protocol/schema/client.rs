//! What clients send.

use serde_json::{Value, json};

use super::{Always, Described, Field, Sometimes, frame, names, or_null, said};
use crate::protocol::Dialect;

/// The frames that a client of this dialect may send.
pub fn requests(dialect: Dialect) -> Vec<Described> {
    if !dialect.is_asked() {
        return Vec::new();
    }
    let mut all = vec![ping(), subscribe(dialect), unsubscribe()];
    if dialect == Dialect::V1 {
        all.extend([ack(), auth()]);
    }
    all
}

fn ping() -> Described {
    Described {
        kind: "ping",
        about: "Asks whether the gateway lives; answered by `pong`",
        schema: frame("ping", [mark()]),
        example: json!({ "type": "ping" }),
    }
}

fn subscribe(dialect: Dialect) -> Described {
    let of_v1 = || {
        let since = said(
            or_null(names::cursor()),
            "Replays what followed this position",
        );
        let durable = json!({ "type": ["boolean", "null"] });
        let durable = said(
            durable,
            "Keeps the subscription for the device's next connections",
        );
        [
            Field("since", since, Sometimes),
            Field("durable", durable, Sometimes),
        ]
    };
    let more = (dialect == Dialect::V1).then(of_v1).into_iter().flatten();
    let fields = [channel(), mark()].into_iter().chain(more);
    Described {
        kind: "subscribe",
        about: "Joins a channel; answered by `subscribed` or `error`",
        schema: frame("subscribe", fields),
        example: json!({ "type": "subscribe", "channel": "orders" }),
    }
}

fn unsubscribe() -> Described {
    Described {
        kind: "unsubscribe",
        about: "Leaves a channel; `carillon.v1` answers with `unsubscribed`",
        schema: frame("unsubscribe", [channel(), mark()]),
        example: json!({ "type": "unsubscribe", "channel": "orders" }),
    }
}

fn ack() -> Described {
    let cursor = said(names::cursor(), "One that was written on this connection");
    let cursor = Field("cursor", cursor, Always);
    Described {
        kind: "ack",
        about: "Everything up to this position has been handled; not answered",
        schema: frame("ack", [cursor, mark()]),
        example: json!({ "type": "ack", "cursor": "1767225600123-2874613" }),
    }
}

/// Alone it may come before `welcome`, as the first frame of a connection without a token.
pub fn auth() -> Described {
    let token: Value = json!({ "type": "string", "description": "A JWT of the same user" });
    let token = Field("token", token, Always);
    Described {
        kind: "auth",
        about: "Authenticates, or renews the token; answered by `authenticated` or `error`",
        schema: frame("auth", [token, mark()]),
        example: json!({ "type": "auth", "token": "eyJhbGciOi…" }),
    }
}

fn channel() -> Field {
    Field("channel", names::channel(), Always)
}

/// The simple protocol takes it, too, and does not echo it.
fn mark() -> Field {
    let mark = said(
        or_null(names::mark()),
        "The client's own mark, which `carillon.v1` echoes in the answer",
    );
    Field("ref", mark, Sometimes)
}
