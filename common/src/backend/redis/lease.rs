//! Leases and the clock: what every process reads of them, and how dead gateways are reaped.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use redis::Value;
use tokio_util::sync::CancellationToken;

use super::{
    calls::{LeaseEnd, LeaseList, LeaseTake, Reap, number, word},
    keys::Keys,
    reply::Reply,
    shared::Shared,
};
use crate::{
    backend::{AboutGateway, BackendError, clock::local_now},
    ids::{GatewayId, Millis, UserId},
};

/// Users reaped with one round trip.
const REAPED_AT_ONCE: u32 = 256;
/// Connections of one user that one call ends: Redis does nothing else meanwhile.
const ENDED_AT_ONCE: u64 = 32;
/// For how long a reaper has a generation for itself.
const REAP_LOCK_MS: u32 = 30_000;
/// How often a process reads whose lease holds.
const LEASES_READ: Duration = Duration::from_secs(1);

/// The mark of a generation that drains.
const DRAINS: &str = "1";
/// The same, once it lets nobody in.
const LETS_NOBODY_IN: &str = "2";

/// A gateway and the generation of its lease.
type Generation = (String, u64);

/// Reads Redis' clock.
pub(super) async fn read_clock(shared: &Shared) -> Result<(), BackendError> {
    let before = local_now();
    let (seconds, micros): (i64, i64) = shared.link.call(Keys::HOME, &redis::cmd("TIME")).await?;
    let after = local_now();
    shared
        .clock
        .measured(before, seconds * 1_000 + micros / 1_000, after);
    let offset_ms = shared.clock.offset_ms();
    shared.link.stats().clock_offset.set(offset_ms as f64 / 1e3);
    let offset = Duration::from_millis(offset_ms.unsigned_abs());
    let (_, tolerance) = shared.options.clock;
    shared.set_wrong(
        "clock",
        (offset > tolerance)
            .then(|| format!("this machine's clock is {} ms off Redis'", -offset_ms)),
    );
    Ok(())
}

/// Reads whose lease holds and whose has ended.
pub(super) async fn read_leases(
    shared: &Shared,
) -> Result<(Vec<Generation>, Vec<Generation>), BackendError> {
    let list = LeaseList {
        gateways: &shared.keys.gateways(),
    };
    let value = shared.call(Keys::HOME, list).await?;
    let mut reply = Reply::new(value)?;
    let (live, ended) = (read(reply.texts()?), read(reply.texts()?));
    shared.set_ended(ended.iter().cloned().collect::<HashSet<_>>());
    Ok((live, ended))
}

fn read(texts: Vec<String>) -> Vec<Generation> {
    let split = |text: String| {
        let (gateway, generation) = text.rsplit_once('|')?;
        Some((gateway.to_owned(), generation.parse().ok()?))
    };
    texts.into_iter().filter_map(split).collect()
}

/// Keeps the clock's offset and the list of leases fresh, as long as the store is used.
pub(super) async fn keep_time(shared: Weak<Shared>, stop: CancellationToken) {
    let mut clock_read = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LEASES_READ) => {}
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut result = read_leases(&shared).await.map(drop);
        if result.is_ok() && clock_read.elapsed() >= shared.options.clock.0 {
            clock_read = tokio::time::Instant::now();
            result = read_clock(&shared).await;
        }
        shared.set_wrong("store", result.err().map(|error| error.to_string()));
    }
}

/// A lease of a new generation.
pub(super) async fn take_lease(shared: &Shared, gateway: &GatewayId) -> Result<u64, BackendError> {
    let keys = &shared.keys;
    let take = LeaseTake {
        lease: &keys.lease(gateway),
        gateways: &keys.gateways(),
        generations: &keys.generations(),
        gateway: word(gateway.as_str()),
        ttl_ms: number(shared.options.limits.lease_ttl.as_millis()),
    };
    let value = shared.call(Keys::HOME, take).await?;
    Reply::new(Value::Array(vec![value]))?.parse()
}

/// Marks a generation as one that drains, for as long as a lease lasts.
pub(super) async fn show_draining(
    shared: &Shared,
    gateway: &GatewayId,
    generation: u64,
    accepting: bool,
) -> Result<(), BackendError> {
    let mark = shared.keys.draining(gateway.as_str(), generation);
    let word = if accepting { DRAINS } else { LETS_NOBODY_IN };
    say_for_a_lease(shared, &mark, word).await
}

