//! The list of revocations, which every process keeps a copy of.
//!
//! Three keys and a note for each: which tokens, each with the time before which they were issued (a set in which times
//! only grow, so that writers cannot undo each other); the same with the time at which each lapses; a revision, by which
//! everybody sees that something changed. Nothing leaves the list but what has lapsed and what was taken back, and the
//! latter leaves a note that says so: what is missing without one was lost by the store, and whoever knows it writes it
//! again.

use std::{collections::BTreeMap, sync::Weak, time::Duration};

use redis::{Pipeline, Value};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{keys::Keys, lease, shared::Shared, wire};
use crate::{
    auth::{Revocation, Revoked},
    backend::{BackendError, Listed, Note, RevokeOrder},
    ids::{GatewayId, Millis},
};

/// How often it is looked, without a hint, whether there is a change.
const POLL: Duration = Duration::from_secs(1);
/// Two looks are at least this far apart: each change may cost one that reads the whole list.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// What has lapsed is removed after so long: no clock is as late, so that nobody takes it for lost.
const KEPT_AFTER_MS: Millis = 60_000;
/// What stands in the place of a note: the revocation was taken back.
const TAKEN_BACK: &str = "taken back";
/// As many that have lapsed are removed at once.
const REMOVED_AT_ONCE: usize = 1000;

/// Keeps what is known here fresh, as long as the store is used.
pub(super) async fn follow(shared: Weak<Shared>, stop: CancellationToken) {
    let Some(stale) = shared.upgrade().map(|shared| shared.revoked.stale.clone()) else {
        return;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timeout(POLL, stale.notified()) => {}
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        // What passes shows elsewhere, and what is known stays in force.
        let wrong = read_if_changed(&shared).await.err();
        let wrong = wrong.filter(|error| !error.may_pass());
        let wrong = wrong.map(|error| format!("revocations of tokens cannot be read: {error}"));
        shared.set_wrong("revocations", wrong);
        drop(shared);
        sleep(BETWEEN_LOOKS).await;
    }
}

async fn read_if_changed(shared: &Shared) -> Result<(), BackendError> {
    let mut get = redis::cmd("GET");
    get.arg(shared.keys.revoked_revision());
    let revision: Option<String> = shared.link.call(Keys::HOME, &get).await?;
    let is_known = *shared.revoked.revision.lock().await == revision;
    // Time passes without a change.
    let now = shared.clock.now();
    shared.revoked.revocations.forget_lapsed(now);
    match is_known {
        true => Ok(()),
        false => read(shared).await,
    }
}

/// Reads the whole list. What is known here beyond it was taken back, or is written again.
pub(super) async fn read(shared: &Shared) -> Result<(), BackendError> {
    let keys = &shared.keys;
    let mut known_revision = shared.revoked.revision.lock().await;
    let mut pipeline = redis::pipe();
    // Before the list: a change in between shows at the next look.
    pipeline.cmd("GET").arg(keys.revoked_revision());
    for key in [keys.revoked(), keys.revoked_until()] {
        let range = pipeline.cmd("ZRANGEBYSCORE").arg(key);
        range.arg("-inf").arg("+inf").arg("WITHSCORES");
    }
    let (revision, before, until): (Option<String>, Value, Value) =
        shared.link.pipeline(Keys::HOME, &pipeline).await?;
    let now = shared.clock.now();
    let there = revocations(&scored(before)?, &scored(until)?);
    let known = &shared.revoked.revocations;
    known.forget_lapsed(now);
    let missing: Vec<_> = known
        .page(None, usize::MAX)
        .into_iter()
        .filter(|it| !there.contains_key(&it.what))
        .collect();
    known.learn(there.into_values().filter(|it| now < it.until));
    restore(shared, missing).await?;
    *known_revision = revision;
    Ok(())
}

/// The members of a set with their scores.
fn scored(value: Value) -> Result<Vec<(String, f64)>, BackendError> {
    let mut flat = Vec::new();
    flatten(value, &mut flat);
    let mut all = Vec::with_capacity(flat.len() / 2);
    let mut values = flat.into_iter();
    while let (Some(member), Some(score)) = (values.next(), values.next()) {
        let unexpected = |error: redis::ParsingError| BackendError::Unexpected(error.to_string());
        let member = redis::from_redis_value(member).map_err(unexpected)?;
        let score = redis::from_redis_value(score).map_err(unexpected)?;
        all.push((member, score));
    }
    Ok(all)
}

/// Pairs are nested in RESP3 and follow each other in RESP2.
fn flatten(value: Value, flat: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, flat)),
        value => flat.push(value),
    }
}

