//! `POST /api/tickets`

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use carillon_common::{
    auth::{Caller as Known, Claims, Ticket},
    backend::TicketOrder,
    ids::UserId,
    notification::rfc3339,
    protocol::schema::names,
    settings::Scope,
};
use http::{HeaderValue, header, request::Parts};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::caller::{deadline_of, has, name_of, refusal, user_of};
use crate::{
    app::App,
    contract::{self, Asking, OfTickets, TicketSession, described, fields, optional, refer},
    dispatch::{MAX_CHANNELS, TicketRequest, claims_by_service, deliver},
    error::ApiError,
    extract::{Fields, refuse_query},
    paths::TICKETS,
};

described! {
    /// What a ticket is asked for; [`TicketRequest::read`] reads it.
    TicketFields: fields(vec![
        optional("user", user()),
        optional("channels", channels()),
        optional("expires_in", refer::<TicketSession>()),
    ]);
}

fn user() -> Value {
    let mut user = names::user();
    user["description"] =
        "For whom: a service says it, and a client's token says it already".into();
    user
}

fn channels() -> Value {
    let pattern = json!({ "type": "string", "pattern": "^[A-Za-z0-9_.:*-]{1,255}$" });
    json!({
        "type": "array", "items": pattern, "maxItems": MAX_CHANNELS,
        "description": "Of a service: channels that the connection may join beyond the public ones, as in a token",
    })
}

/// Whoever asks for a ticket; the body is not read yet.
pub(crate) struct Asked {
    known: Known,
    deadline: Instant,
    head: Parts,
    body: Body,
}

impl FromRequest<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let known = app.keyring.caller(&head.headers, app.stamp().now);
        let known = known.map_err(refusal)?;
        match &known {
            Known::Service(service) => has(service, Scope::Tickets)?,
            Known::Client(claims) => app.count_request(&user_of(claims)?)?,
        }
        Ok(Self {
            known,
            deadline: deadline_of(&head, app),
            head,
            body,
        })
    }
}

/// Makes a ticket, with which a client connects once instead of a token
///
/// A page asks with its token, and connects with `?ticket=`, so that no token stands in a URL; or your service asks for
/// its user, who then needs no token at all. A ticket is good once, on any gateway, for `auth.ticket_ttl`.
#[utoipa::path(
    post,
    path = TICKETS,
    tag = "tokens",
    params(Asking),
    request_body(content = Option<TicketFields>, description = "Of a client nothing at all, or an empty object"),
    responses(
        (status = 200, description = "The ticket, which whoever has it may use", body = TicketAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfTickets,
    ),
    security(("api_key" = ["tickets"]), ("token" = [])),
)]
pub(crate) async fn tickets(
    State(app): State<Arc<App>>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let Asked {
        known,
        deadline,
        head,
        body,
    } = asked;
    refuse_query(&head.uri)?;
    // Bodies under way are counted for each caller.
    let name = match &known {
        Known::Service(service) => service.name.to_string(),
        Known::Client(claims) => name_of(&claims.sub),
    };
    let bodies = &app.bodies;
    let limit = app.settings.dispatcher.body_bytes;
    let body = bodies.read_json_if_any(&name, &head.headers, body, limit, deadline);
    let body = body.await?;
    let fields = Fields::from_json(body.as_deref().unwrap_or(b"{}"))?;
    let now = app.stamp().now;
    let (user, claims) = claims_of(known, &fields, &app, now)?;
    let auth = &app.settings.auth;
    let ticket = Ticket::generate();
    let order = TicketOrder {
        ticket: ticket.hash(),
        user,
        claims,
        ttl: auth.ticket_ttl,
        most: auth.tickets_per_user,
    };
    let until = app.store_deadline(deadline);
    deliver(until, || app.backend.put_ticket(&order)).await?;
    let ttl = i64::try_from(auth.ticket_ttl.as_millis()).unwrap_or(i64::MAX);
    let answer = TicketAnswer {
        status: "ok",
        expires_at: rfc3339(now.saturating_add(ttl)),
        session_expires_at: rfc3339(order.claims.exp_ms),
        user: order.user,
        ticket: ticket.expose().to_owned(),
    };
    let mut response = Json(answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whose ticket it is to be, and what it stands for.
fn claims_of(
    known: Known,
    fields: &Fields<'_>,
    app: &App,
    now: i64,
) -> Result<(UserId, Claims), ApiError> {
    let auth = &app.settings.auth;
    match known {
        Known::Service(service) => {
            let mut request = TicketRequest::read(fields, auth, true)?;
            let missing = || ApiError::Internal("a service's ticket without a user".into());
            let user = request.user.take().ok_or_else(missing)?;
            if !service.may_reach_user(user.as_str()) {
                return Err(ApiError::TicketForbidden(user));
            }
            // A glob stands for all that it covers: what covers its text covers each of them.
            let mut channels = request.channels.iter().flatten();
            let beyond = channels.find(|it| !service.may_reach_channel(it.as_str()));
            if let Some(beyond) = beyond {
                return Err(ApiError::TicketChannelForbidden(beyond.as_str().to_owned()));
            }
            let claims = claims_by_service(&user, request, now, auth);
            Ok((user, claims))
        }
        Known::Client(claims) => {
            let request = TicketRequest::read(fields, auth, false)?;
            let other = request.user.filter(|user| *user.as_str() != *claims.sub);
            if let Some(other) = other {
                return Err(ApiError::TicketForbidden(other));
            }
            let user = user_of(&claims)?;
            Ok((user, claims))
        }
    }
}

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(crate) struct TicketAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// What goes into `?ticket=`.
    ticket: String,
    /// Until when it may be used.
    #[schema(value_type = contract::Time)]
    expires_at: String,
    /// Whose it is.
    #[schema(value_type = String)]
    user: UserId,
    /// Until when the connection lasts, unless it is renewed.
    #[schema(value_type = contract::Time)]
    session_expires_at: String,
}
