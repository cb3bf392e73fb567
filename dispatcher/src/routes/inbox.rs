//! `GET /api/users/{user}/notifications`

use std::{borrow::Cow, sync::Arc};

use axum::{Json, extract::State};
use carillon_common::{
    backend::{Look, ReadState, Sight},
    errors::ProblemKind,
    ids::{Cursor, UserId},
    notification::Frame,
    protocol::schema::names,
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema, openapi::path::ParameterIn};

use super::{
    caller::{may, may_reach_user},
    history::written,
    question::Question,
};
use crate::{
    app::App,
    contract::{self, Asking, OfInboxes, OfUser, StoredNotification, limit, optional, query},
    dispatch::deliver,
    error::ApiError,
    extract::{FieldReader, Fields, UserInPath},
    paths::INBOX,
};

/// Of a page, and of how many frames it may take to fill one: most of an inbox may be of another type.
const USUAL: u32 = 50;
const MOST: u32 = 200;
const LOOKED_THROUGH: usize = 1_000;

/// What of an inbox is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    after: Option<Cursor>,
    limit: u32,
    backwards: bool,
    kind: Option<Cow<'a, str>>,
}

/// The parameters of the query.
pub(crate) enum Paging {}

impl IntoParams for Paging {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<utoipa::openapi::path::Parameter> {
        query(vec![
            optional("after", names::cursor()),
            optional("limit", limit(USUAL, MOST)),
            optional(
                "order",
                json!({ "enum": ["oldest", "newest"], "default": "oldest", "description": "Which comes first" }),
            ),
            optional("type", names::notification_type()),
        ])
    }
}

/// Lists a user's inbox
///
/// What may still be delivered, and the newest `inbox.keep` that every device has acked. Nothing is acked by it.
#[utoipa::path(
    get,
    path = INBOX,
    tag = "users",
    params(Asking, OfUser, Paging),
    responses(
        (status = 200, description = "A page of the inbox", body = Inbox, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfInboxes,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    question: Question<may::Read>,
    UserInPath(user): UserInPath,
) -> Result<Json<Inbox>, ApiError> {
    may_reach_user(&question.caller.service, &user)?;
    let fields = question.parameters()?;
    let asked = Asked::read(&fields)?;
    let as_stored = |frame: &Frame, _: &ReadState| written(frame);
    let until = app.store_deadline(question.caller.deadline);
    let page = page(&app, &user, asked, until, as_stored).await?;
    Ok(Json(Inbox {
        notifications: page.notifications,
        next: page.next,
    }))
}

/// What of an inbox was found.
pub(super) struct Found {
    pub(super) notifications: Vec<Box<RawValue>>,
    /// Where to go on.
    pub(super) next: Option<Cursor>,
}

/// A page of what was asked for, each as `tell` has it.
pub(super) async fn page(
    app: &App,
    user: &UserId,
    asked: Asked<'_>,
    until: Instant,
    tell: impl Fn(&Frame, &ReadState) -> Result<Box<RawValue>, ApiError>,
) -> Result<Found, ApiError> {
    let now = app.stamp().now;
    let mut page = Found {
        notifications: Vec::new(),
        next: None,
    };
    let (mut after, mut looked) = (asked.after, 0);
    loop {
        let look = Look {
            after,
            backwards: asked.backwards,
            limit: MOST,
        };
        let sight = look_at(app, user, &look, until).await?;
        looked += sight.frames.len();
        let last = sight.frames.len().saturating_sub(1);
        for (at, frame) in sight.frames.iter().enumerate() {
            after = Some(frame.cursor);
            if frame.deliverable(now) && asked.wants(frame) {
                page.notifications.push(tell(frame, &sight.read)?);
            }
            if page.notifications.len() >= asked.limit as usize && (at < last || sight.more) {
                page.next = after;
                return Ok(page);
            }
        }
        if !sight.more || sight.frames.is_empty() {
            return Ok(page);
        }
        if looked >= LOOKED_THROUGH {
            page.next = after;
            return Ok(page);
        }
    }
}

/// A piece of an inbox.
pub(super) async fn look_at(
    app: &App,
    user: &UserId,
    look: &Look,
    until: Instant,
) -> Result<Sight, ApiError> {
    let seen = deliver(until, || app.backend.look(user, look)).await?;
    seen.answer.ok_or(ApiError::CursorForeign)
}

impl<'a> Asked<'a> {
    pub(super) fn read(fields: &'a Fields<'a>) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let after = reader.written("after");
        let limit = reader.number("limit", 1..=MOST).unwrap_or(USUAL);
        let order = reader.text("order");
        let backwards = order.as_deref() == Some("newest");
        if !matches!(order.as_deref(), None | Some("oldest" | "newest")) {
            let detail = "order must be oldest or newest: which comes first".to_owned();
            reader.refuse(ProblemKind::InvalidField, "order", detail);
        }
        let kind = reader.text("type");
        reader.all_right()?;
        Ok(Self {
            after,
            limit,
            backwards,
            kind,
        })
    }

    fn wants(&self, frame: &Frame) -> bool {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
        }
        self.kind.as_ref().is_none_or(|wanted| {
            let typed: Result<Typed<'_>, _> = serde_json::from_slice(&frame.body);
            typed.is_ok_and(|typed| typed.kind == *wanted)
        })
    }
}

/// A page of an inbox.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Inbox {
    /// In the order asked for.
    #[schema(value_type = Vec<StoredNotification>)]
    notifications: Vec<Box<RawValue>>,
    /// What to ask `after` for the next page; null when this was the last. A page may have fewer than `limit`.
    #[schema(value_type = Option<contract::Cursor>, required)]
    next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let fields = Fields::from_query("after=5-9&limit=10&order=newest&type=a%20b").unwrap();
        let asked = Asked::read(&fields).unwrap();
        let expected = Asked {
            after: Some(Cursor { seq: 5, nonce: 9 }),
            limit: 10,
            backwards: true,
            kind: Some("a b".into()),
        };
        assert_eq!(asked, expected);
        let fields = Fields::from_query("").unwrap();
        let asked = Asked::read(&fields).unwrap();
        assert_eq!((asked.limit, asked.backwards), (USUAL, false));
        for (query, pointer) in [
            ("after=5", "/after"),
            ("limit=0", "/limit"),
            ("limit=201", "/limit"),
            ("limit=many", "/limit"),
            ("order=random", "/order"),
            ("before=5-9", "/before"),
        ] {
            let fields = Fields::from_query(query).unwrap();
            let Err(ApiError::InvalidFields(errors)) = Asked::read(&fields) else {
                panic!("{query} was taken")
            };
            assert_eq!(errors[0].problem.pointer, pointer);
        }
    }
}