/// What the two sets say; one that stands in the first alone is of a removal under way.
fn revocations(before: &[(String, f64)], until: &[(String, f64)]) -> BTreeMap<Revoked, Revocation> {
    let until: BTreeMap<&str, f64> = until.iter().map(|(what, ms)| (&**what, *ms)).collect();
    let read = before.iter().filter_map(|(member, before)| {
        let what = Revoked::decode(member)?;
        let revocation = Revocation {
            what: what.clone(),
            issued_before: before.is_finite().then_some(*before as Millis),
            until: *until.get(member.as_str())? as Millis,
        };
        Some((what, revocation))
    });
    read.collect()
}

/// Writes what the store has lost; what was taken back is forgotten here, too.
async fn restore(shared: &Shared, missing: Vec<Revocation>) -> Result<(), BackendError> {
    if missing.is_empty() {
        return Ok(());
    }
    let notes = notes(shared, &missing).await?;
    let (mut pipeline, mut lost) = (redis::pipe(), 0);
    for (revocation, note) in missing.iter().zip(notes) {
        if note.as_deref() == Some(TAKEN_BACK) {
            shared.revoked.revocations.forget(&revocation.what);
        } else {
            put(&mut pipeline, &shared.keys, revocation);
            lost += 1;
        }
    }
    if lost == 0 {
        return Ok(());
    }
    tracing::warn!(
        lost,
        "the store has lost revocations of tokens; they are written again"
    );
    let revision = pipeline.cmd("SET").arg(shared.keys.revoked_revision());
    revision.arg(new_revision());
    shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    Ok(())
}

/// The notes of these, as they are kept.
async fn notes(shared: &Shared, of: &[Revocation]) -> Result<Vec<Option<String>>, BackendError> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for revocation in of {
        let key = shared.keys.revoked_note(&revocation.what.encode());
        pipeline.cmd("GET").arg(key);
    }
    Ok(shared.link.pipeline(Keys::HOME, &pipeline).await?)
}

/// Times only grow: two who revoke at once both have their way.
fn put(pipeline: &mut Pipeline, keys: &Keys, revocation: &Revocation) {
    let member = revocation.what.encode();
    let before = revocation.issued_before;
    let before = before.map_or_else(|| "+inf".to_owned(), |before| before.to_string());
    let until = revocation.until.to_string();
    for (key, score) in [(keys.revoked(), before), (keys.revoked_until(), until)] {
        let add = pipeline.cmd("ZADD").arg(key).arg("GT");
        add.arg(score).arg(&member);
    }
}

fn new_revision() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Accepts a revocation: it lasts as [`Durability`](super::link::Durability) says when this answers.
pub(super) async fn revoke(shared: &Shared, order: &RevokeOrder) -> Result<(), BackendError> {
    let (keys, revocation) = (&shared.keys, &order.revocation);
    make_room(shared, order).await?;
    let now = shared.clock.now();
    let note = serde_json::to_string(&order.note)
        .map_err(|error| BackendError::Unexpected(error.to_string()))?;
    let mut pipeline = redis::pipe();
    put(&mut pipeline, keys, revocation);
    note_down(&mut pipeline, keys, revocation, &note, now);
    shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    tell(shared).await?;
    shared.revoked.revocations.learn([revocation.clone()]);
    Ok(())
}

/// Takes one back; whether there was one.
pub(super) async fn take_back(shared: &Shared, what: &Revoked) -> Result<bool, BackendError> {
    read(shared).await?;
    let (keys, now) = (&shared.keys, shared.clock.now());
    let Some(revocation) = shared.revoked.revocations.get(what) else {
        return Ok(false);
    };
    let mut pipeline = redis::pipe();
    // First, so that nobody takes it for lost.
    note_down(&mut pipeline, keys, &revocation, TAKEN_BACK, now);
    remove(&mut pipeline, keys, &[what.encode()]);
    shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    shared.revoked.revocations.forget(what);
    tell(shared).await?;
    Ok(true)
}

/// The page after this one, as the store has it now.
pub(super) async fn list(
    shared: &Shared,
    after: Option<&Revoked>,
    most: usize,
) -> Result<Vec<Listed>, BackendError> {
    read(shared).await?;
    let page = shared.revoked.revocations.page(after, most);
    let notes = notes(shared, &page).await?;
    let listed = page
        .into_iter()
        .zip(notes)
        .map(|(revocation, note)| Listed {
            revocation,
            note: note.and_then(|note| serde_json::from_str::<Note>(&note).ok()),
        });
    Ok(listed.collect())
}

/// A note lasts as long as its revocation.
fn note_down(
    pipeline: &mut Pipeline,
    keys: &Keys,
    revocation: &Revocation,
    note: &str,
    now: Millis,
) {
    let key = keys.revoked_note(&revocation.what.encode());
    let life_ms = revocation.until.saturating_sub(now).max(1);
    let set = pipeline.cmd("SET").arg(key).arg(note);
    set.arg("PX").arg(life_ms);
}

