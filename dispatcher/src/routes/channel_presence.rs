//! `GET /api/channels/{channel}/presence`

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use carillon_common::{
    backend::{RollCall, Rolls},
    ids::{ChannelName, DeviceId, GatewayId, SessionId, UserId},
    protocol::schema::names,
};
use serde::Serialize;
use tokio::time::timeout_at;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    caller::{may, may_reach_channel},
    question::{Question, page_of},
};
use crate::{
    app::App,
    contract::{self, Asking, OfChannel, OfChannels, limit, optional, query},
    dispatch::{Merged, Place, deliver, merged},
    error::ApiError,
    extract::ChannelInPath,
    paths::CHANNEL_PRESENCE,
};

/// How long gateways have to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Users of a page: at most, and where the caller does not say.
const MOST: u32 = 256;
const USUAL: u32 = 100;

/// What may be asked.
enum PresenceQuery {}

impl IntoParams for PresenceQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut after = names::user();
        after["description"] = "Only users after this one: the `next` of the page before".into();
        query(vec![
            optional("after", after),
            optional("limit", limit(USUAL, MOST)),
        ])
    }
}

/// Tells who is on a channel now
///
/// Nothing of it is stored: every gateway is asked, and has a second to answer. `gateways` says how many have; of the
/// others nothing is known. Users in the order of their names' bytes, each with its connections that are on the channel.
#[utoipa::path(
    get,
    path = CHANNEL_PRESENCE,
    tag = "channels",
    params(Asking, OfChannel, PresenceQuery),
    responses(
        (status = 200, description = "A page of the users", body = ChannelPresence, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfChannels,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn channel_presence(
    State(app): State<Arc<App>>,
    question: Question<may::Read>,
    ChannelInPath(channel): ChannelInPath,
) -> Result<Json<ChannelPresence>, ApiError> {
    may_reach_channel(&question.caller.service, &channel)?;
    let (after, limit) = page_of(&question.parameters()?, USUAL, MOST)?;
    let mut call = RollCall {
        channel,
        after,
        most: limit,
    };
    let until = app.store_deadline(question.caller.deadline);
    let place = timeout_at(until, app.roll_calls.acquire()).await;
    let Ok(Ok(_place)) = place else {
        return Err(ApiError::Overloaded);
    };
    let service = &question.caller.service;
    let may = |user: &UserId| service.may_reach_user(user.as_str());
    // Until there is one who may be told: `next` names a user, too.
    loop {
        let rolls = deliver(until, || app.backend.roll_call(&call, ANSWERED_WITHIN)).await?;
        let (presence, last) =
            ChannelPresence::of(call.channel.clone(), rolls.answer, limit as usize, may);
        if last.is_none() || presence.next.is_some() {
            return Ok(Json(presence));
        }
        call.after = last;
    }
}

/// Who is on a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelPresence {
    #[schema(value_type = contract::Channel)]
    channel: ChannelName,
    /// How many connections are on it, all users' together.
    connections: u64,
    users: Vec<ChannelUser>,
    /// `after` for the next page; null where there is none.
    #[schema(value_type = Option<contract::User>, required)]
    next: Option<UserId>,
    gateways: GatewaysAsked,
}

/// A user on a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelUser {
    #[schema(value_type = contract::User)]
    user: UserId,
    /// The connections that are on it.
    connections: Vec<ChannelConnection>,
}

/// One connection that is on a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelConnection {
    /// The device; null for one that does not name itself.
    #[schema(value_type = Option<contract::DeviceName>, required)]
    device: Option<DeviceId>,
    #[schema(value_type = contract::Session)]
    session: SessionId,
    #[schema(value_type = contract::GatewayName)]
    gateway: GatewayId,
}

/// Whose word it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewaysAsked {
    /// How many were asked: all whose lease holds.
    asked: usize,
    /// How many answered in time.
    answered: usize,
}

impl ChannelPresence {
    /// What gateways answered, without users that the caller has nothing to do with; and after whom there are more, whoever
    /// that is.
    fn of(
        channel: ChannelName,
        rolls: Rolls,
        most: usize,
        may: impl Fn(&UserId) -> bool,
    ) -> (Self, Option<UserId>) {
        let gateways = GatewaysAsked {
            asked: rolls.asked,
            answered: rolls.answers.len(),
        };
        let Merged {
            connections,
            users,
            next,
        } = merged(rolls.answers, most);
        let users = users.into_iter().filter(|(user, _)| may(user));
        let users: Vec<_> = users
            .map(|(user, places)| ChannelUser::of(user, places))
            .collect();
        let told = users.last().filter(|_| next.is_some());
        let presence = Self {
            channel,
            connections,
            next: told.map(|last| last.user.clone()),
            users,
            gateways,
        };
        (presence, next)
    }
}

impl ChannelUser {
    fn of(user: UserId, places: Vec<Place>) -> Self {
        let connections = places.into_iter().map(|place| ChannelConnection {
            device: place.device,
            session: place.session,
            gateway: place.gateway,
        });
        Self {
            user,
            connections: connections.collect(),
        }
    }
}
