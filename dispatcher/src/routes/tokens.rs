//! `POST /api/tokens/revoke`, and the list of what is revoked.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request, State, rejection::PathRejection},
};
use carillon_common::{
    auth::{Revocation, Revoked},
    backend::{Listed, Note},
    ids::{Millis, TokenId, UserId},
    notification::rfc3339,
    protocol::schema::names,
};
use http::request::Parts;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::caller::{Caller, may, may_reach_user};
use crate::{
    app::App,
    contract::{
        self, Asking, MOST_OF_A_PAGE, OfLists, OfRevocation, OfRevoking, OfTakingBack, Paged,
        described, fields, moment, optional,
    },
    dispatch::{REASON_BYTES, RevokeRequest, deliver, revoke_order},
    error::ApiError,
    extract::{FieldReader, Fields, refuse_query},
    paths::{REVOCATION, REVOCATIONS, REVOKE},
};

type Operator = Caller<may::Admin>;

/// Entries of a page whose caller does not say how many.
const OF_A_PAGE: u32 = 100;

described! {
    /// What a revocation says; [`RevokeRequest::read`] reads it.
    RevokeFields: fields(vec![
        optional("user", user()),
        optional("jti", jti()),
        optional("issued_before", moment("Only tokens that were issued before. Absent: of a user, now; of a `jti`, whenever")),
        optional("expires_at", moment("When the tokens end by themselves, where you know; the revocation lapses then")),
        optional("reason", reason()),
    ]);
}

fn user() -> Value {
    let mut user = names::user();
    user["description"] = "Whose tokens: their `sub`. This, `jti` or both must be there".into();
    user
}

fn jti() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 255, "x-max-bytes": 255, "description": "The token's own id",
    })
}

fn reason() -> Value {
    json!({
        "type": "string", "maxLength": REASON_BYTES, "x-max-bytes": REASON_BYTES, "description": "Why, for those who look later; at most 255 bytes",
    })
}

/// An order of an operator's; its body is not read yet.
pub(crate) struct Order {
    operator: Operator,
    head: Parts,
    body: Body,
}

impl FromRequest<Arc<App>> for Order {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        Ok(Self {
            operator: Caller::of(&head, app)?,
            head,
            body,
        })
    }
}

/// Revokes tokens before their end
///
/// All of a user, or one by its `jti`: clients' and services' alike. No gateway lets them in any more, and connections
/// that have one are closed with 4001 `token_revoked`, within two seconds everywhere. A token without `iat` counts as
/// issued before anything. Asking again changes nothing.
#[utoipa::path(
    post,
    path = REVOKE,
    tag = "tokens",
    params(Asking),
    request_body(content = RevokeFields, description = "At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 200, description = "They are revoked", body = RevokeAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfRevoking,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    order: Order,
) -> Result<Json<RevokeAnswer>, ApiError> {
    let Order {
        operator,
        head,
        body,
    } = order;
    refuse_query(&head.uri)?;
    let (name, deadline) = (&*operator.name, operator.deadline);
    let limit = app.settings.dispatcher.body_bytes;
    let body = app
        .bodies
        .read_json(name, &head.headers, body, limit, deadline)
        .await?;
    let now = app.stamp().now;
    // Not that of the start: a leeway that has grown since lets tokens live for longer.
    let live = app.live.current();
    let auth = &live.auth;
    let request = RevokeRequest::read(&Fields::from_json(&body)?, auth, now)?;
    let order = revoke_order(request, name, now, auth, &app.keyring.current());
    drop(live);
    concerns(&operator, &order.revocation.what)?;
    let until = app.store_deadline(deadline);
    let outcome = deliver(until, || app.backend.revoke(&order)).await;
    let outcome = outcome.map_err(ApiError::from);
    log(
        "revoke",
        &operator,
        &order.revocation.what,
        outcome.as_ref().err(),
    );
    outcome?;
    Ok(Json(RevokeAnswer {
        status: "ok",
        message: "revoked: every gateway refuses them, and closes what they opened",
        revocation: RevocationState::new(order.revocation, Some(order.note)),
    }))
}

/// Which part of the list is asked for, by whom.
pub(crate) struct Listing {
    operator: Operator,
    after: Option<Revoked>,
    limit: u32,
}

impl FromRequestParts<Arc<App>> for Listing {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let operator = Caller::of(head, app)?;
        let fields = Fields::from_query(head.uri.query().unwrap_or_default())?;
        let mut reader = FieldReader::new(&fields);
        let after = reader.text("after");
        let limit = reader.number("limit", 1..=MOST_OF_A_PAGE);
        reader.all_right()?;
        let after = after.as_deref().map(Revoked::from_id);
        if after == Some(None) {
            return Err(ApiError::CursorForeign);
        }
        Ok(Self {
            operator,
            after: after.flatten(),
            limit: limit.unwrap_or(OF_A_PAGE),
        })
    }
}

