//! `GET /api/users/{user}/devices`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{
    backend::{DevicePosition, Devices},
    ids::{Cursor, DeviceId, UserId},
    notification::rfc3339,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{Caller, may, may_reach_user};
use crate::{
    app::App,
    contract::{self, Asking, OfUser, OfUsers},
    dispatch::deliver,
    error::ApiError,
    extract::UserInPath,
    paths::DEVICES,
};

/// Tells how far a user's devices have come
///
/// Those that the store knows, connected or not. What a device has acked it is not given again.
#[utoipa::path(
    get,
    path = DEVICES,
    tag = "users",
    params(Asking, OfUser),
    responses(
        (status = 200, description = "The user's devices; none where nothing is known of that name", body = UserDevices, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfUsers,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn devices(
    State(app): State<Arc<App>>,
    caller: Caller<may::Read>,
    UserInPath(user): UserInPath,
) -> Result<Json<UserDevices>, ApiError> {
    may_reach_user(&caller.service, &user)?;
    let until = app.store_deadline(caller.deadline);
    let Devices { last, devices } = deliver(until, || app.backend.devices(&user)).await?.answer;
    let devices = devices.iter().map(|device| UserDevice::of(device, last));
    Ok(Json(UserDevices {
        user,
        last: some(last),
        devices: devices.collect(),
    }))
}

/// How far a user's devices have come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserDevices {
    #[schema(value_type = contract::User)]
    user: UserId,
    /// The last position of the inbox; null where nothing was ever sent to the user.
    #[schema(value_type = Option<contract::Cursor>, required)]
    last: Option<Cursor>,
    /// The one without a name stands for all connections that gave none.
    devices: Vec<UserDevice>,
}

/// How far a device has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserDevice {
    /// Its name; null: those that gave none.
    #[schema(value_type = Option<contract::DeviceName>, required)]
    device: Option<DeviceId>,
    /// It has everything up to here, or began here; null: before the first one.
    #[schema(value_type = Option<contract::Cursor>, required)]
    cursor: Option<Cursor>,
    /// Positions of the inbox after that, with those that expired or were taken back; null: all that there are.
    #[schema(required)]
    behind: Option<u64>,
    /// When it last acked something; null where it never did, or that is not known.
    #[schema(value_type = Option<contract::Time>, required)]
    acked_at: Option<String>,
}

impl UserDevice {
    fn of(device: &DevicePosition, last: Cursor) -> Self {
        Self {
            device: device.device.clone(),
            cursor: some(device.position),
            behind: behind(device.position, last),
            acked_at: device.acked_at.map(rfc3339),
        }
    }
}

/// Numbers of an inbox begin at a time, so that those before the first one are not to be counted.
fn behind(position: Cursor, last: Cursor) -> Option<u64> {
    match position {
        Cursor::ZERO => (last == Cursor::ZERO).then_some(0),
        position => Some(last.seq.saturating_sub(position.seq)),
    }
}

fn some(cursor: Cursor) -> Option<Cursor> {
    (cursor != Cursor::ZERO).then_some(cursor)
}
