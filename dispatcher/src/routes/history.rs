//! `GET /api/channels/{channel}/history`

use std::sync::Arc;

use axum::{Json, extract::State};
use bytes::Bytes;
use carillon_common::{
    backend::{Gap, Page},
    ids::{ChannelName, Cursor, Millis},
    notification::Frame,
    protocol::{notification_kept, schema::names},
};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
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
    contract::{
        self, Asking, OfChannel, OfChannels, StoredNotification, described, limit, optional, query,
    },
    dispatch::deliver,
    error::ApiError,
    extract::{ChannelInPath, Fields},
    paths::HISTORY,
};

/// Entries of a page: at most, and where the caller does not say.
const MOST: u32 = 256;
const USUAL: u32 = 100;

/// What may be asked.
pub(super) enum HistoryQuery {}

impl IntoParams for HistoryQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut after = names::cursor();
        after["description"] = "Only what follows this position: a notification's `cursor`, or the `next` of the page before; \
            absent: from the oldest that is kept"
            .into();
        query(vec![
            optional("after", after),
            optional("limit", limit(USUAL, MOST)),
        ])
    }
}

/// Reads a channel's log
///
/// What was published and is kept, the oldest first, without what has expired. A page has fewer than `limit` where the
/// notifications are large (64 KiB together) or `inbox.page` is less; `more` says whether to go on.
#[utoipa::path(
    get,
    path = HISTORY,
    tag = "channels",
    params(Asking, OfChannel, HistoryQuery),
    responses(
        (status = 200, description = "A page of the log; empty where nothing is kept", body = ChannelHistory, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfChannels,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    question: Question<may::Read>,
    ChannelInPath(channel): ChannelInPath,
) -> Result<Json<ChannelHistory>, ApiError> {
    may_reach_channel(&question.caller.service, &channel)?;
    let fields = question.parameters()?;
    read_log(&app, channel, &fields, question.caller.deadline).await
}

/// A page of a channel's log, as the parameters ask for it.
pub(super) async fn read_log(
    app: &App,
    channel: ChannelName,
    parameters: &Fields<'_>,
    deadline: Instant,
) -> Result<Json<ChannelHistory>, ApiError> {
    let (after, limit) = page_of(parameters, USUAL, MOST)?;
    let after = after.unwrap_or(Cursor::ZERO);
    let until = app.store_deadline(deadline);
    let page = deliver(until, || app.backend.history(&channel, after, limit)).await?;
    let page = ChannelHistory::of(channel, page.answer, app.stamp().now)?;
    Ok(Json(page))
}

/// A page of a channel's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelHistory {
    #[schema(value_type = contract::Channel)]
    channel: ChannelName,
    #[schema(value_type = Vec<StoredNotification>)]
    notifications: Vec<Box<RawValue>>,
    /// `after` for what follows, now or later.
    #[schema(value_type = contract::Cursor)]
    next: Cursor,
    /// Whether there is more already.
    more: bool,
    /// Why what is here does not continue `after`, where it does not; null where it does.
    #[schema(value_type = Option<GapReason>, required)]
    gap: Option<Gap>,
}

described! {
    /// Why a position is not continued.
    GapReason: json!({
        "enum": ["expired", "rewound"],
        "description": "`expired`: what followed is no longer kept; `rewound`: the store has lost a part of it",
    });
}

impl ChannelHistory {
    /// What of a page of the log is still good at `now`.
    fn of(channel: ChannelName, page: Page, now: Millis) -> Result<Self, ApiError> {
        let lost = page.frames.iter().any(Frame::is_loss);
        let good = page.frames.iter().filter(|frame| frame.deliverable(now));
        let notifications: Result<_, _> = good.map(written).collect();
        Ok(Self {
            channel,
            notifications: notifications?,
            next: page.end,
            more: page.more,
            gap: page.gap.or(lost.then_some(Gap::Rewound)),
        })
    }
}

/// As it is stored, its data digit for digit.
pub(super) fn written(frame: &Frame) -> Result<Box<RawValue>, ApiError> {
    raw(notification_kept(frame))
}

/// JSON that we wrote.
pub(super) fn raw(json: Bytes) -> Result<Box<RawValue>, ApiError> {
    let defect = |why: String| ApiError::Internal(format!("a stored notification: {why}").into());
    let text = String::from_utf8(json.into());
    let text = text.map_err(|error| defect(error.utf8_error().to_string()))?;
    RawValue::from_string(text).map_err(|error| defect(error.to_string()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Millis = 1_767_225_600_000;

    fn frame(seq: u64, expires_at: Millis, tombstone: bool) -> Frame {
        Frame {
            cursor: Cursor { seq, nonce: 7 },
            id: Uuid::nil(),
            stored_at: NOW - 1_000,
            expires_at,
            tombstone,
            trace: None,
            body: r#"{"id":"n","data":{"n":1.50}}"#.into(),
        }
    }

    fn page(frames: Vec<Frame>, gap: Option<Gap>) -> String {
        let page = Page {
            start: Cursor::ZERO,
            frames,
            end: Cursor { seq: 9, nonce: 7 },
            more: true,
            gap,
        };
        let history = ChannelHistory::of("orders".parse().unwrap(), page, NOW).unwrap();
        serde_json::to_string(&history).unwrap()
    }

    #[test]
    fn what_is_stored_is_told_as_it_is_written_and_what_expired_is_not() {
        let frames = vec![frame(7, NOW, false), frame(8, NOW + 1, false)];
        assert_eq!(
            page(frames, None),
            concat!(
                r#"{"channel":"orders","notifications":[{"id":"n","data":{"n":1.50},"cursor":"8-7","#,
                r#""stored_at":"2025-12-31T23:59:59.000Z","expires_at":"2026-01-01T00:00:00.001Z"}],"#,
                r#""next":"9-7","more":true,"gap":null}"#
            )
        );
    }

    #[test]
    fn a_loss_is_a_gap() {
        let lost = page(vec![frame(7, NOW + 1, true)], None);
        assert!(
            lost.ends_with(r#""notifications":[],"next":"9-7","more":true,"gap":"rewound"}"#),
            "{lost}"
        );
        let expired = page(vec![frame(7, NOW + 1, true)], Some(Gap::Expired));
        assert!(expired.ends_with(r#""gap":"expired"}"#), "{expired}");
    }
}
