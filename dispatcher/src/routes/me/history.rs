//! `GET /api/me/channels/{channel}/history`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::auth::may_join;

use super::client::Client;
use crate::{
    app::App,
    contract::{Asking, OfChannel, OfMyChannels},
    error::ApiError,
    extract::ChannelInPath,
    paths::MY_HISTORY,
    routes::history::{ChannelHistory, HistoryQuery, read_log},
};

/// Reads the log of a channel that the user may join
///
/// As `GET /api/channels/{channel}/history`, of the channels that the token allows.
#[utoipa::path(
    get,
    path = MY_HISTORY,
    tag = "me",
    params(Asking, OfChannel, HistoryQuery),
    responses(
        (status = 200, description = "A page of the log; empty where nothing is kept", body = ChannelHistory, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfMyChannels,
    ),
    security(("token" = [])),
)]
pub(crate) async fn my_history(
    State(app): State<Arc<App>>,
    client: Client,
    ChannelInPath(channel): ChannelInPath,
) -> Result<Json<ChannelHistory>, ApiError> {
    let namespace = app.settings.namespace(channel.as_str());
    if !may_join(&client.claims, channel.as_str(), namespace) {
        return Err(ApiError::ChannelNotJoinable(channel));
    }
    let fields = client.parameters()?;
    read_log(&app, channel, &fields, client.deadline).await
}
