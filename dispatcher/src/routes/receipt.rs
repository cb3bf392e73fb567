//! `GET` and `DELETE /api/users/{user}/notifications/{id}`: what became of a notification, and taking it back.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    backend::{Awaited, DeviceReceipt, Fate, LeftReason, Look, Receipt, Retraction, Standing},
    ids::{Cursor, DeviceId, Millis, NotificationId, UserId},
    notification::rfc3339,
};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    caller::{Caller, may, may_reach_user},
    inbox::look_at,
};
use crate::{
    app::App,
    contract::{self, Asking, OfNotification, OfNotifications, described, refer},
    dispatch::deliver,
    error::ApiError,
    extract::{NotificationInPath, Which},
    paths::NOTIFICATION,
};

/// Frames that are looked at in one piece while an id is looked for.
const PIECE: u32 = 200;

/// Tells what became of a notification
///
/// At each device of the user. By its id while it waits for its time (`deliver_at`) or is in the inbox, by its cursor for
/// longer.
#[utoipa::path(
    get,
    path = NOTIFICATION,
    tag = "users",
    params(Asking, OfNotification),
    responses(
        (status = 200, description = "What is known of it", body = ReceiptAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfNotifications,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn receipt(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
    NotificationInPath(user, which): NotificationInPath,
) -> Result<Json<ReceiptAnswer>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    // Before the inbox, so that it cannot come there in between without having been seen here.
    if let Which::Id(id) = which {
        let awaited = deliver(until, || app.backend.awaited(&user, id)).await?;
        let waits = matches!(awaited.answer, Awaited::Waiting(_));
        if let Some(answer) = ReceiptAnswer::of_awaited(id, awaited.answer) {
            // An id comes again with its key: why one left is told of the next only while none is in the inbox.
            let in_inbox = cursor_of(&app, &user, which, until);
            if waits || matches!(in_inbox.await, Err(ApiError::ReceiptGone)) {
                return Ok(Json(answer));
            }
        }
    }
    let cursor = cursor_of(&app, &user, which, until).await?;
    let receipt = deliver(until, || app.backend.receipt(&user, cursor)).await?;
    let receipt = receipt.answer.ok_or(ApiError::ReceiptGone)?;
    Ok(Json(ReceiptAnswer::of(&receipt)))
}

/// Takes a notification back
///
/// Whoever has not been given it is not given it any more. Devices that may show it and are connected are told
/// (`carillon.v1` and event streams: `retracted`). Asking again changes nothing.
#[utoipa::path(
    delete,
    path = NOTIFICATION,
    tag = "users",
    params(Asking, OfNotification),
    responses(
        (status = 200, description = "It is delivered no more", body = RetractAnswer, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfNotifications,
    ),
    security(("api_key" = ["send"])),
)]
pub(crate) async fn retract(
    State(app): State<Arc<App>>,
    caller: Caller<may::Send>,
    NotificationInPath(user, which): NotificationInPath,
) -> Result<Json<RetractAnswer>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    let cursor = cursor_of(&app, &user, which, until).await?;
    let retracted = deliver(until, || app.backend.retract(&user, cursor)).await?;
    let (outcome, devices) = match retracted.answer {
        Retraction::Done { devices } => (Retracted::Retracted, devices),
        // By an attempt of ours whose answer did not arrive.
        Retraction::Left if retracted.after_doubt => (Retracted::Retracted, 0),
        Retraction::Left => (Retracted::Left, 0),
        Retraction::Gone => return Err(ApiError::ReceiptGone),
    };
    Ok(Json(RetractAnswer {
        status: "ok",
        cursor,
        outcome,
        devices,
    }))
}

/// The position of a notification.
pub(super) async fn cursor_of(
    app: &App,
    user: &UserId,
    which: Which,
    until: Instant,
) -> Result<Cursor, ApiError> {
    let id = match which {
        Which::Cursor(cursor) => return Ok(cursor),
        Which::Id(id) => id,
    };
    // From the newest on: what is asked about is seldom old.
    let mut look = Look {
        after: None,
        backwards: true,
        limit: PIECE,
    };
    loop {
        let sight = look_at(app, user, &look, until).await?;
        if let Some(frame) = sight.frames.iter().find(|frame| frame.id == id) {
            return Ok(frame.cursor);
        }
        match sight.frames.last() {
            Some(oldest) if sight.more => look.after = Some(oldest.cursor),
            _ => return Err(ApiError::ReceiptGone),
        }
    }
}

