//! `POST /api/users/{user}/disconnect`

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use carillon_common::{
    backend::{Control, Disconnection},
    errors::ProblemKind,
    ids::UserId,
    protocol::{CloseCode, REASON_BYTES, schema::names},
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    caller::may_reach_user,
    operator::{Action, Operator},
    words::leave_all,
};
use crate::{
    app::App,
    contract::{self, Asking, OfDisconnects, OfUser, described, fields, optional},
    dispatch::deliver,
    error::ApiError,
    extract::{FieldReader, Fields, UserInPath},
    paths::DISCONNECT,
};

described! {
    /// What is said of an end; [`read`] reads it.
    DisconnectFields: fields(vec![
        optional("device", about(names::device(), "Only the connections of this device")),
        optional("session", about(names::device(), "Only the connection of this session")),
        optional("code", json!({ "type": "integer", "enum": codes(), "description":
            "The close code; 4203 where it is absent. After 4001 and 4003 clients stay away, after 4100 they come back \
             later, after 4200 and 4203 at once, after 4201 with a new token" })),
        optional("reason", json!({ "type": "string", "minLength": 1, "maxLength": REASON_BYTES,
            "x-max-bytes": REASON_BYTES, "pattern": "^[^\\x00-\\x1f\\x7f]+$", "examples": ["account_suspended"],
            "description": "What clients are told beside the code, in the place of the code's own word; one line" })),
    ]);
}

fn about(mut schema: serde_json::Value, words: &str) -> serde_json::Value {
    schema["description"] = words.into();
    schema
}

fn codes() -> Vec<u16> {
    let all = CloseCode::FOR_DISCONNECT.iter();
    all.map(|code| code.code()).collect()
}

/// Closes a user's connections
///
/// Sockets and event streams, on all gateways: all of them, those of a device, or that of a session. Who may come back
/// does: to keep a user away, take its tokens away as well.
#[utoipa::path(
    post,
    path = DISCONNECT,
    tag = "users",
    params(Asking, OfUser),
    request_body(content = DisconnectFields, description = "`{}` closes all of them with 4203. At most `dispatcher.body_bytes`, in UTF-8, not compressed"),
    responses(
        (status = 202, description = "The gateways will be told, within a second or so", body = Disconnected, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfDisconnects,
    ),
    security(("api_key" = ["admin"])),
)]
pub(crate) async fn disconnect(
    State(app): State<Arc<App>>,
    operator: Operator,
    UserInPath(user): UserInPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let outcome = tell_gateways(&app, &operator, &user, &headers, body).await;
    let told = outcome.as_ref().ok().map(|(which, _)| which);
    let action = Action {
        name: "disconnect",
        user: Some(user.as_str()),
        device: told.and_then(|which| Some(which.device.as_ref()?.as_str())),
        session: told.and_then(|which| Some(which.session.as_ref()?.as_str())),
        code: told.and_then(|which| which.code),
        ..Action::default()
    };
    action.log(&operator, outcome.as_ref().map(|_| "asked"));
    let (_, connections) = outcome?;
    let answer = Disconnected {
        status: "ok",
        message: match connections {
            1 => "1 connection is being closed".to_owned(),
            count => format!("{count} connections are being closed"),
        },
        user,
        connections,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Has every gateway close what is meant; answers with that, and with how many there are.
async fn tell_gateways(
    app: &App,
    operator: &Operator,
    user: &UserId,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Disconnection, usize), ApiError> {
    may_reach_user(&operator.service, user)?;
    let (name, deadline) = (&*operator.name, operator.deadline);
    let limit = app.settings.dispatcher.body_bytes;
    let body = app.bodies.read_json(name, headers, body, limit, deadline);
    let which = read(user, &Fields::from_json(&body.await?)?)?;
    let until = app.store_deadline(deadline);
    let present = deliver(until, || app.backend.presence(user)).await?;
    let meant = present.answer.iter();
    let meant = meant.filter(|it| which.concerns(&it.device, &it.session));
    let connections = meant.count();
    leave_all(app, until, &Control::Disconnect(which.clone())).await?;
    Ok((which, connections))
}

/// Which connections are meant, and how they are to end.
fn read(user: &UserId, fields: &Fields<'_>) -> Result<Disconnection, ApiError> {
    const INVALID: ProblemKind = ProblemKind::InvalidField;
    let mut reader = FieldReader::new(fields);
    let device = reader.written("device");
    let session = reader.written("session");
    let code = reader.number("code", 1_000..=4_999);
    let code = code.and_then(|code| u16::try_from(code).ok());
    if code.is_some_and(|code| CloseCode::for_disconnect(code).is_none()) {
        let codes = codes().iter().map(u16::to_string).collect::<Vec<_>>();
        let detail = format!("code must be one of {}", codes.join(", "));
        reader.refuse(INVALID, "code", detail);
    }
    let reason = reader.text("reason");
    if let Some(reason) = &reason
        && (reason.is_empty()
            || reason.len() > REASON_BYTES
            || reason.chars().any(char::is_control))
    {
        let detail = format!("reason must be one line of 1 to {REASON_BYTES} bytes");
        reader.refuse(INVALID, "reason", detail);
    }
    reader.all_right()?;
    Ok(Disconnection {
        user: user.clone(),
        device,
        session,
        code,
        reason: reason.map(Into::into),
    })
}

/// A user's connections are being closed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disconnected {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    /// For people.
    message: String,
    #[schema(value_type = contract::User)]
    user: UserId,
    /// How many connections there are that are meant. One that opens just now may be closed as well.
    connections: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Result<Disconnection, Vec<String>> {
        let user = UserId::new("alice").unwrap();
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        read(&user, &fields).map_err(|error| match error {
            ApiError::InvalidFields(errors) => {
                let wrong = errors.into_iter().map(|error| error.problem.pointer);
                wrong.collect()
            }
            error => panic!("{error}"),
        })
    }

    #[test]
    fn an_empty_object_means_all_connections() {
        let all = Disconnection::of(UserId::new("alice").unwrap());
        assert_eq!(told("{}"), Ok(all.clone()));
        let one = told(r#"{"device":"phone","session":"s1","code":4001,"reason":"bye, \"you\""}"#);
        let expected = Disconnection {
            device: Some("phone".parse().unwrap()),
            session: Some("s1".parse().unwrap()),
            code: Some(4001),
            reason: Some("bye, \"you\"".into()),
            ..all
        };
        assert_eq!(one, Ok(expected));
    }

    #[test]
    fn only_some_codes_and_short_reasons_are_taken() {
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(REASON_BYTES + 1));
        for (body, pointer) in [
            (r#"{"code":4009}"#, "/code"),
            (r#"{"code":1000}"#, "/code"),
            (r#"{"code":69739}"#, "/code"),
            (r#"{"code":"4001"}"#, "/code"),
            (r#"{"code":4001.0}"#, "/code"),
            (r#"{"device":"a b"}"#, "/device"),
            (r#"{"session":""}"#, "/session"),
            (r#"{"reason":""}"#, "/reason"),
            (r#"{"reason":"two\nlines"}"#, "/reason"),
            (&long, "/reason"),
            (r#"{"user":"bob"}"#, "/user"),
        ] {
            assert_eq!(told(body), Err(vec![pointer.to_owned()]), "{body}");
        }
        for code in codes() {
            assert!(told(&format!(r#"{{"code":{code}}}"#)).is_ok());
        }
    }
}
