//! A run: connect the readers, send on schedule, wait until everything arrived, judge.

use std::{
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use carillon_client::{Api, Follower, Target, tls};
use carillon_common::settings::IssuerSettings;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    check_descriptors,
    ledger::{Audience, Delivery},
    reader::{Shared, read},
    report::Report,
    sender::{Outcome, Share, send},
    token, user,
};
use crate::{failure::Failure, input::human, terminal::Progress};

/// Calls under way at once, at most.
const CALLERS: usize = 64;
/// Readers that connect at once, so that the connecting itself is not the load.
const CONNECTING: usize = 32;
const CONNECT_WITHIN: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(200);

/// What is run.
pub(crate) struct LoadPlan {
    pub(crate) name: &'static str,
    pub(crate) urls: Vec<Url>,
    pub(crate) api: Api,
    pub(crate) issuer: IssuerSettings,
    pub(crate) users: usize,
    pub(crate) devices: usize,
    /// Sends a second.
    pub(crate) rate: f64,
    pub(crate) sends: u64,
    /// To a channel that all join, instead of to the users.
    pub(crate) fanout: bool,
    /// Every so many-th send goes to everyone; 0 for none.
    pub(crate) broadcast_every: u64,
    /// How long a connection lasts; none: to the end.
    pub(crate) stay: Option<RangeInclusive<Duration>>,
    /// Bytes of each notification's content.
    pub(crate) size: usize,
    /// How long to wait for the last ones.
    pub(crate) settle: Duration,
    pub(crate) progress: bool,
}

type Readers = JoinSet<Result<(), Failure>>;
type Senders = JoinSet<Result<Outcome, Failure>>;

/// Runs a plan.
///
/// # Errors
/// When readers or senders cannot do their part; what is lost is no error but in the report.
pub(crate) async fn run(plan: LoadPlan) -> Result<Report, Failure> {
    check_descriptors(plan.users * plan.devices + CALLERS)?;
    let run = super::run_name();
    let shared = Shared::new(run);
    let progress = Progress::new(plan.progress);
    let stop = CancellationToken::new();
    let mut readers = Readers::new();

    connect_readers(&plan, &shared, &stop, &mut readers, &progress).await?;
    let began = Instant::now();
    let enough = CancellationToken::new();
    let mut senders = start_senders(&plan, &shared, &enough, began);
    let interrupted = tokio::spawn(on_interrupt(enough.clone()));
    let sent = watch_senders(&plan, &shared, &mut senders, &mut readers, &progress).await;
    interrupted.abort();
    enough.cancel();
    shared.settled.cancel();
    let sending = began.elapsed();
    let outcome = match sent {
        Ok(outcome) => outcome,
        Err(failure) => {
            stop.cancel();
            return Err(failure);
        }
    };
    settle(&plan, &shared, &mut readers, &progress).await?;
    stop.cancel();
    while let Some(ended) = readers.join_next().await {
        flatten(ended)?;
    }
    Ok(Report::new(&plan, &shared, outcome, sending))
}

/// An interrupt ends the sending: what was sent is judged all the same.
async fn on_interrupt(enough: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        enough.cancel();
    }
}

/// Connects every reader, some at a time.
async fn connect_readers(
    plan: &LoadPlan,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
    readers: &mut Readers,
    progress: &Progress,
) -> Result<(), Failure> {
    let all = plan.users * plan.devices;
    let deadline = Instant::now() + CONNECT_WITHIN;
    let tls = tls::client();
    for n in 0..all {
        let (user, device) = (user(&shared.run, n % plan.users), n / plan.users);
        let target = Target {
            urls: plan.urls.clone(),
            token: token(&plan.issuer, &user)?,
            device: Some(format!("bench-{device}")),
            tls: tls.clone(),
        };
        let name = format!("{user}/{device}");
        let audiences = audiences(plan, shared, user);
        let id = shared.ledger.lock().reader(name, Delivery::Once, audiences);
        let channels = if plan.fanout {
            vec![channel(shared)]
        } else {
            Vec::new()
        };
        let follower = Follower::new(target, None, &channels).patient();
        readers.spawn(read(
            shared.clone(),
            id,
            follower,
            plan.stay.clone(),
            stop.clone(),
        ));
        while n + 1 > shared.connected.load(Ordering::Relaxed) + CONNECTING {
            wait_connected(shared, all, deadline, readers, progress).await?;
        }
    }
    while shared.connected.load(Ordering::Relaxed) < all {
        wait_connected(shared, all, deadline, readers, progress).await?;
    }
    Ok(())
}