/// What became of a notification.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptAnswer {
    /// Its identity; null once it has left the inbox.
    #[schema(value_type = Option<contract::Id>, required)]
    id: Option<NotificationId>,
    /// Its place in the inbox; null while it waits for its time, and when it never came there.
    #[schema(value_type = CursorOrNone, required)]
    cursor: Option<Cursor>,
    status: Status,
    /// When it will be delivered, while it waits for its time.
    #[schema(value_type = contract::Time)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    /// When it was accepted; null once it has left the inbox.
    #[schema(value_type = Option<contract::Time>, required)]
    accepted_at: Option<String>,
    /// From when on it is not delivered any more; null once it has left the inbox.
    #[schema(value_type = Option<contract::Time>, required)]
    expires_at: Option<String>,
    /// Those that the store knows; the one without a name stands for all connections that gave none.
    devices: Vec<DeviceAnswer>,
}

described! {
    /// A position; of what was sent with `deliver_at` there may be none.
    CursorOrNone: json!({
        "anyOf": [refer::<contract::Cursor>(), { "type": "null", "x-answers": "deliver_at" }],
    });
}

/// What became of it at a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceAnswer {
    /// Its name; null: those that gave none.
    #[schema(value_type = Option<contract::DeviceName>, required)]
    device: Option<DeviceId>,
    status: DeviceStatus,
    /// When; null where that is not known, or nothing has happened yet.
    #[schema(value_type = Option<contract::Time>, required)]
    at: Option<String>,
}

/// What became of a notification at all devices together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It waits for its time.
    Scheduled,
    /// Nobody has acked it yet, and somebody may still be given it.
    Queued,
    /// Every device for which it is has acked it.
    Delivered,
    /// Some have acked it; the others may still be given it, or it left before they were.
    PartlyDelivered,
    /// Its time passed before anybody had it.
    Expired,
    /// It was taken back before anybody had it.
    Retracted,
    /// Another of the same collapse key came before anybody had it.
    Replaced,
    /// The inbox was full before anybody had it.
    Dropped,
    /// The store has lost the part of its history that this was in.
    Lost,
    /// What would tell is no longer kept.
    Unknown,
}

/// What became of a notification at a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeviceStatus {
    /// It waits to be given to it, or to be acked.
    Queued,
    /// The device acked it.
    Delivered,
    /// Its time passed first.
    Expired,
    /// It was taken back first.
    Retracted,
    /// Another of the same collapse key came first.
    Replaced,
    /// The inbox was full, and the device was passed over, which it is told.
    Dropped,
    /// The device came after it.
    NotAddressed,
    /// The store has lost the part of its history that this was in.
    Lost,
    /// What would tell is no longer kept.
    Unknown,
}

impl ReceiptAnswer {
    fn of(receipt: &Receipt) -> Self {
        let frame = match &receipt.standing {
            Standing::Kept(frame) => Some(frame),
            Standing::Trimmed | Standing::Lost => None,
        };
        Self {
            id: frame.map(|frame| frame.id),
            cursor: Some(receipt.cursor),
            status: Status::of(receipt),
            deliver_at: None,
            accepted_at: frame.map(|frame| rfc3339(frame.stored_at)),
            expires_at: frame.map(|frame| rfc3339(frame.expires_at)),
            devices: receipt.devices.iter().map(DeviceAnswer::of).collect(),
        }
    }

    /// Of one that was accepted for later and is not in the inbox; `None` when no more is known here.
    fn of_awaited(id: NotificationId, awaited: Awaited) -> Option<Self> {
        let (status, waiting) = match awaited {
            Awaited::Waiting(waiting) => (Status::Scheduled, Some(waiting)),
            Awaited::Left(reason) => (Status::of_left(reason), None),
            Awaited::Gone => return None,
        };
        let waiting = waiting.as_deref();
        Some(Self {
            id: Some(id),
            cursor: None,
            status,
            deliver_at: waiting.map(|waiting| rfc3339(waiting.due)),
            accepted_at: waiting.map(|waiting| rfc3339(waiting.accepted_at)),
            expires_at: waiting.map(|waiting| rfc3339(waiting.expires_at())),
            devices: Vec::new(),
        })
    }
}

impl DeviceAnswer {
    fn of(receipt: &DeviceReceipt) -> Self {
        let (status, at): (_, Option<Millis>) = match receipt.fate {
            Fate::Queued => (DeviceStatus::Queued, None),
            Fate::Delivered(at) => (DeviceStatus::Delivered, at),
            Fate::Left(reason, at) => (DeviceStatus::of_left(reason), Some(at)),
            Fate::NotAddressed => (DeviceStatus::NotAddressed, None),
            Fate::Lost => (DeviceStatus::Lost, None),
            Fate::Unknown => (DeviceStatus::Unknown, None),
        };
        Self {
            device: receipt.device.clone(),
            status,
            at: at.map(rfc3339),
        }
    }
}

