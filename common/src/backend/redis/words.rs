//! Words for gateways: left in a list of each one's own, with a hint that they are there.

use redis::Value;

use super::{keys::Keys, shared::Shared, wire};
use crate::{
    backend::{BackendError, Control},
    ids::GatewayId,
};

/// How long a word waits to be handled, in seconds.
const LIFE_S: u32 = 60;
/// How many wait for one gateway.
const MOST: u32 = 1_000;

/// Leaves a word for a gateway.
pub(super) async fn leave(
    shared: &Shared,
    gateway: &GatewayId,
    word: &Control,
) -> Result<(), BackendError> {
    let key = shared.keys.control(gateway);
    let text =
        serde_json::to_string(word).map_err(|error| BackendError::Unexpected(error.to_string()))?;
    let mut pipeline = redis::pipe();
    pipeline
        .cmd("XADD")
        .arg(&key)
        .arg("MAXLEN")
        .arg(MOST)
        .arg("*")
        .arg("c")
        .arg(text);
    pipeline.cmd("EXPIRE").arg(&key).arg(LIFE_S);
    let channel = shared.keys.gateway_channel(Keys::HOME, gateway);
    pipeline
        .cmd("SPUBLISH")
        .arg(channel)
        .arg(wire::CONTROL_HINT);
    shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    Ok(())
}
