//! `GET /api/users/{user}/scheduled` and `DELETE /api/users/{user}/scheduled/{id}`: what waits for its time.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    backend::{Agenda, Cancellation, Waiting},
    ids::{NotificationId, UserId},
    protocol::notification_waiting,
};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    caller::{Caller, may, may_reach_user},
    history::raw,
    question::{Question, page_of},
    receipt::cursor_of,
};
use crate::{
    app::App,
    contract::{
        self, Asking, OfCancels, OfScheduled, OfSchedules, OfUser, ScheduledNotification, limit,
        optional, query,
    },
    dispatch::deliver,
    error::ApiError,
    extract::{ScheduledInPath, UserInPath, Which},
    paths::{SCHEDULED, SCHEDULED_ONE},
};

/// Of a page.
const USUAL: u32 = 50;
const MOST: u32 = 200;

/// Which part of the list is asked for.
pub(crate) enum Paging {}

impl IntoParams for Paging {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let after = json!({
            "type": "string", "description": "`next` of the page before; absent: from what is due first",
            "pattern": "^[0-9]{1,16}_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
            "examples": ["1767225600123_0199d2c4-7f3a-7000-8000-000000000000"],
        });
        query(vec![
            optional("after", after),
            optional("limit", limit(USUAL, MOST)),
        ])
    }
}

/// Lists what waits for a user
///
/// What was sent with `deliver_at`, and neither delivered nor cancelled yet: what is due first comes first. A page has
/// fewer than `limit` where the notifications are large (64 KiB together); `next` says whether to go on.
#[utoipa::path(
    get,
    path = SCHEDULED,
    tag = "users",
    params(Asking, OfUser, Paging),
    responses(
        (status = 200, description = "A page of what waits", body = AgendaAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfSchedules,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn agenda(
    State(app): State<Arc<App>>,
    question: Question<may::Read>,
    UserInPath(user): UserInPath,
) -> Result<Json<AgendaAnswer>, ApiError> {
    may_reach_user(&question.caller.service, &user)?;
    let (after, limit) = page_of(&question.parameters()?, USUAL, MOST)?;
    let until = app.store_deadline(question.caller.deadline);
    let agenda = deliver(until, || app.backend.agenda(&user, after, limit)).await?;
    AgendaAnswer::of(&agenda.answer).map(Json)
}

/// Cancels what waits
///
/// It is delivered to nobody. Either this or its delivery takes place, never both: 404 `delivered_already` says that it was
/// too late. Asking again changes nothing.
#[utoipa::path(
    delete,
    path = SCHEDULED_ONE,
    tag = "users",
    params(Asking, OfScheduled),
    responses(
        (status = 200, description = "It is not delivered", body = CancelAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfCancels,
    ),
    security(("api_key" = ["send"])),
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller<may::Send>,
    ScheduledInPath(user, id): ScheduledInPath,
) -> Result<Json<CancelAnswer>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    let cancelled = deliver(until, || app.backend.cancel(&user, id)).await?;
    let outcome = match cancelled.answer {
        Cancellation::Done => Cancelled::Cancelled,
        // By an attempt of ours whose answer did not arrive.
        Cancellation::Left if cancelled.after_doubt => Cancelled::Cancelled,
        // Under an id that comes again with its key the next one may have been delivered since.
        Cancellation::Left => match gone(&app, &user, id, until).await {
            ApiError::ScheduledGone => Cancelled::Left,
            other => return Err(other),
        },
        Cancellation::Gone => return Err(gone(&app, &user, id, until).await),
    };
    if matches!(outcome, Cancelled::Cancelled) {
        app.counters.cancelled();
    }
    Ok(Json(CancelAnswer {
        status: "ok",
        id,
        outcome,
    }))
}

/// Why it cannot be cancelled: it is in the inbox, or nothing is known of it.
async fn gone(app: &App, user: &UserId, id: NotificationId, until: Instant) -> ApiError {
    match cursor_of(app, user, Which::Id(id), until).await {
        Ok(cursor) => ApiError::DeliveredAlready(cursor),
        Err(ApiError::ReceiptGone) => ApiError::ScheduledGone,
        Err(error) => error,
    }
}

/// A page of what waits for a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgendaAnswer {
    /// What is due first comes first.
    #[schema(value_type = Vec<ScheduledNotification>)]
    notifications: Vec<Box<RawValue>>,
    /// What to ask `after` for the next page; null when this was the last.
    #[schema(required)]
    next: Option<String>,
}

impl AgendaAnswer {
    fn of(agenda: &Agenda) -> Result<Self, ApiError> {
        let written = |waiting| raw(notification_waiting(waiting));
        let last = agenda.waiting.last().filter(|_| agenda.more);
        Ok(Self {
            notifications: agenda
                .waiting
                .iter()
                .map(written)
                .collect::<Result<_, _>>()?,
            next: last.map(|waiting: &Waiting| waiting.place().to_string()),
        })
    }
}

/// What came of cancelling a notification.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CancelAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    #[schema(value_type = contract::Id)]
    id: NotificationId,
    outcome: Cancelled,
}

/// Whether it was cancelled.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Cancelled {
    /// It is delivered to nobody.
    Cancelled,
    /// It had left before, without having been delivered: cancelled, or its time had passed.
    Left,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_common::backend::Place;

    use super::*;
    use crate::extract::Fields;

    #[test]
    fn a_page_is_told_as_it_will_be_stored_and_says_where_to_go_on() {
        let waiting = Waiting {
            id: NotificationId::nil(),
            due: 1_767_225_600_000,
            accepted_at: 1_767_139_200_000,
            ttl: Duration::from_secs(60),
            collapse_key: Some("order-1".parse().unwrap()),
            body: r#"{"id":"n","data":{"n":1.50}}"#.into(),
        };
        let told = |more| {
            let waiting = vec![waiting.clone()];
            serde_json::to_string(&AgendaAnswer::of(&Agenda { waiting, more }).unwrap()).unwrap()
        };
        assert_eq!(
            told(true),
            concat!(
                r#"{"notifications":[{"id":"n","data":{"n":1.50},"deliver_at":"2026-01-01T00:00:00.000Z","#,
                r#""accepted_at":"2025-12-31T00:00:00.000Z","expires_at":"2026-01-01T00:01:00.000Z","#,
                r#""collapse_key":"order-1"}],"next":"1767225600000_00000000-0000-0000-0000-000000000000"}"#
            )
        );
        assert!(told(false).ends_with(r#""next":null}"#));
    }

    #[test]
    fn a_query_is_read_strictly() {
        let fields = Fields::from_query("after=5_018f4e6e-0000-7000-8000-000000000001&limit=7");
        let read = |fields: Fields<'_>| page_of::<Place>(&fields, USUAL, MOST);
        let (after, limit) = read(fields.unwrap()).unwrap();
        assert_eq!((after.unwrap().due, limit), (5, 7));
        for query in ["after=5-9", "limit=0", "limit=201", "before=1"] {
            assert!(read(Fields::from_query(query).unwrap()).is_err(), "{query}");
        }
    }
}