async fn wait_connected(
    shared: &Shared,
    all: usize,
    deadline: Instant,
    readers: &mut Readers,
    progress: &Progress,
) -> Result<(), Failure> {
    let connected = shared.connected.load(Ordering::Relaxed);
    progress.show(&format!("connecting {connected}/{all}"));
    if Instant::now() >= deadline {
        return Err(Failure::Connection(format!(
            "{connected} of {all} readers connected within {}",
            human(CONNECT_WITHIN)
        )));
    }
    check_readers(readers)?;
    sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn audiences(plan: &LoadPlan, shared: &Shared, user: String) -> Vec<Audience> {
    let mut audiences = match plan.fanout {
        true => vec![Audience::Channel(channel(shared))],
        false => vec![Audience::User(user)],
    };
    if plan.broadcast_every > 0 {
        audiences.push(Audience::Everyone);
    }
    audiences
}

fn channel(shared: &Shared) -> String {
    format!("bench-{}", shared.run)
}

/// Deals the schedule to callers: one for each user (several users share one), one for the channel,
/// one for broadcasts.
fn deal(plan: &LoadPlan, shared: &Shared) -> Vec<Share> {
    let callers = if plan.fanout {
        1
    } else {
        CALLERS.min(plan.users)
    };
    let mut shares: Vec<Share> = (0..=callers)
        .map(|_| Share {
            sends: Vec::new(),
            interval: Duration::from_secs_f64(1.0 / plan.rate),
            content: "x".repeat(plan.size),
        })
        .collect();
    for place in 0..plan.sends {
        let everyone = plan.broadcast_every > 0 && place % plan.broadcast_every == 0;
        let (caller, audience) = if everyone {
            (callers, Audience::Everyone)
        } else if plan.fanout {
            (0, Audience::Channel(channel(shared)))
        } else {
            let n = usize::try_from(place).unwrap_or(0) % plan.users;
            (n % callers, Audience::User(user(&shared.run, n)))
        };
        shares[caller].sends.push((place, audience));
    }
    shares
}

fn start_senders(
    plan: &LoadPlan,
    shared: &Arc<Shared>,
    enough: &CancellationToken,
    start: Instant,
) -> Senders {
    let mut senders = Senders::new();
    for share in deal(plan, shared) {
        senders.spawn(send(
            shared.clone(),
            plan.api.clone(),
            share,
            start,
            enough.clone(),
        ));
    }
    senders
}

/// Waits for the senders; a reader that fails ends the run.
async fn watch_senders(
    plan: &LoadPlan,
    shared: &Shared,
    senders: &mut Senders,
    readers: &mut Readers,
    progress: &Progress,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let began = Instant::now();
    loop {
        tokio::select! {
            ended = senders.join_next() => match ended {
                Some(ended) => outcome.merge(flatten(ended)?),
                None => return Ok(outcome),
            },
            () = sleep(GLANCE) => {
                check_readers(readers)?;
                let accepted = shared.ledger.lock().accepted_count();
                let rate = accepted as f64 / began.elapsed().as_secs_f64();
                let received = shared.ledger.lock().received_count();
                progress.show(&format!(
                    "accepted {accepted}/{} ({rate:.0}/s), delivered {received}", plan.sends
                ));
            }
        }
    }
}

/// Waits for the last ones.
async fn settle(
    plan: &LoadPlan,
    shared: &Shared,
    readers: &mut Readers,
    progress: &Progress,
) -> Result<(), Failure> {
    let deadline = Instant::now() + plan.settle;
    while Instant::now() < deadline {
        check_readers(readers)?;
        let (expected, received) = {
            let ledger = shared.ledger.lock();
            (ledger.expected_count(), ledger.received_count())
        };
        if received >= expected && shared.ledger.lock().verdict().lost.is_empty() {
            break;
        }
        progress.show(&format!("waiting for the last ones: {received}/{expected}"));
        sleep(GLANCE).await;
    }
    Ok(())
}

/// # Errors
/// When a reader has ended: none should, before it is told to.
fn check_readers(readers: &mut Readers) -> Result<(), Failure> {
    match readers.try_join_next() {
        Some(ended) => flatten(ended),
        None => Ok(()),
    }
}

fn flatten<T>(ended: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::Failed(format!("a task of the load generator: {error}")))?
}

impl Report {
    fn new(plan: &LoadPlan, shared: &Shared, outcome: Outcome, sending: Duration) -> Self {
        let verdict = shared.ledger.lock().verdict();
        let readers = plan.users * plan.devices;
        let rate = verdict.accepted as f64 / sending.as_secs_f64().max(f64::EPSILON);
        Self {
            bench: plan.name,
            run: shared.run.clone(),
            connections: readers,
            reconnects: shared.reconnects.load(Ordering::Relaxed),
            most_reconnects: shared.most_reconnects.load(Ordering::Relaxed),
            closes: shared.closes.lock().clone(),
            away: std::mem::take(&mut *shared.away.lock()).percentiles(),
            retried: plan.api.retried(),
            gaps: shared.gaps.load(Ordering::Relaxed),
            seconds: sending.as_secs_f64(),
            accepted_per_second: rate,
            kept: verdict.holds(outcome.unanswered, readers),
            refused: outcome.refused,
            unanswered: outcome.unanswered,
            rest: outcome.rest.percentiles(),
            delivery: std::mem::take(&mut *shared.delivery.lock()).percentiles(),
            verdict,
        }
    }
}