impl DeviceStatus {
    fn of_left(reason: LeftReason) -> Self {
        match reason {
            LeftReason::Expired => Self::Expired,
            LeftReason::Dropped => Self::Dropped,
            LeftReason::Retracted => Self::Retracted,
            LeftReason::Replaced => Self::Replaced,
        }
    }
}

impl Status {
    fn of_left(reason: LeftReason) -> Self {
        match reason {
            LeftReason::Expired => Self::Expired,
            LeftReason::Dropped => Self::Dropped,
            LeftReason::Retracted => Self::Retracted,
            LeftReason::Replaced => Self::Replaced,
        }
    }

    fn of(receipt: &Receipt) -> Self {
        if receipt.standing == Standing::Lost {
            return Self::Lost;
        }
        let fates = receipt.devices.iter().map(|device| device.fate);
        let fates: Vec<_> = fates.filter(|fate| *fate != Fate::NotAddressed).collect();
        let is_delivered = |fate: &&Fate| matches!(fate, Fate::Delivered(_));
        let delivered = fates.iter().filter(is_delivered).count();
        let left = fates.iter().find_map(|fate| match fate {
            Fate::Left(reason, _) => Some(*reason),
            _ => None,
        });
        if delivered > 0 {
            return if delivered == fates.len() {
                Self::Delivered
            } else {
                Self::PartlyDelivered
            };
        }
        if fates.contains(&Fate::Queued) {
            return Self::Queued;
        }
        if fates.contains(&Fate::Unknown) {
            return Self::Unknown;
        }
        match (
            left.or(receipt.left.map(|(reason, _)| reason)),
            &receipt.standing,
        ) {
            (Some(reason), _) => Self::of_left(reason),
            // It waits for the user's first device.
            (None, Standing::Kept(frame)) if !frame.tombstone => Self::Queued,
            (None, _) => Self::Unknown,
        }
    }
}

/// What came of taking a notification back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetractAnswer {
    #[schema(value_type = contract::Ok)]
    status: &'static str,
    #[schema(value_type = contract::Cursor)]
    cursor: Cursor,
    outcome: Retracted,
    /// How many devices of the user are connected, and so told.
    devices: u32,
}

/// Whether it was taken back.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Retracted {
    /// It is delivered to nobody any more.
    Retracted,
    /// It had left before: taken back, replaced, or expired.
    Left,
}

#[cfg(test)]
mod tests {
    use carillon_common::notification::Frame;

    use super::*;

    fn receipt(fates: &[Fate], tombstone: bool, left: Option<LeftReason>) -> Receipt {
        let cursor = Cursor { seq: 5, nonce: 9 };
        Receipt {
            cursor,
            standing: Standing::Kept(Box::new(Frame {
                cursor,
                id: NotificationId::nil(),
                stored_at: 1,
                expires_at: 2,
                tombstone,
                trace: None,
                body: bytes::Bytes::new(),
            })),
            devices: fates
                .iter()
                .map(|fate| DeviceReceipt {
                    device: None,
                    fate: *fate,
                })
                .collect(),
            left: left.map(|reason| (reason, 3)),
            now: 4,
        }
    }

    #[test]
    fn all_devices_together_are_one_status() {
        use Fate::{Delivered, Left, NotAddressed, Queued, Unknown};
        let had = Delivered(Some(1));
        let expired = Left(LeftReason::Expired, 1);
        for (fates, status) in [
            (&[had, had][..], Status::Delivered),
            (&[had, NotAddressed], Status::Delivered),
            (&[had, Queued], Status::PartlyDelivered),
            (&[had, expired], Status::PartlyDelivered),
            (&[expired, Queued], Status::Queued),
            (&[expired, Unknown], Status::Unknown),
            (&[expired, expired], Status::Expired),
            (&[Left(LeftReason::Dropped, 1)], Status::Dropped),
            (&[], Status::Queued),
            (&[NotAddressed], Status::Queued),
        ] {
            assert_eq!(
                Status::of(&receipt(fates, false, None)),
                status,
                "{fates:?}"
            );
        }
        let retracted = receipt(&[], true, Some(LeftReason::Retracted));
        assert_eq!(Status::of(&retracted), Status::Retracted);
        let mut lost = receipt(&[], false, None);
        lost.standing = Standing::Lost;
        assert_eq!(Status::of(&lost), Status::Lost);
    }
}
