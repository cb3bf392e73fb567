//! What a membership does by itself: it keeps its lease, reaps gateways that died, and heeds words
//! left for it.

use std::{sync::Weak, time::Duration};

use redis::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    calls::{LeaseRenew, LeaseTake, number, word},
    keys::Keys,
    lease,
    membership::RedisMembership,
    reply::Reply,
    store::Core,
};
use crate::{
    backend::{BackendError, BusEvent, Control, Membership},
    ids::GatewayId,
};

/// The mark of a generation that drains.
const DRAINS: &str = "1";
/// The same, once it lets nobody in.
pub(super) const LETS_NOBODY_IN: &str = "2";
/// How often a gateway looks for words left for it without a hint.
const CONTROL_POLL: Duration = Duration::from_secs(1);

/// A lease of a new generation.
pub(super) async fn take_lease(core: &Core, gateway: &GatewayId) -> Result<u64, BackendError> {
    let keys = &core.keys;
    let take = LeaseTake {
        lease: &keys.lease(gateway),
        gateways: &keys.gateways(),
        generations: &keys.generations(),
        gateway: word(gateway.as_str()),
        ttl_ms: number(core.options.limits.lease_ttl.as_millis()),
    };
    let value = core.call(Keys::HOME, take).await?;
    Reply::new(Value::Array(vec![value]))?.parse()
}

/// Keeps the lease; a lost one is replaced by one of a new generation.
pub(super) async fn renew(membership: Weak<RedisMembership>) {
    let mut renewed = Instant::now();
    let mut isolated = false;
    let mut pause = Duration::ZERO;
    loop {
        sleep(pause).await;
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let limits = &membership.core.options.limits;
        // Often while it fails: the first success matters.
        pause = limits.lease_renew;
        match renew_once(&membership).await {
            Ok(()) => {
                renewed = Instant::now();
                isolated = false;
                membership.core.set_wrong("lease", None);
            }
            Err(error) => {
                pause = (limits.lease_renew / 5).min(Duration::from_secs(1));
                membership.core.set_wrong(
                    "lease",
                    Some(format!("the lease cannot be renewed: {error}")),
                );
                let deadline = limits.isolation_deadline;
                if !isolated && !deadline.is_zero() && renewed.elapsed() >= deadline {
                    isolated = true;
                    membership.sink.on_bus(BusEvent::Isolated);
                }
            }
        }
        let silent = (!membership.bus.healthy()).then(|| "the bus is not connected".to_owned());
        membership.core.set_wrong("bus", silent);
    }
}

async fn renew_once(membership: &RedisMembership) -> Result<(), BackendError> {
    let core = &membership.core;
    let renew = LeaseRenew {
        lease: &core.keys.lease(&membership.gateway),
        gateways: &core.keys.gateways(),
        gateway: word(membership.gateway.as_str()),
        generation: number(membership.generation()),
        ttl_ms: number(core.options.limits.lease_ttl.as_millis()),
    };
    match core.call(Keys::HOME, renew).await? {
        Value::Int(1) => Ok(()),
        _ => membership.new_generation().await,
    }
}

/// Marks a generation as one that drains, for as long as a lease lasts.
pub(super) async fn show_draining(
    core: &Core,
    gateway: &GatewayId,
    generation: u64,
    accepting: bool,
) -> Result<(), BackendError> {
    let mut mark = redis::cmd("SET");
    mark.arg(core.keys.draining(gateway.as_str(), generation))
        .arg(if accepting { DRAINS } else { LETS_NOBODY_IN });
    mark.arg("PX")
        .arg(core.options.limits.lease_ttl.as_millis().to_string());
    core.link.call::<Value>(Keys::HOME, &mark).await?;
    Ok(())
}

/// Reaps gateways whose lease has ended.
pub(super) async fn reap_others(membership: Weak<RedisMembership>) {
    loop {
        let Some(strong) = membership.upgrade() else {
            return;
        };
        let pause = strong.core.options.limits.lease_renew;
        drop(strong);
        // Jittered, so that the gateways do not look at the same moment.
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let Ok((_, ended)) = lease::read_leases(&membership.core).await else {
            continue;
        };
        for (gateway, generation) in ended {
            match lease::reap(&membership.core, &gateway, generation).await {
                Ok(Some(users)) => {
                    tracing::warn!(
                        gateway,
                        generation,
                        users,
                        "reaped a gateway whose lease ended"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(gateway, generation, %error, "reaping goes on later"),
            }
        }
    }
}

/// Has every connection resumed when a part of the store went back: who may miss something is told.
pub(super) async fn resume_after_loss(membership: Weak<RedisMembership>) {
    let Some(mut losses) = membership
        .upgrade()
        .map(|membership| membership.core.histories.losses())
    else {
        return;
    };
    while losses.changed().await.is_ok() {
        let Some(membership) = membership.upgrade() else {
            return;
        };
        membership
            .sink
            .on_bus(BusEvent::Dirty { reason: "rewound" });
    }
}

/// Up to where the words for a gateway are of its past.
pub(super) async fn last_word(core: &Core, gateway: &GatewayId) -> Result<String, BackendError> {
    let newest = newest_entry(core, Keys::HOME, &core.keys.control(gateway)).await?;
    Ok(newest.unwrap_or_else(|| "0-0".to_owned()))
}

/// The id of a stream's newest entry.
pub(super) async fn newest_entry(
    core: &Core,
    partition: u16,
    stream: &str,
) -> Result<Option<String>, BackendError> {
    let mut newest = redis::cmd("XREVRANGE");
    newest.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    let entries: Vec<(String, Value)> = core.link.call(partition, &newest).await?;
    Ok(entries.into_iter().next().map(|(id, _)| id))
}

/// Heeds words for this gateway, each once.
pub(super) async fn heed(membership: Weak<RedisMembership>, mut after: String) {
    loop {
        let Some(strong) = membership.upgrade() else {
            return;
        };
        let control = strong.control.clone();
        drop(strong);
        drop(timeout(CONTROL_POLL, control.notified()).await);
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let mut news = redis::cmd("XRANGE");
        news.arg(membership.core.keys.control(&membership.gateway))
            .arg(format!("({after}"));
        news.arg("+").arg("COUNT").arg(100);
        let entries: Vec<(String, Vec<String>)> =
            match membership.core.link.call(Keys::HOME, &news).await {
                Ok(entries) => entries,
                Err(_) => continue,
            };
        for (id, fields) in entries {
            after = id;
            match fields
                .get(1)
                .and_then(|text| serde_json::from_str::<Control>(text).ok())
            {
                Some(control) => membership.sink.on_bus(BusEvent::Control(control)),
                None => tracing::warn!("a word for this gateway that it does not understand"),
            }
        }
    }
}
