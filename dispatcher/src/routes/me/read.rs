//! `GET /api/me/unread` and `POST /api/me/read`

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, Request, State},
};
use carillon_common::{
    backend::ReadMark, errors::ProblemKind, ids::Cursor, protocol::schema::names,
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::client::Client;
use crate::{
    app::App,
    contract::{self, Asking, OfMyReading, OfMyUnread, described, fields, optional},
    dispatch::deliver,
    error::ApiError,
    extract::{FieldReader, Fields, refuse_query},
    paths::{MY_READ, MY_UNREAD},
    routes::caller::name_of,
};

described! {
    /// What was read; [`mark`] reads it.
    ReadFields: {
        let [mut one, mut up_to] = [names::cursor(), names::cursor()];
        one["description"] = "The position of the one that was read".into();
        up_to["description"] = "All up to this position were read".into();
        let mut all = fields(vec![
            optional("cursor", one.clone()),
            optional("up_to", up_to.clone()),
            optional("all", json!({ "const": true, "description": "All were read" })),
        ]);
        // Null would be as good as absent, but then it is another one.
        all["properties"]["cursor"] = one;
        all["properties"]["up_to"] = up_to;
        all["properties"]["all"] = json!({ "const": true, "description": "All were read" });
        all["oneOf"] = json!([{ "required": ["cursor"] }, { "required": ["up_to"] }, { "required": ["all"] }]);
        all
    };
}

/// Counts what the user has not read
///
/// Of what `GET /api/me/notifications` lists.
#[utoipa::path(
    get,
    path = MY_UNREAD,
    tag = "me",
    params(Asking),
    responses(
        (status = 200, description = "How many", body = Unread, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfMyUnread,
    ),
    security(("token" = [])),
)]
pub(crate) async fn my_unread(
    State(app): State<Arc<App>>,
    client: Client,
) -> Result<Json<Unread>, ApiError> {
    client
        .parameters()
        .and_then(|fields| FieldReader::new(&fields).all_right())?;
    let unread = count(&app, &client).await?;
    Ok(Json(Unread { unread }))
}

/// Marks notifications as read
///
/// One, all up to a position, or all. The user's connected devices are told by a `changed` frame. Devices ack what they
/// have by themselves: that is another matter.
#[utoipa::path(
    post,
    path = MY_READ,
    tag = "me",
    params(Asking),
    request_body(content = ReadFields, description = "Which"),
    responses(
        (status = 200, description = "They are; what is still unread", body = MarkedRead, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfMyReading,
    ),
    security(("token" = [])),
)]
pub(crate) async fn my_read(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<MarkedRead>, ApiError> {
    let (mut head, body): (_, Body) = request.into_parts();
    let client = Client::from_request_parts(&mut head, &app).await?;
    refuse_query(&head.uri)?;
    // Bodies under way are counted for each caller.
    let name = name_of(client.user.as_str());
    let limit = app.settings.dispatcher.body_bytes;
    let body = app
        .bodies
        .read_json(&name, &head.headers, body, limit, client.deadline)
        .await?;
    let mark = mark(&Fields::from_json(&body)?)?;
    let until = app.store_deadline(client.deadline);
    let marked = deliver(until, || app.backend.mark_read(&client.user, mark)).await?;
    let changed = marked.answer.ok_or(ApiError::ReceiptGone)?;
    Ok(Json(MarkedRead {
        status: "ok",
        changed,
        unread: count(&app, &client).await?,
    }))
}

async fn count(app: &App, client: &Client) -> Result<u64, ApiError> {
    let until = app.store_deadline(client.deadline);
    let counted = deliver(until, || app.backend.unread(&client.user)).await?;
    Ok(counted.answer)
}

/// What was read: one of the three.
fn mark(fields: &Fields<'_>) -> Result<ReadMark, ApiError> {
    let mut reader = FieldReader::new(fields);
    let given = ["cursor", "up_to", "all"].map(|name| reader.has(name));
    let one = reader.written::<Cursor>("cursor");
    let up_to = reader.written::<Cursor>("up_to");
    let all = reader.json("all");
    if all.is_some_and(|all| all.get() != "true") {
        let detail = "all must be true: leave it out to say which ones were read".to_owned();
        reader.refuse(ProblemKind::InvalidField, "all", detail);
    }
    match given.iter().filter(|given| **given).count() {
        1 => {}
        0 => {
            let detail = "cursor is missing: say which one was read by its cursor, or up_to or all"
                .to_owned();
            reader.refuse(ProblemKind::MissingField, "cursor", detail);
        }
        _ => {
            let detail =
                "give one of cursor, up_to and all: they say the same in different ways".to_owned();
            reader.refuse(ProblemKind::InvalidField, "up_to", detail);
        }
    }
    reader.all_right()?;
    Ok(match (one, up_to) {
        (Some(cursor), _) => ReadMark::One(cursor),
        (None, Some(cursor)) => ReadMark::UpTo(cursor),
        (None, None) => ReadMark::All,
    })
}

/// How much was not read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unread {
    /// How many notifications.
    unread: u64,
}

/// What came of marking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarkedRead {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// Whether anything was not read before.
    changed: bool,
    /// How many notifications still are not.
    unread: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_three_is_said() {
        let read = |text: &str| mark(&Fields::from_json(text.as_bytes()).unwrap());
        let cursor = Cursor { seq: 5, nonce: 9 };
        for (text, expected) in [
            (r#"{"cursor":"5-9"}"#, ReadMark::One(cursor)),
            (r#"{"up_to":"5-9"}"#, ReadMark::UpTo(cursor)),
            (r#"{"all":true}"#, ReadMark::All),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for (text, pointer) in [
            ("{}", "/cursor"),
            (r#"{"all":false}"#, "/all"),
            (r#"{"all":1}"#, "/all"),
            (r#"{"cursor":"5"}"#, "/cursor"),
            (r#"{"up_to":5}"#, "/up_to"),
            (r#"{"cursor":"5-9","all":true}"#, "/up_to"),
            (r#"{"all":true,"id":"5"}"#, "/id"),
        ] {
            let Err(ApiError::InvalidFields(errors)) = read(text) else {
                panic!("{text} was taken")
            };
            assert!(
                errors.iter().any(|it| it.problem.pointer == pointer),
                "{text}: {errors:?}"
            );
        }
    }
}
