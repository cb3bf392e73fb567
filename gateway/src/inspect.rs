//! What the admin port tells of connections, users and channels here.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    routing::get,
};
use carillon_common::{
    backend::Device,
    http::{Problem, admin::Route},
    ids::{Millis, SessionId, UserId},
    notification::rfc3339,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    parts::Gateway,
    routing::{Handle, Hub},
};

/// Rows of each kind that are shown.
const MOST: usize = 20;

/// What a gateway adds to the admin port.
pub const ADMIN_ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/connections",
        what: "a user's connections here: /connections?user=alice",
    },
    Route {
        method: "GET",
        path: "/connections/{session}",
        what: "the connections of a session here",
    },
    Route {
        method: "GET",
        path: "/busiest",
        what: "users and channels with the most, of the last minute or two; connections with the most waiting",
    },
];

/// Of whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    user: String,
}

impl Gateway {
    /// What needs an admin key.
    pub fn admin_routes(self: &Arc<Self>) -> Router<()> {
        Router::new()
            .route("/connections", get(of_user))
            .route("/connections/{session}", get(of_session))
            .route("/busiest", get(busiest))
            .with_state(self.clone())
    }
}

async fn of_user(
    State(gateway): State<Arc<Gateway>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let wrong = |detail: String| {
        let detail = format!("{detail}; ask for /connections?user=alice, percent-encoded");
        Problem::new(400, "invalid_query", "Invalid query").detail(detail)
    };
    let Query(asked) = asked.map_err(|error| wrong(error.body_text()))?;
    let user = UserId::new(&asked.user).map_err(|error| wrong(error.to_string()))?;
    let handles = gateway.hub.of(&user);
    let connections = handles.iter().map(|handle| shown(&gateway, handle));
    Ok(Json(
        json!({"connections": connections.collect::<Vec<_>>()}),
    ))
}

async fn of_session(
    State(gateway): State<Arc<Gateway>>,
    session: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let unknown = || {
        let detail = "no connection of this session is on this gateway; `carillon presence USER` says where a \
                      user's are";
        Problem::new(404, "connection_unknown", "No such connection").detail(detail)
    };
    let Path(session) = session.map_err(|_| unknown())?;
    let session = SessionId::new(&session).map_err(|_| unknown())?;
    let mut handles = Vec::new();
    gateway.hub.each(|handle| {
        if handle.session == session {
            handles.push(handle.clone());
        }
    });
    if handles.is_empty() {
        return Err(unknown());
    }
    let connections = handles.iter().map(|handle| shown(&gateway, handle));
    Ok(Json(
        json!({"connections": connections.collect::<Vec<_>>()}),
    ))
}

fn shown(gateway: &Gateway, handle: &Arc<Handle>) -> Value {
    let (messages, bytes) = handle.mailbox.waiting();
    // A fence is when it was first registered, or a little later.
    let since = handle
        .fence()
        .map(|fence| Millis::try_from(fence).unwrap_or(Millis::MAX));
    json!({
        "user": handle.user,
        "device": match &handle.device {
            Device::Named(device) => Some(device),
            Device::Anonymous => None,
        },
        "session": handle.session,
        "protocol": handle.origin.dialect.name(),
        "address": handle.origin.address,
        "since": since.map(rfc3339),
        "position": handle.position(),
        "waiting": {"messages": messages, "bytes": bytes},
        "channels": gateway.channels.of(handle),
    })
}

async fn busiest(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let busiest = &gateway.metrics.busiest;
    let (users, since) = busiest.users(MOST);
    let (channels, _) = busiest.channels(MOST);
    let users = users
        .iter()
        .map(|one| json!({"user": one.key, "notifications": one.count, "too_many_by": one.over}));
    let channels = channels.iter().map(|one| {
        json!({"channel": one.key.as_str(), "deliveries": one.count, "too_many_by": one.over})
    });
    let waiting = most_waiting(&gateway.hub);
    let waiting = waiting.iter().map(|handle| shown(&gateway, handle));
    Json(json!({
        "waiting": waiting.collect::<Vec<_>>(),
        "seconds": since.elapsed().as_secs(),
        "users": users.collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
    }))
}

/// The connections for which the most waits, fullest first: whoever reads too slowly is among them.
fn most_waiting(hub: &Hub) -> Vec<Arc<Handle>> {
    let mut all = Vec::new();
    hub.each(|handle| {
        let (_, bytes) = handle.mailbox.waiting();
        if bytes > 0 {
            all.push((bytes, handle.clone()));
        }
    });
    all.sort_by_key(|(bytes, _)| Reverse(*bytes));
    all.truncate(MOST);
    all.into_iter().map(|(_, handle)| handle).collect()
}
