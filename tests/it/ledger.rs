//! The ledger under churn: users who connect anew all the time, to any of three gateways, while
//! two dispatchers accept; nothing may be lost, repeated to the application, or out of order.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::client::{V1Client, V1Options};
use carillon_tests::deployment::{Deployment, Plan};
use carillon_tests::figures::Figures;
use carillon_tests::ledger::{Delivery, Ledger};
use carillon_tests::redis::{Options, Persistence, Standalone};
use carillon_tests::traffic::{Load, Traffic};
use carillon_tests::turn::turn;

use crate::churn::{self, Client, Kind, Manners};

const USERS: usize = 200;
const BROADCASTS: usize = 50;
const FULL: usize = 20_000;
const SHORT: usize = 4_000;
/// For callers and clients on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);

/// What goes wrong when half of the sends are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upset {
    Nothing,
    GatewayKilled,
    DispatcherKilled,
    RedisRestarted,
    RedisKilled,
}

/// So many sends; `FULL=1` in the environment makes every run a full one.
fn sends(usual: usize) -> usize {
    match std::env::var_os("FULL") {
        Some(_) => FULL,
        None => usual,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_carillon_v1() -> Result<()> {
    trial("ledger: carillon.v1", &[Kind::Device], FULL, Upset::Nothing).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_simple_protocol() -> Result<()> {
    trial(
        "ledger: simple",
        &[Kind::Page],
        sends(SHORT),
        Upset::Nothing,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_that_never_acks() -> Result<()> {
    let kinds = [Kind::Device, Kind::Silent];
    trial(
        "ledger: a silent device",
        &kinds,
        sends(SHORT),
        Upset::Nothing,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed() -> Result<()> {
    let kinds = [Kind::Device, Kind::Page];
    trial(
        "ledger: gateway killed",
        &kinds,
        sends(SHORT),
        Upset::GatewayKilled,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_killed() -> Result<()> {
    let kinds = [Kind::Device, Kind::Page];
    trial(
        "ledger: dispatcher killed",
        &kinds,
        sends(SHORT),
        Upset::DispatcherKilled,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_restarted_in_order() -> Result<()> {
    let kinds = [Kind::Device, Kind::Page];
    trial(
        "ledger: redis restarted (everysec)",
        &kinds,
        sends(SHORT),
        Upset::RedisRestarted,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed() -> Result<()> {
    let kinds = [Kind::Device, Kind::Page];
    trial(
        "ledger: redis killed (always)",
        &kinds,
        sends(SHORT),
        Upset::RedisKilled,
    )
    .await
}

/// Half of the users have a client of the first kind, half of the second; with a silent device
/// every user has both.
async fn trial(title: &str, kinds: &[Kind], sends: usize, upset: Upset) -> Result<()> {
    let _turn = turn().await;
    let persistence = match upset {
        Upset::RedisRestarted => Persistence::EverySecond,
        Upset::RedisKilled => Persistence::Always,
        _ => Persistence::Off,
    };
    let mut redis = Standalone::start(&Options::default().persistence(persistence)).await?;
    let mut deployment = Plan::over(redis.url())
        .set("lease.ttl", "6s")
        .set("lease.renew", "2s")
        .start()
        .await?;
    let ledger = Ledger::default();
    let users = churn::users(USERS);
    let both = kinds.contains(&Kind::Silent);
    let mut clients = Vec::new();
    for (n, user) in users.iter().enumerate() {
        let kinds = if both {
            kinds
        } else {
            &kinds[n % kinds.len()..][..1]
        };
        for kind in kinds {
            let sockets = deployment.sockets();
            clients.push(churn::client(
                &deployment,
                sockets,
                &ledger,
                user,
                *kind,
                &Manners::RESTLESS,
            ));
        }
    }
    churn::connected(&clients, PATIENCE).await?;

    let started = Instant::now();
    let load = Load {
        users,
        sends,
        broadcasts: BROADCASTS,
        pause: Duration::ZERO,
    };
    let traffic = Traffic::start(deployment.api(), &ledger, &load);
    traffic.reaches(sends / 2, PATIENCE).await?;
    befall(upset, &mut redis, &mut deployment).await?;
    let notes = traffic.finish().await?;
    let sending = started.elapsed();
    // Some may be short of time for ever on a machine that is busy enough: who stays has it.
    let in_flight = ledger
        .settled(Duration::from_secs(10))
        .await
        .found
        .lost
        .len();
    for client in &clients {
        client.stay().await?;
    }
    let verdict = ledger.settled(Duration::from_secs(60)).await;

    let mut figures = Figures::new(title);
    figures.row(
        "sends per second",
        (sends as f64 / sending.as_secs_f64()).round(),
    );
    figures.row("outstanding at the end of the churn", in_flight);
    churn::describe(&mut figures, &clients, &notes);
    println!("{figures}{verdict}");
    deployment.all_run()?;
    if !verdict.is_clean() {
        explain(&deployment);
    }
    ensure!(
        verdict.is_clean(),
        "{title}: the promise was broken\n{verdict}"
    );
    ensure!(
        verdict.personal == sends,
        "{} of {sends} were accepted",
        verdict.personal
    );
    for client in clients {
        client.close().await;
    }
    if both {
        silent_devices_start_anew(&deployment, &load, &ledger).await?;
    }
    Ok(())
}

async fn befall(upset: Upset, redis: &mut Standalone, deployment: &mut Deployment) -> Result<()> {
    match upset {
        Upset::Nothing => {}
        Upset::GatewayKilled => {
            deployment.gateways()[1].kill().await?;
            deployment.replace_gateway(1).await?;
        }
        Upset::DispatcherKilled => {
            deployment.dispatchers()[0].kill().await?;
            deployment.replace_dispatcher(0).await?;
        }
        Upset::RedisRestarted => redis.restart().await?,
        Upset::RedisKilled => {
            redis.kill().await?;
            redis.restart().await?;
        }
    }
    Ok(())
}

/// A client that takes the place of a device which never acked is given everything from the start.
async fn silent_devices_start_anew(
    deployment: &Deployment,
    load: &Load,
    before: &Ledger,
) -> Result<()> {
    let afterwards = Ledger::default();
    let mut anew = Vec::new();
    for user in &load.users {
        let name = format!("{user}/silent");
        let options = V1Options::new(deployment.token(user), "silent");
        let client = V1Client::start(deployment.sockets(), options);
        afterwards.follow(&name, user, Delivery::Once, client.seen());
        for id in before.personal_of(user) {
            afterwards.accepted(user, &id);
        }
        anew.push(Client::V1(client));
    }
    let verdict = afterwards.settled(Duration::from_secs(60)).await;
    println!("== ledger: the silent devices anew\n{verdict}");
    ensure!(
        verdict.is_clean(),
        "a device that never acked lost something\n{verdict}"
    );
    for client in anew {
        client.close().await;
    }
    Ok(())
}

/// The services' logs, when something went wrong.
fn explain(deployment: &Deployment) {
    for process in deployment.gateways().iter().chain(deployment.dispatchers()) {
        let log = process.log().unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
}