/// Tells of a generation, for as long as a lease lasts: `connections|version`.
pub(super) async fn show(
    shared: &Shared,
    gateway: &GatewayId,
    generation: u64,
    about: &AboutGateway,
) -> Result<(), BackendError> {
    let AboutGateway {
        connections,
        version,
    } = about;
    let mark = shared.keys.about(gateway.as_str(), generation);
    say_for_a_lease(shared, &mark, &format!("{connections}|{version}")).await
}

async fn say_for_a_lease(shared: &Shared, key: &str, text: &str) -> Result<(), BackendError> {
    let mut say = redis::cmd("SET");
    say.arg(key).arg(text);
    say.arg("PX")
        .arg(shared.options.limits.lease_ttl.as_millis().to_string());
    shared.link.call::<Value>(Keys::HOME, &say).await?;
    Ok(())
}

/// Ends everything that a generation of a gateway left behind. Any pod may; one does. Answers
/// how many users that concerned, or `None` when another pod is at it.
pub(super) async fn reap(
    shared: &Arc<Shared>,
    gateway: &str,
    generation: u64,
) -> Result<Option<u64>, BackendError> {
    let lock = shared.keys.reap_lock(gateway, generation);
    let mut take = redis::cmd("SET");
    take.arg(&lock).arg(1).arg("NX").arg("PX").arg(REAP_LOCK_MS);
    if shared.link.call::<Value>(Keys::HOME, &take).await? == Value::Nil {
        return Ok(None);
    }
    let mut users = 0;
    for partition in 0..shared.keys.partitions() {
        let reaped = reap_partition(shared, partition, gateway, generation).await?;
        shared.link.stats().reaped_sessions.inc_by(reaped);
        users += reaped;
    }
    let mut forget = redis::pipe();
    forget
        .cmd("ZREM")
        .arg(shared.keys.gateways())
        .arg(format!("{gateway}|{generation}"));
    forget.cmd("DEL").arg(&lock);
    shared.link.pipeline::<Value>(Keys::HOME, &forget).await?;
    Ok(Some(users))
}

/// Ends and reaps every generation of a dead gateway that is not newer than `until`. Answers whether
/// there was any.
pub(super) async fn reap_dead(
    shared: &Arc<Shared>,
    gateway: &GatewayId,
    until: Millis,
) -> Result<bool, BackendError> {
    let (live, ended) = read_leases(shared).await?;
    let until = u64::try_from(until).unwrap_or_default();
    let dead = |(name, generation): &Generation| name == gateway.as_str() && *generation <= until;
    let generations: Vec<_> = live.into_iter().chain(ended).filter(dead).collect();
    for (name, generation) in &generations {
        // First, so that the gateway cannot renew it if it lives, and others finish this if we die.
        let end = LeaseEnd {
            lease: &shared.keys.lease(gateway),
            gateways: &shared.keys.gateways(),
            gateway: word(name),
            generation: number(generation),
        };
        shared.call(Keys::HOME, end).await?;
        if let Some(users) = reap(shared, name, *generation).await? {
            tracing::info!(%gateway, generation, users, "reaped a gateway that is dead");
        }
    }
    Ok(!generations.is_empty())
}

/// How many of the users that are counted as online a lease vouches for. What a dead gateway has left
/// is counted until it is reaped, which takes a gateway that lives: until then no more are online than
/// are on those that do, each counted once a gateway.
pub(super) async fn vouched_for(shared: &Shared, counted: u64) -> Result<u64, BackendError> {
    let (live, ended) = read_leases(shared).await?;
    if counted == 0 || (ended.is_empty() && !live.is_empty()) {
        return Ok(counted);
    }
    let on_live: u64 = count_users(shared, &live).await?.into_iter().sum();
    Ok(counted.min(on_live))
}

