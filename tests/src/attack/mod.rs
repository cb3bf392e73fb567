//! What a stranger, a caller or a user can do to a running pair, and what others notice of it.

mod bare;
mod bystander;
mod callers;
mod elsewhere;
mod readers;
mod strangers;
mod users;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::BoxFuture;

pub use self::bystander::Noticed;
pub use self::readers::{Held, stopped_readers};
use crate::bench::proc;
use crate::bench::rig::Rig;

/// What others must be served by: in it, whoever attacks.
const PROBED_WITHIN: Duration = Duration::from_secs(1);
/// How much longer the slowest of a hundred may take than beside the floor.
const SLOWER: f64 = 2.0;
/// What the chart gives a pod.
const GATEWAY_MEMORY: u64 = 512 << 20;
const DISPATCHER_MEMORY: u64 = 256 << 20;

/// One way to do harm.
pub struct Attack {
    /// What is done.
    pub name: &'static str,
    floor: Floor,
    run: Run,
}

type Run = fn(Aim, Duration) -> BoxFuture<'static, Result<()>>;

/// What others notice anyway, which one is compared with: attacker and services share the cores of this machine.
enum Floor {
    /// The same, done to a listener that does nothing.
    Listener,
    /// The same traffic, without what is wrong with it.
    Without(Run),
    /// Nothing at all.
    Nothing,
}

/// Whom it hits.
#[derive(Clone, Debug)]
pub struct Aim {
    gateway: SocketAddr,
    dispatcher: SocketAddr,
    key: String,
    token: String,
}

/// All of them.
pub const ATTACKS: [Attack; 11] = [
    strangers::BYTE_BY_BYTE,
    strangers::SILENT,
    strangers::PLAIN_GETS,
    strangers::WITHOUT_TOKEN,
    strangers::BAD_TOKENS,
    users::PINGS,
    users::FRAGMENTS,
    users::STOPPED_READERS,
    callers::UNFINISHED_HEADS,
    callers::IDLE,
    callers::SLOW_BODIES,
];

/// What became of one.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its name; none, without any.
    pub attack: Option<&'static str>,
    /// What a bystander noticed.
    pub noticed: Noticed,
    /// Memory of the gateway at its end, in bytes.
    pub gateway_memory: u64,
    /// Of the dispatcher.
    pub dispatcher_memory: u64,
    /// Of the kernel for all sockets of this machine.
    pub kernel_memory: u64,
    /// CPU time of both services, as a part of one core.
    pub cores: f64,
    /// How many runs this is of.
    pub runs: u32,
}

/// Runs one for so long beside a bystander; without one, the bystander alone.
///
/// # Errors
/// When the bystander is not served at all, or the attack cannot be run.
pub async fn run(rig: &Rig, attack: Option<&Attack>, lasts: Duration) -> Result<Outcome> {
    run_at(rig, attack.map(|it| (it.name, it.run)), Aim::at(rig), lasts).await
}

/// What the bystander notices beside the floor of an attack.
///
/// # Errors
/// As [`run`].
pub async fn run_floor(rig: &Rig, attack: &Attack, lasts: Duration) -> Result<Outcome> {
    match attack.floor {
        Floor::Listener => {
            let bare = bare::Bare::start().await?;
            let aim = Aim {
                gateway: bare.address,
                dispatcher: bare.address,
                ..Aim::at(rig)
            };
            run_at(rig, Some((attack.name, attack.run)), aim, lasts).await
        }
        Floor::Without(run) => run_at(rig, Some((attack.name, run)), Aim::at(rig), lasts).await,
        Floor::Nothing => run(rig, None, lasts).await,
    }
}

impl Aim {
    fn at(rig: &Rig) -> Self {
        Self {
            gateway: rig.gateway().public(),
            dispatcher: rig.dispatcher.public(),
            key: rig.other_key().to_owned(),
            token: rig.token("attacker"),
        }
    }
}

async fn run_at(
    rig: &Rig,
    attack: Option<(&'static str, Run)>,
    aim: Aim,
    lasts: Duration,
) -> Result<Outcome> {
    let pids = [rig.gateway().pid(), rig.dispatcher.pid()];
    let bystander = tokio::spawn(bystander::watch(bystander::Post::of(rig), lasts));
    let attacking = attack.map(|(_, run)| elsewhere::run(move || run(aim, lasts)));
    let before = proc::cpu(pids[0])? + proc::cpu(pids[1])?;
    // What is held is held until just before the end.
    tokio::time::sleep(lasts.mul_f64(0.9)).await;
    let used = proc::cpu(pids[0])? + proc::cpu(pids[1])? - before;
    let outcome = Outcome {
        attack: attack.map(|(name, _)| name),
        gateway_memory: proc::memory(pids[0])?,
        dispatcher_memory: proc::memory(pids[1])?,
        kernel_memory: kernel_memory()?,
        cores: used.as_secs_f64() / lasts.mul_f64(0.9).as_secs_f64(),
        noticed: bystander.await??,
        runs: 1,
    };
    if let Some(attacking) = attacking {
        attacking.await?.context("the attack itself failed")?;
    }
    Ok(outcome)
}

impl Outcome {
    /// Both runs of one attack as if they were a single one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let runs = self.runs + other.runs;
        let cores = self.cores * f64::from(self.runs) + other.cores * f64::from(other.runs);
        Self {
            attack: other.attack,
            noticed: self.noticed.and(other.noticed),
            gateway_memory: self.gateway_memory.max(other.gateway_memory),
            dispatcher_memory: self.dispatcher_memory.max(other.dispatcher_memory),
            kernel_memory: self.kernel_memory.max(other.kernel_memory),
            cores: cores / f64::from(runs),
            runs,
        }
    }

    /// How many times longer the slowest of a hundred sends, and connects, took than in another run.
    #[must_use]
    pub fn slower(&self, without: &Self) -> [f64; 2] {
        let (slow, usual) = (self.noticed.at(0.99), without.noticed.at(0.99));
        [slow[0] / usual[0], slow[1] / usual[1]]
    }

    /// The same, told apart from [`check`](Self::check) as only a longer run shows it.
    ///
    /// # Errors
    /// When others are served more than twice as slowly.
    pub fn check_times(&self, floor: &Self) -> Result<()> {
        let [send, connect] = self.slower(floor);
        ensure!(send <= SLOWER, "sends take {send:.1} times as long");
        ensure!(
            connect <= SLOWER,
            "connects take {connect:.1} times as long"
        );
        Ok(())
    }

    /// # Errors
    /// What others must not notice.
    pub fn check(&self) -> Result<()> {
        let Self {
            noticed,
            gateway_memory,
            dispatcher_memory,
            ..
        } = self;
        if let Some(first) = noticed.failures.first() {
            bail!(
                "{} were not served, the first: {first}",
                noticed.failures.len()
            );
        }
        ensure!(
            noticed.probe <= PROBED_WITHIN,
            "a probe took {:?}",
            noticed.probe
        );
        ensure!(
            *gateway_memory < GATEWAY_MEMORY,
            "gateway: {gateway_memory}"
        );
        ensure!(
            *dispatcher_memory < DISPATCHER_MEMORY,
            "dispatcher: {dispatcher_memory}"
        );
        Ok(())
    }
}

/// What the kernel keeps for TCP, in bytes (`/proc/net/sockstat`, in pages of 4 KiB).
pub(crate) fn kernel_memory() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find(|line| line.starts_with("TCP:"));
    let mut words = line.context("no TCP")?.split_whitespace();
    words.find(|word| *word == "mem");
    let pages: u64 = words.next().context("no mem")?.parse()?;
    Ok(pages * 4096)
}