fn remove(pipeline: &mut Pipeline, keys: &Keys, members: &[String]) {
    for key in [keys.revoked(), keys.revoked_until()] {
        pipeline.cmd("ZREM").arg(key).arg(members);
    }
}

/// Removes some that have lapsed; refuses where as many are left as may be. Two who ask at once may both be let pass.
async fn make_room(shared: &Shared, order: &RevokeOrder) -> Result<(), BackendError> {
    let keys = &shared.keys;
    let mut pipeline = redis::pipe();
    let lapsed = pipeline.cmd("ZRANGEBYSCORE").arg(keys.revoked_until());
    lapsed.arg("-inf").arg(shared.clock.now() - KEPT_AFTER_MS);
    lapsed.arg("LIMIT").arg(0).arg(REMOVED_AT_ONCE);
    let count = pipeline.cmd("ZCOUNT").arg(keys.revoked());
    count.arg("-inf").arg("+inf");
    let (lapsed, count): (Vec<String>, usize) = shared.link.pipeline(Keys::HOME, &pipeline).await?;
    if !lapsed.is_empty() {
        let mut pipeline = redis::pipe();
        remove(&mut pipeline, keys, &lapsed);
        shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    }
    let is_new = shared
        .revoked
        .revocations
        .get(&order.revocation.what)
        .is_none();
    match is_new && count.saturating_sub(lapsed.len()) >= order.most {
        true => Err(BackendError::TooManyRevocations),
        false => Ok(()),
    }
}

/// Shows everybody that something changed. The revision is written last, so that what confirms it confirms all.
async fn tell(shared: &Shared) -> Result<(), BackendError> {
    let mut set = redis::cmd("SET");
    set.arg(shared.keys.revoked_revision()).arg(new_revision());
    let link = &shared.link;
    match shared.options.durability {
        Some(durability) => {
            let (replicas, timeout) = (durability.replicas, durability.timeout);
            link.durable::<Value>(Keys::HOME, set, replicas, timeout)
                .await?;
        }
        None => {
            link.call::<Value>(Keys::HOME, &set).await?;
        }
    }
    // Accepted it is; everybody sees it at the next look.
    if let Err(error) = hint(shared).await {
        tracing::debug!(%error, "gateways look by themselves whether tokens were revoked");
    }
    if let Err(error) = read(shared).await {
        tracing::debug!(%error, "the list of revocations is read later");
    }
    Ok(())
}

/// Has the gateways look at once. They take it for a control message, and look for both.
async fn hint(shared: &Shared) -> Result<(), BackendError> {
    let (live, _) = lease::read_leases(shared).await?;
    let names = live
        .iter()
        .filter_map(|(name, _)| GatewayId::new(name).ok());
    let (mut pipeline, mut gateways) = (redis::pipe(), 0);
    for gateway in names {
        let channel = shared.keys.gateway_channel(Keys::HOME, &gateway);
        let publish = pipeline.cmd("SPUBLISH").arg(channel);
        publish.arg(wire::CONTROL_HINT);
        gateways += 1;
    }
    if gateways > 0 {
        shared.link.pipeline::<Value>(Keys::HOME, &pipeline).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{TokenId, UserId};

    #[test]
    fn the_list_is_read_in_both_versions_of_the_protocol() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let user = Revoked::User(UserId::new("alice").unwrap());
        let token = Revoked::Token(TokenId::new("7").unwrap());
        let (u, j) = (user.encode(), token.encode());
        let flat = Value::Array(vec![text(&u), text("5"), text(&j), text("inf")]);
        let pair = |member: &str, score| Value::Array(vec![text(member), Value::Double(score)]);
        let nested = Value::Array(vec![pair(&u, 5.0), pair(&j, f64::INFINITY)]);
        let until = scored(Value::Array(vec![pair(&u, 9.0), pair(&j, 1.7e12)])).unwrap();
        for before in [flat, nested] {
            let read = revocations(&scored(before).unwrap(), &until);
            assert_eq!(read.len(), 2);
            assert_eq!((read[&user].issued_before, read[&user].until), (Some(5), 9));
            let until = 1_700_000_000_000;
            assert_eq!(
                (read[&token].issued_before, read[&token].until),
                (None, until)
            );
        }
    }

    #[test]
    fn what_is_half_removed_or_not_ours_is_passed_over() {
        let before = [("u:alice".to_owned(), 5.0), ("nonsense".to_owned(), 5.0)];
        let until = [("u:bob".to_owned(), 9.0), ("nonsense".to_owned(), 9.0)];
        assert!(revocations(&before, &until).is_empty());
    }
}
