//! `/api/users/{user}/channels`: the channels that services put a user on.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    auth::Service,
    ids::{ChannelName, UserId},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::caller::{Caller, may, may_broadcast, may_reach_channel, may_reach_user};
use crate::{
    app::App,
    contract::{self, Asking, OfAssignment, OfAssignments, OfUser, OfUsers},
    dispatch::{Assigning, deliver},
    error::ApiError,
    extract::{AssignmentInPath, UserInPath},
    paths::{ASSIGNED, ASSIGNMENT},
};

/// Puts a user on a channel
///
/// From now on every device of the user is given what is published to it, as long as the user is on it: those that are
/// connected follow within two seconds, those that are away are caught up when they come. Whether the user's token allows
/// the channel does not matter. Asking again changes nothing.
#[utoipa::path(
    put,
    path = ASSIGNMENT,
    tag = "channels",
    params(Asking, OfAssignment),
    responses(
        (status = 200, description = "The user is on the channel", body = AssignAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfAssignments,
    ),
    security(("api_key" = ["broadcast"])),
)]
pub(crate) async fn put_on(
    State(app): State<Arc<App>>,
    caller: Caller<may::Broadcast>,
    assignment: AssignmentInPath,
) -> Result<Json<AssignAnswer>, ApiError> {
    one(&app, &caller, assignment, Assigning::Add).await
}

/// Takes a user off a channel
///
/// Whoever put the user on it: a service, or the user's own clients, whose kept subscriptions to it go. Those that are
/// connected leave it within two seconds, and are told `unsubscribed` with the code `removed`; they may subscribe again
/// where their token allows it. Asking again changes nothing.
#[utoipa::path(
    delete,
    path = ASSIGNMENT,
    tag = "channels",
    params(Asking, OfAssignment),
    responses(
        (status = 200, description = "The user is not on the channel", body = AssignAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfAssignments,
    ),
    security(("api_key" = ["broadcast"])),
)]
pub(crate) async fn take_off(
    State(app): State<Arc<App>>,
    caller: Caller<may::Broadcast>,
    assignment: AssignmentInPath,
) -> Result<Json<AssignAnswer>, ApiError> {
    one(&app, &caller, assignment, Assigning::Remove).await
}

/// Lists the channels that services have put a user on
///
/// By name. What the user's own clients have subscribed to is not among them.
#[utoipa::path(
    get,
    path = ASSIGNED,
    tag = "channels",
    params(Asking, OfUser),
    responses(
        (status = 200, description = "The channels; none where nothing is known of the user", body = AssignedChannels, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfUsers,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn assigned(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
    UserInPath(user): UserInPath,
) -> Result<Json<AssignedChannels>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    let mut channels = deliver(until, || app.backend.assigned(&user)).await?.answer;
    channels.retain(|channel| may_reach_channel(&caller.service, channel).is_ok());
    Ok(Json(AssignedChannels { user, channels }))
}

async fn one(
    app: &App,
    caller: &Caller<may::Broadcast>,
    AssignmentInPath(user, channel): AssignmentInPath,
    action: Assigning,
) -> Result<Json<AssignAnswer>, ApiError> {
    may_assign(&caller.service, &user, &channel)?;
    let until = app.store_deadline(caller.deadline);
    let changed = assign(app, until, &user, &channel, action).await?;
    Ok(Json(AssignAnswer {
        status: "ok",
        user,
        channel,
        changed,
    }))
}

/// Whether the service may put this user on this channel.
///
/// # Errors
/// What it may not.
pub(super) fn may_assign(
    service: &Service,
    user: &UserId,
    channel: &ChannelName,
) -> Result<(), ApiError> {
    may_reach_user(service, user)?;
    may_broadcast(service, Some(channel))
}

/// Has the store put a user on a channel, or take the user off. Answers whether it was not so before.
pub(super) async fn assign(
    app: &App,
    until: Instant,
    user: &UserId,
    channel: &ChannelName,
    action: Assigning,
) -> Result<bool, ApiError> {
    Ok(match action {
        Assigning::Add => {
            let put = deliver(until, || app.backend.assign(user, channel)).await?;
            put.answer.is_new || put.after_doubt
        }
        Assigning::Remove => {
            let was = deliver(until, || app.backend.unassign(user, channel)).await?;
            was.answer || was.after_doubt
        }
    })
}

/// A user is on a channel, or is not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssignAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    #[schema(value_type = contract::User)]
    user: UserId,
    #[schema(value_type = contract::Channel)]
    channel: ChannelName,
    /// Whether it was not so before.
    changed: bool,
}

/// The channels that services have put a user on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssignedChannels {
    #[schema(value_type = contract::User)]
    user: UserId,
    #[schema(value_type = Vec<contract::Channel>)]
    channels: Vec<ChannelName>,
}
