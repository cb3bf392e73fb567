//! `GET /api/users/{user}/presence`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    backend::{Device, Presence},
    ids::{DeviceId, GatewayId, SessionId, UserId},
    notification::rfc3339,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{Caller, may, may_reach_user};
use crate::{
    app::App,
    contract::{self, Asking, OfUser, OfUsers},
    dispatch::deliver,
    error::ApiError,
    extract::UserInPath,
    paths::USER_PRESENCE,
};

/// Tells where a user is connected
///
/// The connections on gateways whose lease holds, the oldest first. What a killed gateway held stays until its lease
/// has ended.
#[utoipa::path(
    get,
    path = USER_PRESENCE,
    tag = "users",
    params(Asking, OfUser),
    responses(
        (status = 200, description = "The user's connections; none where nobody of that name is connected", body = UserPresence, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfUsers,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn user_presence(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
    UserInPath(user): UserInPath,
) -> Result<Json<UserPresence>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    let mut present = deliver(until, || app.backend.presence(&user)).await?.answer;
    present.sort_by(|one, other| (one.since, &one.session).cmp(&(other.since, &other.session)));
    Ok(Json(UserPresence {
        online: !present.is_empty(),
        connections: present.into_iter().map(UserConnection::of).collect(),
        user,
    }))
}

/// Where a user is connected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserPresence {
    #[schema(value_type = contract::User)]
    user: UserId,
    /// Whether there is a connection.
    online: bool,
    connections: Vec<UserConnection>,
}

/// One connection of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserConnection {
    /// The device; null for one that does not name itself.
    #[schema(value_type = Option<contract::DeviceName>, required)]
    device: Option<DeviceId>,
    #[schema(value_type = contract::Session)]
    session: SessionId,
    #[schema(value_type = contract::GatewayName)]
    gateway: GatewayId,
    /// When it was opened.
    #[schema(value_type = contract::Time)]
    since: String,
}

impl UserConnection {
    fn of(present: Presence) -> Self {
        Self {
            device: match present.device {
                Device::Named(name) => Some(name),
                Device::Anonymous => None,
            },
            session: present.session,
            gateway: present.gateway,
            since: rfc3339(present.since),
        }
    }
}
