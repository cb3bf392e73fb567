//! Where connections and channels stand is compared with what the store holds: hints that were lost
//! without a trace are found.

use std::{sync::Arc, time::Duration};

use carillon_common::backend::{AuditAnswer, AuditQuestion};
use tokio::time::sleep;

use super::resume::release_strays;
use crate::{parts::Gateway, routing::Handle, session::Event};

/// Connections asked about in one pipeline.
const AUDITED: usize = 256;
/// How long one that is behind may take to catch up before it is made to.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compares where connections stand with what the store holds.
pub(super) async fn audit(gateway: Arc<Gateway>) {
    let interval = gateway.settings.audit.interval;
    loop {
        // Jittered, so that gateways do not audit together.
        sleep(interval.mul_f64(rand::random_range(0.75..1.25))).await;
        for some in gateway.hub.all().chunks(AUDITED) {
            audit_some(&gateway, some).await;
        }
        gateway.channels.audit(PATIENCE).await;
        release_strays(&gateway, |user| gateway.hub.of(user).is_empty()).await;
    }
}

async fn audit_some(gateway: &Gateway, handles: &[Arc<Handle>]) {
    let registered = handles
        .iter()
        .filter(|handle| handle.fence().is_some())
        .cloned()
        .collect();
    let doubtful = compare(gateway, registered).await;
    if doubtful.is_empty() {
        return;
    }
    // What was on its way a moment ago has arrived by now, unless it was lost.
    sleep(PATIENCE).await;
    let handles = doubtful.into_iter().map(|(handle, _)| handle).collect();
    for (handle, answer) in compare(gateway, handles).await {
        if answer.registered {
            handle.mailbox.post(Event::Audit(answer.last));
        } else {
            gateway.metrics.all.audit_repairs.inc();
            handle.mailbox.post(Event::Dirty);
        }
    }
}

/// Those of the connections that do not stand as the store has it.
async fn compare(gateway: &Gateway, handles: Vec<Arc<Handle>>) -> Vec<(Arc<Handle>, AuditAnswer)> {
    let questions: Vec<AuditQuestion> = handles
        .iter()
        .map(|handle| AuditQuestion {
            user: handle.user.clone(),
            device: handle.device.clone(),
            session: handle.session.clone(),
        })
        .collect();
    let Ok(answers) = gateway.membership.audit(&questions).await else {
        return Vec::new();
    };
    let differs = |(handle, answer): &(Arc<Handle>, AuditAnswer)| {
        !answer.registered || answer.last != handle.position()
    };
    handles.into_iter().zip(answers).filter(differs).collect()
}
