//! Pages as browsers have them: a growing pause that an open connection resets, nothing asked for
//! again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::client::{SimpleClient, SimpleOptions, broadcast, notification};
use carillon_tests::deployment::Plan;
use carillon_tests::figures::Figures;
use carillon_tests::redis::{Options, Standalone};
use carillon_tests::turn::turn;

const PAGES: usize = 100;
const EXPIRED: usize = 1_000;
/// Handshakes of all pages with expired tokens, per second.
const COST: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_what_it_missed_and_its_channels() -> Result<()> {
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    let mut deployment = Plan::over(redis.url()).short_leases().start().await?;
    let api = deployment.api().clone();
    let mut pages = Vec::new();
    for n in 0..PAGES {
        let options = SimpleOptions::new(deployment.token(&format!("user-{n}")));
        let page = SimpleClient::start(deployment.sockets(), options);
        page.subscribe("orders").await?;
        pages.push(page);
    }
    for page in &pages {
        page.seen()
            .until("subscribed", PATIENCE, |record| {
                record.control_of("subscribed").count() == 1
            })
            .await?;
    }
    // One in the channel that everybody has, so that there is a position to come back to.
    let known = api
        .broadcast_until_accepted(&broadcast(Some("orders"), "t", "known"), PATIENCE)
        .await?;
    all_have(&pages, "what came before", &[known.id]).await?;

    deployment.gateways()[0].kill().await?;
    let killed = Instant::now();
    let mut missed = vec![Vec::new(); PAGES];
    for round in 0..3 {
        for (n, missed) in missed.iter_mut().enumerate() {
            let body = notification(&format!("user-{n}"), "t", &round.to_string());
            missed.push(api.send_until_accepted(&body, PATIENCE).await?.id);
        }
    }
    let body = broadcast(Some("orders"), "t", "missed");
    let in_channel = api.broadcast_until_accepted(&body, PATIENCE).await?.id;
    let body = broadcast(None, "t", "to everyone");
    let to_everyone = api.broadcast_until_accepted(&body, PATIENCE).await?.id;
    deployment.replace_gateway(0).await?;
    for (page, missed) in pages.iter().zip(&missed) {
        has(page, "its own", missed).await?;
        has(page, "the broadcast", std::slice::from_ref(&to_everyone)).await?;
        has(page, "its channel's", std::slice::from_ref(&in_channel)).await?;
    }
    let restored = killed.elapsed();
    // And the channel goes on by itself.
    let body = broadcast(Some("orders"), "t", "afterwards");
    let later = api.broadcast_until_accepted(&body, PATIENCE).await?;
    all_have(&pages, "what came afterwards", &[later.id]).await?;

    let sum = |look: fn(&carillon_tests::client::Record) -> usize| -> usize {
        pages.iter().map(|page| page.seen().read(look)).sum()
    };
    let mut figures = Figures::new(format!("reconnect: a gateway killed under {PAGES} pages"));
    figures.row(
        "connections that broke",
        sum(|record| record.closed_with(1006)),
    );
    figures.row("connections opened", sum(|record| record.opens));
    figures.row("all had everything after", format!("{restored:.1?}"));
    figures.row("received", sum(|record| record.notifications.len()));
    figures.row("wire duplicates", sum(|record| record.duplicates));
    figures.row(
        "subscribed frames",
        sum(|record| record.control_of("subscribed").count()),
    );
    println!("{figures}");
    let frames = sum(|record| record.control.len());
    ensure!(
        frames == PAGES,
        "pages were sent frames that they did not ask for: {frames}"
    );
    for (page, missed) in pages.iter().zip(&missed) {
        let ids = page
            .seen()
            .read(|record| record.ids().map(str::to_owned).collect::<Vec<_>>());
        let places = missed
            .iter()
            .map(|id| ids.iter().position(|other| other == id));
        ensure!(places.is_sorted(), "out of order");
    }
    Ok(())
}

async fn all_have(pages: &[SimpleClient], what: &str, ids: &[String]) -> Result<()> {
    for page in pages {
        has(page, what, ids).await?;
    }
    Ok(())
}

async fn has(page: &SimpleClient, what: &str, ids: &[String]) -> Result<()> {
    page.seen()
        .until(what, PATIENCE, |record| {
            ids.iter().all(|id| record.ids().any(|other| other == id))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_with_expired_tokens_cost_little() -> Result<()> {
    /// By then every page has been held at least once.
    const SETTLED: Duration = Duration::from_secs(45);
    const MEASURED: Duration = Duration::from_secs(20);
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    // Admission as it is by default: the handshakes are what is measured.
    let plan = Plan::over(redis.url()).gateways(1).dispatchers(1);
    let plan = plan
        .set("gateway.handshake_rate", 200)
        .set("gateway.handshake_burst", 400);
    let deployment = plan.start().await?;
    let mut pages = Vec::new();
    for n in 0..EXPIRED {
        let options = SimpleOptions::new(deployment.expired_token(&format!("user-{n}")));
        pages.push(SimpleClient::start(deployment.sockets(), options));
    }
    let handshakes = || -> usize {
        pages
            .iter()
            .map(|page| page.seen().read(|record| record.opens + record.refused))
            .sum()
    };
    let started = Instant::now();
    tokio::time::sleep(SETTLED).await;
    let before = (Instant::now(), handshakes());
    tokio::time::sleep(MEASURED).await;
    let rate = (handshakes() - before.1) as f64 / before.0.elapsed().as_secs_f64();

    let closed: usize = pages
        .iter()
        .map(|page| page.seen().read(|record| record.closed_with(4001)))
        .sum();
    let other: usize = pages
        .iter()
        .map(|page| {
            page.seen()
                .read(|record| record.closes.values().sum::<usize>() - record.closed_with(4001))
        })
        .sum();
    let mut figures = Figures::new(format!("reconnect: {EXPIRED} pages with expired tokens"));
    figures.row(
        "handshakes before the measurement",
        format!("{} in {:.0?}", before.1, before.0 - started),
    );
    figures.row("handshakes per second then", format!("{rate:.1}"));
    figures.row("closes with 4001", closed);
    figures.row("other closes", other);
    println!("{figures}");
    deployment.all_run()?;
    ensure!(rate <= COST, "{rate:.1} handshakes per second");
    ensure!(
        rate >= 5.0,
        "the pages hardly come back: {rate:.1} per second"
    );
    ensure!(
        // Where many come at once, one may have to give way before it has read why.
        closed >= EXPIRED && other * 100 <= closed,
        "{closed} closed with 4001, {other} otherwise"
    );
    Ok(())
}
