//! After doubt every connection registers again, and what nobody here holds is released.

use std::{sync::Arc, time::Duration};

use carillon_common::ids::UserId;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{parts::Gateway, routing::Bus, session::Event};

/// Connections resumed in each [`STEP`]: the store has others to serve.
const RESUMED_AT_ONCE: usize = 100;
const STEP: Duration = Duration::from_millis(50);

pub(super) async fn resume_when_dirty(gateway: Arc<Gateway>, bus: Arc<Bus>) {
    loop {
        bus.dirty.notified().await;
        gateway.channels.repair_all();
        for some in gateway.hub.all().chunks(RESUMED_AT_ONCE) {
            some.iter()
                .for_each(|handle| handle.mailbox.post(Event::Dirty));
            sleep(STEP).await;
        }
        release_strays(&gateway, |_| true).await;
    }
}

/// Ends registrations that no connection here holds, of the users that `concerns` picks.
pub(super) async fn release_strays(gateway: &Gateway, concerns: impl Fn(&UserId) -> bool) {
    let Ok(mut users) = gateway.membership.registered().await else {
        return;
    };
    users.retain(concerns);
    for some in users.chunks(RESUMED_AT_ONCE) {
        let released = some
            .iter()
            .map(|user| gateway.context.calls.release_strays(user));
        // What fails is met again at the next audit.
        drop(join_all(released).await);
        sleep(STEP).await;
    }
}
