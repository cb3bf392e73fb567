//! Redis is gone for a while: nobody is disconnected, nothing is accepted that could be lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Refusal, notification};
use carillon_tests::deployment::Plan;
use carillon_tests::figures::Figures;
use carillon_tests::ledger::Ledger;
use carillon_tests::redis::{Options, Standalone};
use carillon_tests::traffic::{Load, Traffic};
use carillon_tests::turn::turn;

use crate::churn::{self, Kind, Manners};

const USERS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// `OUTAGE=10s` in the environment; 40 seconds without.
fn outage() -> Result<Duration> {
    let Ok(text) = std::env::var("OUTAGE") else {
        return Ok(Duration::from_secs(40));
    };
    let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
    let seconds = seconds.with_context(|| format!("OUTAGE={text}: write it as 40s"))?;
    Ok(Duration::from_secs(seconds))
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_gone_closes_no_socket_and_loses_nothing() -> Result<()> {
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let url = format!("redis://{}", network.addr());
    let deployment = Plan::over(url)
        .set("lease.ttl", "6s")
        .set("lease.renew", "2s")
        .start()
        .await?;
    let ledger = Ledger::default();
    let users = churn::users(USERS);
    let mut clients = Vec::new();
    for (n, user) in users.iter().enumerate() {
        let kind = [Kind::Device, Kind::Page][n % 2];
        let sockets = deployment.sockets();
        clients.push(churn::client(
            &deployment,
            sockets,
            &ledger,
            user,
            kind,
            &Manners::CALM,
        ));
    }
    churn::connected(&clients, PATIENCE).await?;
    deployment.online(USERS, PATIENCE).await?;
    let load = Load {
        users: users.clone(),
        sends: USERS,
        broadcasts: 5,
        pause: Duration::ZERO,
    };
    let before = Traffic::start(deployment.api(), &ledger, &load)
        .finish()
        .await?;
    let verdict = ledger.settled(PATIENCE).await;
    ensure!(verdict.is_clean(), "before the outage\n{verdict}");

    let outage = outage()?;
    network.break_networking().await;
    let cut = Instant::now();
    let (mut refused, mut longest) = (0, Duration::ZERO);
    while cut.elapsed() < outage {
        let body = notification(&users[refused % USERS], "test.refused", "");
        let asked = Instant::now();
        match deployment.api().send(&body, None).await {
            Err(Refusal::Problem { status, code, body }) if status == 503 => {
                ensure!(
                    body["status"] == 503 && !code.is_empty(),
                    "not a problem: {body}"
                );
                refused += 1;
                longest = longest.max(asked.elapsed());
            }
            other => anyhow::bail!("a send without Redis: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Asked for while Redis is away, accepted when it is back.
    let after = Traffic::start(deployment.api(), &ledger, &load);
    network.restore().await?;
    let restored = Instant::now();
    let after = after.finish().await?;
    let accepting = restored.elapsed();
    let verdict = ledger.settled(PATIENCE).await;
    let delivered = restored.elapsed();
    deployment.online(USERS, PATIENCE).await?;
    let counted = restored.elapsed();

    let mut figures = Figures::new(format!(
        "outage: Redis gone for {outage:?}, {USERS} sockets"
    ));
    figures.row("sends refused with 503", refused);
    figures.row("longest wait for a 503", format!("{longest:.1?}"));
    figures.times(
        "REST to client before",
        before.latencies(clients.iter().map(|client| client.seen())),
    );
    figures.row("all accepted after", format!("{accepting:.1?}"));
    figures.row("all delivered after", format!("{delivered:.1?}"));
    figures.row("presence right after", format!("{counted:.1?}"));
    churn::describe(&mut figures, &clients, &after);
    println!("{figures}{verdict}");
    deployment.all_run()?;
    ensure!(
        longest < Duration::from_secs(5),
        "a caller waited {longest:.1?} to be told that the store is away"
    );
    ensure!(verdict.is_clean(), "the promise was broken\n{verdict}");
    for client in &clients {
        let opens = client.seen().read(|record| record.opens);
        ensure!(
            opens == 1,
            "a socket was closed: {opens} connections of one client"
        );
    }
    Ok(())
}
