//! `POST /api/channels/{channel}/users`: many users of a channel at once.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, State},
};
use carillon_common::{
    http::Problem,
    ids::{ChannelName, UserId},
    protocol::schema::names,
};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    assigned::{assign, may_assign},
    caller::{Caller, may, may_broadcast},
    several::{AT_ONCE, is_unknown, place},
};
use crate::{
    app::App,
    contract::{self, Asking, OfChannel, OfSubscribers, described, fields, required},
    dispatch::{AssignRequest, MOST_USERS},
    error::ApiError,
    extract::{ChannelInPath, Fields, refuse_query},
    paths::CHANNEL_USERS,
};

described! {
    /// What is done with which users; [`AssignRequest::read`] reads it.
    SubscribersFields: fields(vec![
        required("action", json!({ "enum": ["add", "remove"],
            "description": "`add` puts them on the channel, `remove` takes them off it" })),
        required("users", json!({ "type": "array", "minItems": 1, "maxItems": MOST_USERS, "uniqueItems": true,
            "items": names::user() })),
    ]);
    /// What became of one of them; [`Became`] writes it.
    SubscriberResult: json!({
        "type": "object",
        "required": ["user", "status"],
        "properties": {
            "user": names::user(),
            "status": { "enum": ["ok", "failed", "unknown"], "description":
                "`ok`: it is so. `failed`: it is not. `unknown`: the store did not say; ask again. Of the last two \
                 `problem` tells more" },
            "changed": { "type": "boolean", "description": "Whether it was not so before" },
            "problem": { "$ref": "#/components/schemas/Problem" },
        },
    });
}

/// A call about a channel's users; its body is not read yet.
pub(crate) struct Order {
    caller: Caller<may::Broadcast>,
    channel: ChannelName,
    head: Parts,
    body: Body,
}

impl FromRequest<Arc<App>> for Order {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut head, body) = request.into_parts();
        let caller = Caller::of(&head, app)?;
        let ChannelInPath(channel) = ChannelInPath::from_request_parts(&mut head, app).await?;
        refuse_query(&head.uri)?;
        Ok(Self {
            caller,
            channel,
            head,
            body,
        })
    }
}

/// Puts many users on a channel, or takes them off it
///
/// Each as `PUT` or `DELETE /api/users/{user}/channels/{channel}` does, by itself: of each the answer has what became of
/// it. Asking again changes nothing more.
#[utoipa::path(
    post,
    path = CHANNEL_USERS,
    tag = "channels",
    params(Asking, OfChannel),
    request_body(content = SubscribersFields, description = "At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "Of each user, what became of it", body = SubscribersAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfSubscribers,
    ),
    security(("api_key" = ["broadcast"])),
)]
pub(crate) async fn subscribers(
    State(app): State<Arc<App>>,
    order: Order,
) -> Result<Json<SubscribersAnswer>, ApiError> {
    let Order {
        caller,
        channel,
        head,
        body,
    } = order;
    may_broadcast(&caller.service, Some(&channel))?;
    let (name, deadline) = (&*caller.name, caller.deadline);
    let limit = app.settings.dispatcher.body_bytes;
    let body = app
        .bodies
        .read_json(name, &head.headers, body, limit, deadline);
    let request = AssignRequest::read(&Fields::from_json(&body.await?)?)?;

    let until = app.store_deadline(deadline);
    let each = stream::iter(0..request.users.len());
    let each = each.map(|at| one_of(&app, &caller, until, &channel, &request, at));
    let became: Vec<_> = each.buffered(AT_ONCE).collect().await;
    Ok(Json(answer(&app, &caller, channel, request.users, became)))
}

/// Does it for the user at this place of the request.
async fn one_of(
    app: &App,
    caller: &Caller<may::Broadcast>,
    until: Instant,
    channel: &ChannelName,
    request: &AssignRequest,
    at: usize,
) -> Result<bool, ApiError> {
    let user = &request.users[at];
    may_assign(&caller.service, user, channel)?;
    let _place = place(app, until).await?;
    assign(app, until, user, channel, request.action).await
}

fn answer(
    app: &App,
    caller: &Caller<may::Broadcast>,
    channel: ChannelName,
    users: Vec<UserId>,
    became: Vec<Result<bool, ApiError>>,
) -> SubscribersAnswer {
    let (mut done, mut unknown) = (0, 0);
    let results = users.into_iter().zip(became).map(|(user, became)| {
        let (status, changed, problem) = match became {
            Ok(changed) => {
                done += 1;
                ("ok", Some(changed), None)
            }
            Err(error) => {
                app.failures.log(&error, caller.arrival.id());
                app.counters.refusal(&error);
                let is_unknown = is_unknown(&error);
                unknown += usize::from(is_unknown);
                let problem = Box::new(error.problem(caller.arrival.id()));
                let status = if is_unknown { "unknown" } else { "failed" };
                (status, None, Some(problem))
            }
        };
        Became {
            user,
            status,
            changed,
            problem,
        }
    });
    let results: Vec<_> = results.collect();
    SubscribersAnswer {
        channel,
        done,
        failed: results.len() - done - unknown,
        unknown,
        results,
    }
}

/// What became of many users of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubscribersAnswer {
    #[schema(value_type = contract::Channel)]
    channel: ChannelName,
    /// Of how many it is so now.
    done: usize,
    /// Of how many it is not.
    failed: usize,
    /// Of how many it is not known.
    unknown: usize,
    /// What became of each, in the order of the request.
    #[schema(value_type = Vec<SubscriberResult>)]
    results: Vec<Became>,
}

/// What became of one of them.
#[derive(Debug, Serialize)]
struct Became {
    user: UserId,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<Problem>>,
}
