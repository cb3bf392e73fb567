//! A gateway is told to end: its clients leave over the whole window and lose nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::client::{Handshake, Socket, Targets, TokenIn, notification};
use carillon_tests::deployment::Plan;
use carillon_tests::figures::Figures;
use carillon_tests::ledger::Ledger;
use carillon_tests::process::Process;
use carillon_tests::redis::{Options, Standalone};
use carillon_tests::traffic::{Load, Traffic};
use carillon_tests::turn::turn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::churn::{self, Client, Kind, Manners};

const SOCKETS: usize = 2_000;
const DELAY: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// No tenth of the window may see a larger part of the closes.
const CROWD: f64 = 0.25;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_leaves_without_loss() -> Result<()> {
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    let plan = Plan::over(redis.url())
        .set("drain.delay", "1s")
        .set("drain.window", "10s")
        .set("drain.close_grace", "2s");
    let deployment = plan.start().await?;
    let leaving = &deployment.gateways()[0];
    // All of them on the one that leaves; then the load balancer knows the others alone.
    let sockets = Targets::new([leaving.ws()]);
    let ledger = Ledger::default();
    let users = churn::users(SOCKETS);
    let mut clients = Vec::new();
    for (n, user) in users.iter().enumerate() {
        let kind = [Kind::Device, Kind::Page][n % 2];
        clients.push(churn::client(
            &deployment,
            &sockets,
            &ledger,
            user,
            kind,
            &AS_TOLD,
        ));
    }
    churn::connected(&clients, PATIENCE).await?;
    deployment.online(SOCKETS, PATIENCE).await?;

    let load = Load {
        users,
        sends: 3 * SOCKETS,
        broadcasts: 10,
        pause: Duration::from_millis(20),
    };
    let traffic = Traffic::start(deployment.api(), &ledger, &load);
    traffic.reaches(SOCKETS / 4, PATIENCE).await?;
    sockets.set(deployment.gateways()[1..].iter().map(Process::ws));
    leaving.terminate();
    let told = Instant::now();
    let status = leaving
        .wait(DELAY + WINDOW + GRACE + Duration::from_secs(20))
        .await?;
    let took = told.elapsed();
    let notes = traffic.finish().await?;
    let verdict = ledger.settled(PATIENCE).await;
    deployment.online(SOCKETS, PATIENCE).await?;

    let mut ends = ends(&clients, told);
    ends.sort_unstable();
    let first = *ends.first().context("nobody left")?;
    let buckets = tenths(&ends, first, WINDOW);
    let crowd = buckets.iter().copied().max().unwrap_or(0) as f64 / ends.len() as f64;
    let sum = |look: fn(&carillon_tests::client::Record) -> usize| -> usize {
        clients.iter().map(|client| client.seen().read(look)).sum()
    };
    let reconnects = sum(|record| record.control_of("reconnect").count());
    let mut figures = Figures::new(format!(
        "drain: SIGTERM with {SOCKETS} sockets, window {WINDOW:?}"
    ));
    figures.row("exit", format!("{status} after {took:.1?}"));
    figures.row("told to reconnect", reconnects);
    figures.row("left by themselves", sum(|record| record.left));
    figures.row(
        "first and last end",
        format!("{first:.1?} – {:.1?}", ends[ends.len() - 1]),
    );
    figures.row("ends per tenth of the window", format!("{buckets:?}"));
    churn::describe(&mut figures, &clients, &notes);
    println!("{figures}{verdict}");

    ensure!(status.code() == Some(0), "ended with {status}");
    ensure!(
        took < DELAY + WINDOW + GRACE + Duration::from_secs(5),
        "took {took:?}"
    );
    ensure!(verdict.is_clean(), "the promise was broken\n{verdict}");
    ensure!(
        crowd <= CROWD,
        "{crowd:.2} of the closes in a tenth of the window: {buckets:?}"
    );
    ensure!(
        reconnects == SOCKETS / 2,
        "{reconnects} were told to reconnect"
    );
    for client in &clients {
        check_end(client)?;
    }
    Ok(())
}

/// A page that closes at the same moment as the gateway has read nothing after that: its close is
/// no answer, and what lay unread comes again.
#[tokio::test]
async fn a_close_that_crosses_the_gateways_is_no_receipt() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = Plan::over(redis.url())
        .gateways(2)
        .dispatchers(1)
        .start()
        .await?;
    let [leaving, staying] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let handshake = |gateway: &Process| {
        Handshake::to(&gateway.ws()).token(TokenIn::Query, &deployment.token("alice"))
    };
    let mut page = Socket::connect(&handshake(leaving)).await?;
    deployment.online(1, PATIENCE).await?;
    let body = notification("alice", "test.unread", "");
    let sent = deployment
        .api()
        .send_until_accepted(&body, PATIENCE)
        .await?;
    leaving.terminate();
    let mut bytes = Vec::new();
    // The gateway's close frame: FIN and opcode 8, the code and its reason.
    while !bytes
        .windows(4)
        .any(|four| four[0] == 0x88 && four[2..] == 1012_u16.to_be_bytes())
    {
        page.tcp().readable().await?;
        let read = page.tcp().read_buf(&mut bytes).await?;
        ensure!(read > 0, "the gateway closed without a frame: {bytes:?}");
    }
    // The page's own: masked with zeros, code 1000.
    let own = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    page.tcp().write_all(&own).await?;
    ensure!(leaving.wait(PATIENCE).await?.code() == Some(0));

    let mut again = Socket::connect(&handshake(staying)).await?;
    let frame = again.frame(PATIENCE).await?;
    ensure!(
        frame["id"] == sent.id.as_str(),
        "{frame} instead of {}",
        sent.id
    );
    Ok(())
}

/// They do as `reconnect` says, over the whole of its spread; after a close they come back soon.
const AS_TOLD: Manners = Manners {
    hops: None,
    pauses: 1.0,
};

fn check_end(client: &Client) -> Result<()> {
    client.seen().read(|record| {
        let closed = match client {
            Client::V1(_) => record.left + record.closed_with(4200),
            Client::Simple(_) => record.closed_with(1012),
        };
        ensure!(
            closed == 1,
            "ended {closed} times in form; closes {:?}",
            record.closes
        );
        ensure!(record.opens == 2, "{} connections", record.opens);
        Ok(())
    })
}

fn ends(clients: &[Client], since: Instant) -> Vec<Duration> {
    let mut ends = Vec::new();
    for client in clients {
        client.seen().read(|record| {
            let after = record.ends.iter().map(|end| end.duration_since(since));
            ends.extend(after);
        });
    }
    ends
}

/// How many fall into each tenth of the window, and how many come after it.
fn tenths(ends: &[Duration], first: Duration, window: Duration) -> Vec<usize> {
    let mut buckets = vec![0; 11];
    for end in ends {
        let part = (*end - first).as_secs_f64() / window.as_secs_f64();
        buckets[((part * 10.0) as usize).min(10)] += 1;
    }
    buckets
}
