//! The phases: each measures one line of the design's cost table, and is bounded in time.

mod connect;
mod fanout;
mod functions;
mod idle;
mod latency;
mod reconnect;
mod send;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::callers::{self, Outcome, Pace};
use super::crowd::{Count, Crowd, Manners, Tally};
use super::figures::Figure;
use super::rig::{self, Meter, Rig, seats};
use super::wire;
use crate::process::Process;

/// How long anything may take that should take a moment.
const SOON: Duration = Duration::from_secs(60);

const WELCOMED: Count = |tally| &tally.welcomed;
const NOTIFICATIONS: Count = |tally| &tally.notifications;

/// A phase's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Phase {
    /// Memory of idle connections
    Idle,
    /// CPU of a broadcast, per delivery
    Fanout,
    /// CPU of a connection's start
    Connect,
    /// Round trips and CPU of a send
    Send,
    /// From REST to socket, at half of the saturation rate
    Latency,
    /// After a gateway was killed
    Reconnect,
    /// Time of each function of Redis, with everything at its limit
    Functions,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Repetitions of what is repeated.
    pub repetitions: usize,
    /// Idle connections.
    pub idle: usize,
    /// How long they rest.
    pub rest: Duration,
    /// Receivers of a broadcast.
    pub receivers: usize,
    /// Broadcasts in a repetition.
    pub broadcasts: u64,
    /// Connections opened in a repetition.
    pub connects: usize,
    /// Online users that are sent to.
    pub users: usize,
    /// Sends in a repetition.
    pub sends: u64,
    /// How long latency is watched in a repetition.
    pub watch: Duration,
    /// Clients that lose their gateway.
    pub orphans: usize,
    /// Whether Redis keeps its append-only file.
    pub keeps: bool,
}

impl Scale {
    /// What the targets are about.
    pub const FULL: Self = Self {
        repetitions: 5,
        idle: 15_000,
        rest: Duration::from_secs(30),
        receivers: 5_000,
        broadcasts: 20,
        connects: 2_000,
        users: 1_000,
        sends: 6_000,
        watch: Duration::from_secs(4),
        orphans: 10_000,
        keeps: false,
    };
    /// Only to see that it works.
    pub const QUICK: Self = Self {
        repetitions: 2,
        idle: 300,
        rest: Duration::from_secs(1),
        receivers: 200,
        broadcasts: 3,
        connects: 100,
        users: 50,
        sends: 300,
        watch: Duration::from_secs(1),
        orphans: 200,
        keeps: false,
    };

    fn idle_watch(&self) -> Duration {
        self.watch.min(Duration::from_secs(1))
    }
}

/// Runs a phase. Latency goes by the rate that `figures` show for sending, if that was measured.
///
/// # Errors
/// When something does not start, or is not done in time.
pub async fn run(phase: Phase, scale: &Scale, figures: &[Figure]) -> Result<Vec<Figure>> {
    match phase {
        Phase::Idle => idle::run(scale).await,
        Phase::Fanout => fanout::run(scale).await,
        Phase::Connect => connect::run(scale).await,
        Phase::Send => send::run(scale).await,
        Phase::Latency => {
            let rate = figures.iter().find(|figure| figure.name == send::RATE);
            latency::run(scale, rate.map(Figure::median)).await
        }
        Phase::Reconnect => reconnect::run(scale).await,
        Phase::Functions => functions::run().await,
    }
}

fn progress(text: &str) {
    eprintln!("  {text}");
}

/// What the floor's `send(2)` and its accept take, in seconds of CPU.
#[derive(Clone, Copy, Debug)]
struct FloorCost {
    send: f64,
    accept: f64,
}

/// Measures the floor, with as many receivers as a broadcast has.
async fn floor_cost(scale: &Scale) -> Result<FloorCost> {
    let floor = rig::floor(None).await?;
    let mut meter = Meter::start(&[floor.pid()], Duration::from_millis(50)).await?;
    let crowd = Crowd::start(Manners::default())?;
    let accept = open(&crowd, &floor, scale.receivers, false, &mut meter).await?;
    let burst = wire::post("/burst/1", "", "");
    burst_until_heard(&crowd, &floor, &burst, 1, scale.receivers).await?;
    meter.again()?;
    for _ in 0..scale.broadcasts {
        burst_until_heard(&crowd, &floor, &burst, 1, scale.receivers).await?;
    }
    let deliveries = scale.broadcasts as f64 * scale.receivers as f64;
    Ok(FloorCost {
        send: meter.read()?[0] / deliveries,
        accept,
    })
}

/// Lets clients connect; answers the first metered process' seconds of CPU for each.
async fn open(
    crowd: &Crowd,
    server: &Process,
    count: usize,
    v1: bool,
    meter: &mut Meter,
) -> Result<f64> {
    let clients = seats(0..count, v1);
    meter.again()?;
    crowd.join(clients, server.public());
    crowd.tally().until(WELCOMED, count as u64, SOON).await?;
    Ok(meter.read()?[0] / count as f64)
}

/// Makes `count` requests at once and waits until each has reached everyone.
async fn burst_until_heard(
    crowd: &Crowd,
    server: &Process,
    request: &[u8],
    count: u64,
    receivers: usize,
) -> Result<()> {
    let heard = crowd.tally().notifications.load(Ordering::Relaxed);
    let request = request.to_vec();
    let outcome = load(
        server,
        usize::try_from(count)?,
        Pace::Closed { requests: count },
        Instant::now(),
        move |_, _| request.clone(),
    )
    .await?;
    ensure!(outcome.refused == 0, "a broadcast was refused: {outcome:?}");
    crowd
        .tally()
        .until(NOTIFICATIONS, heard + count * receivers as u64, SOON)
        .await
}

/// Makes requests from a thread of their own.
async fn load(
    server: &Process,
    callers: usize,
    pace: Pace,
    start: Instant,
    request: impl FnMut(u64, Duration) -> Vec<u8> + Send + 'static,
) -> Result<Outcome> {
    let address = server.public();
    tokio::task::spawn_blocking(move || callers::call(address, callers, pace, start, request))
        .await
        .context("the load client failed")?
}

/// A rig with one gateway and this many online users of `carillon.v1`.
async fn online(scale: &Scale, users: usize, manners: Manners) -> Result<(Rig, Crowd)> {
    let rig = Rig::start(1, scale.keeps).await?;
    let crowd = Crowd::start(manners)?;
    crowd.join(seats(0..users, true), rig.gateway().public());
    crowd.tally().until(WELCOMED, users as u64, SOON).await?;
    Ok((rig, crowd))
}

/// The counters of a crowd, for an error.
fn state(tally: &Tally) -> String {
    format!("{tally:?}")
}