/// Lists the revocations that are in force
///
/// In an order of their own, a page at a time: the next one begins after `next`.
#[utoipa::path(
    get,
    path = REVOCATIONS,
    tag = "tokens",
    params(Asking, Paged),
    responses(
        (status = 200, description = "A page of them", body = Revocations, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfLists,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn revocations(
    State(app): State<Arc<App>>,
    listing: Listing,
) -> Result<Json<Revocations>, ApiError> {
    let Listing {
        operator,
        mut after,
        limit,
    } = listing;
    let most = limit as usize;
    let until = app.store_deadline(operator.deadline);
    // Until there is one that may be told: `next` is the name of one, too.
    let (told, is_more) = loop {
        // One more than is told, to see whether there is one.
        let list = || app.backend.list_revocations(after.as_ref(), most + 1);
        let mut listed = deliver(until, list).await?.answer;
        let is_more = listed.len() > most;
        listed.truncate(most);
        let last = listed.last().map(|last| last.revocation.what.clone());
        listed.retain(|it| concerns(&operator, &it.revocation.what).is_ok());
        if !is_more || !listed.is_empty() {
            break (listed, is_more);
        }
        after = last;
    };
    let last = told.last().filter(|_| is_more);
    let next = last.map(|last| last.revocation.what.id());
    let told = told
        .into_iter()
        .map(|Listed { revocation, note }| RevocationState::new(revocation, note));
    Ok(Json(Revocations {
        revocations: told.collect(),
        next,
    }))
}

/// Takes a revocation back
///
/// Its tokens are good again until they end. Connections that it has closed come back by themselves, or do not.
#[utoipa::path(
    delete,
    path = REVOCATION,
    tag = "tokens",
    params(Asking, OfRevocation),
    responses(
        (status = 200, description = "It is taken back", body = TakenBack, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfTakingBack,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn take_back(
    State(app): State<Arc<App>>,
    operator: Operator,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<TakenBack>, ApiError> {
    let id = id.ok().map(|Path(id)| id);
    let what = id.as_deref().and_then(Revoked::from_id);
    let what = what.filter(|what| concerns(&operator, what).is_ok());
    let (Some(id), Some(what)) = (id, what) else {
        return Err(ApiError::RevocationUnknown);
    };
    let until = app.store_deadline(operator.deadline);
    let outcome = deliver(until, || app.backend.take_back(&what)).await;
    let outcome = outcome.map_err(ApiError::from).and_then(|delivered| {
        // An attempt whose outcome was not known may have been the one that did it.
        match delivered.answer || delivered.after_doubt {
            true => Ok(()),
            false => Err(ApiError::RevocationUnknown),
        }
    });
    log("take back", &operator, &what, outcome.as_ref().err());
    outcome?;
    Ok(Json(TakenBack { status: "ok", id }))
}

/// Whether the operator has to do with these tokens. One by its id alone may be anybody's.
///
/// # Errors
/// That it has not.
fn concerns(operator: &Operator, what: &Revoked) -> Result<(), ApiError> {
    match what.user() {
        Some(user) => may_reach_user(&operator.service, user),
        None if operator.service.may_reach_every_user() => Ok(()),
        None => Err(ApiError::RevocationTooWide),
    }
}

/// Logs an operator's call with what came of it.
fn log(action: &'static str, operator: &Operator, what: &Revoked, error: Option<&ApiError>) {
    tracing::info!(
        key = &*operator.name,
        action,
        user = what.user().map(UserId::as_str),
        jti = what.jti().map(TokenId::as_str),
        outcome = error.map_or("done", ApiError::code),
        request_id = operator.arrival.request_id(),
        "an operator's call"
    );
}

/// Tokens are revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokeAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    message: &'static str,
    revocation: RevocationState,
}

/// A page of revocations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revocations {
    revocations: Vec<RevocationState>,
    /// The `after` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// A revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevocationState {
    /// Its name; the same tokens have the same.
    id: String,
    /// Whose tokens; null: anybody's.
    #[schema(value_type = Option<String>, required)]
    user: Option<UserId>,
    /// Which token; null: all of them.
    #[schema(value_type = Option<String>, required)]
    jti: Option<TokenId>,
    /// Only those that were issued before; null: whenever.
    #[schema(value_type = Option<contract::Time>, required)]
    issued_before: Option<String>,
    /// When it lapses, because none of its tokens lasts longer.
    #[schema(value_type = contract::Time)]
    lapses_at: String,
    /// When it was asked for last; null where the store has lost that.
    #[schema(value_type = Option<contract::Time>, required)]
    revoked_at: Option<String>,
    /// By which key.
    #[schema(required)]
    revoked_by: Option<String>,
    /// Why.
    #[schema(required)]
    reason: Option<String>,
}

impl RevocationState {
    fn new(revocation: Revocation, note: Option<Note>) -> Self {
        let Revocation {
            what,
            issued_before,
            until,
        } = revocation;
        let (at, by, reason) = match note {
            Some(Note { at, by, reason }) => (Some(at), Some(by), reason),
            None => (None, None, None),
        };
        let time = |time: Option<Millis>| time.map(rfc3339);
        Self {
            id: what.id(),
            user: what.user().cloned(),
            jti: what.jti().cloned(),
            issued_before: time(issued_before),
            lapses_at: rfc3339(until),
            revoked_at: time(at),
            revoked_by: by,
            reason,
        }
    }
}

/// A revocation is taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenBack {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    id: String,
}
