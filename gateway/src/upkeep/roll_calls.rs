//! Questions who is on a channel are answered, one after the other.

use std::sync::Arc;

use carillon_common::backend::Roll;

use crate::{
    parts::Gateway,
    routing::{Asked, Bus},
};

/// Answers whoever asks. An answer that does not arrive is missed by whoever asked, who is told how many are.
pub(super) async fn answer_roll_calls(gateway: Arc<Gateway>, bus: Arc<Bus>) {
    loop {
        let Asked { answer_to, call } = bus.roll_calls.next().await;
        let present = gateway.channels.present(&call);
        let roll = Roll {
            gateway: gateway.name.clone(),
            connections: present.connections,
            members: present.members,
            more: present.more,
        };
        if let Err(error) = gateway.membership.answer(&answer_to, &roll).await {
            tracing::debug!(channel = %call.channel, %error, "who is on a channel was not told");
        }
    }
}