/// How many users have a connection under each of these generations.
pub(super) async fn count_users(
    shared: &Shared,
    generations: &[Generation],
) -> Result<Vec<u64>, BackendError> {
    let mut counts = vec![0; generations.len()];
    // Nothing to ask: a pipeline without a command is an error.
    if generations.is_empty() {
        return Ok(counts);
    }
    let topology = shared.link.topology().borrow().clone();
    let asked = topology.primaries().iter().filter_map(|primary| {
        let partitions = topology.owned_by(primary);
        let first = *partitions.first()?;
        let mut pipeline = redis::pipe();
        for (gateway, generation) in generations {
            for partition in &partitions {
                let sessions = shared.keys.sessions(*partition, gateway, *generation);
                pipeline.cmd("SCARD").arg(sessions);
            }
        }
        Some(async move {
            let users = shared.link.pipeline::<Vec<u64>>(first, &pipeline).await?;
            Ok::<_, BackendError>((users, partitions.len()))
        })
    });
    for (users, partitions) in try_join_all(asked).await? {
        for (count, users) in counts.iter_mut().zip(users.chunks(partitions)) {
            *count += users.iter().sum::<u64>();
        }
    }
    Ok(counts)
}

/// What a generation says of itself.
pub(super) struct Said {
    pub(super) draining: bool,
    pub(super) accepting: bool,
    pub(super) about: Option<AboutGateway>,
}

/// What each of these generations says of itself.
pub(super) async fn said(
    shared: &Shared,
    generations: &[Generation],
) -> Result<Vec<Said>, BackendError> {
    // As above.
    if generations.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for (gateway, generation) in generations {
        let keys = &shared.keys;
        pipeline.cmd("GET").arg(keys.draining(gateway, *generation));
        pipeline.cmd("GET").arg(keys.about(gateway, *generation));
    }
    let texts: Vec<Option<String>> = shared.link.pipeline(Keys::HOME, &pipeline).await?;
    let read = |texts: &[Option<String>]| Said {
        draining: texts[0].is_some(),
        accepting: texts[0].as_deref() != Some(LETS_NOBODY_IN),
        about: texts[1].as_deref().and_then(read_about),
    };
    Ok(texts.chunks_exact(2).map(read).collect())
}

fn read_about(text: &str) -> Option<AboutGateway> {
    let (connections, version) = text.split_once('|')?;
    Some(AboutGateway {
        connections: connections.parse().ok()?,
        version: version.into(),
    })
}

async fn reap_partition(
    shared: &Arc<Shared>,
    partition: u16,
    gateway: &str,
    generation: u64,
) -> Result<u64, BackendError> {
    let sessions = shared.keys.sessions(partition, gateway, generation);
    let mut count = 0;
    loop {
        let mut some = redis::cmd("SRANDMEMBER");
        some.arg(&sessions).arg(REAPED_AT_ONCE);
        let users: Vec<String> = shared.link.call(partition, &some).await?;
        if users.is_empty() {
            return Ok(count);
        }
        count += users.len() as u64;
        let users: Vec<UserId> = users
            .iter()
            .filter_map(|user| UserId::new(user).ok())
            .collect();
        let reaped = users
            .iter()
            .map(|user| reap_user(shared, user, gateway, generation, &[]));
        for result in join_all(reaped).await {
            result?;
        }
    }
}

/// Ends a user's registrations under a generation, except those with these fences.
pub(super) async fn reap_user(
    shared: &Shared,
    user: &UserId,
    gateway: &str,
    generation: u64,
    held: &[u64],
) -> Result<u64, BackendError> {
    let keys = shared.keys.user(user);
    let sessions = shared.keys.sessions(keys.partition, gateway, generation);
    let held: Vec<Bytes> = held.iter().map(number).collect();
    let mut count = 0;
    loop {
        let reap = Reap {
            presence: &keys.presence,
            online: &keys.online,
            user: &keys.user,
            sessions: &sessions,
            subs: &keys.subs,
            user_name: word(user.as_str()),
            gateway: word(gateway),
            generation: number(generation),
            most: number(ENDED_AT_ONCE),
            held: held.clone(),
        };
        let value = shared.call(keys.partition, reap).await?;
        let ended: u64 = Reply::new(Value::Array(vec![value]))?.parse()?;
        count += ended;
        if ended < ENDED_AT_ONCE {
            return Ok(count);
        }
    }
}
