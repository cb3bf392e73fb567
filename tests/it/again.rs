//! What comes again to clients that come and go: broadcasts are confirmed soon, so it is little.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_tests::client::{Record, broadcast};
use carillon_tests::deployment::Plan;
use carillon_tests::figures::Figures;
use carillon_tests::ledger::Ledger;
use carillon_tests::redis::{Options, Standalone};
use carillon_tests::turn::turn;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::churn::{self, Client, Kind, Manners};

/// How long each connection lasts.
const STAYS: Range<Duration> = Duration::from_millis(100)..Duration::from_millis(1_500);
const BETWEEN_BROADCASTS: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(120);

struct Scale {
    lasting: Duration,
    users: usize,
    /// Frames for each that is owed.
    most: f64,
}

/// `AGAIN=40s` in the environment, with 40 users then; 6 seconds and 10 users without, and more
/// frames, since other tests run beside it: a ping whose pong comes late confirms late. (When only the
/// ping of every 25 seconds confirmed, there were twelve.)
fn scale() -> Result<Scale> {
    let Ok(text) = std::env::var("AGAIN") else {
        return Ok(Scale {
            lasting: Duration::from_secs(6),
            users: 10,
            most: 2.0,
        });
    };
    let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
    let seconds = seconds.with_context(|| format!("AGAIN={text}: write it as 40s"))?;
    Ok(Scale {
        lasting: Duration::from_secs(seconds),
        users: 40,
        most: 1.3,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn little_comes_again_to_pages_and_nothing_to_the_application_of_a_device() -> Result<()> {
    let _turn = turn().await;
    let Scale {
        lasting,
        users: count,
        most,
    } = scale()?;
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = Plan::over(redis.url()).start().await?;
    let restless = Manners {
        hops: Some(STAYS),
        pauses: churn::PAUSES,
    };
    for kind in [Kind::Page, Kind::Device] {
        let (sockets, ledger) = (deployment.sockets(), Ledger::default());
        let users = (0..count).map(|n| format!("{kind:?}-{n}"));
        let start =
            |user: String| churn::client(&deployment, sockets, &ledger, &user, kind, &restless);
        let clients: Vec<Client> = users.map(start).collect();
        churn::connected(&clients, PATIENCE).await?;
        deployment.online(count, PATIENCE).await?;

        let sent = announce(deployment.api(), lasting).await?;
        for client in &clients {
            client.stay().await?;
        }
        for client in &clients {
            let all = |record: &Record| sent.is_subset(&record.ids().map(str::to_owned).collect());
            let seen = client.seen();
            seen.until("every broadcast came", PATIENCE, all).await?;
        }
        let sum = |look: &dyn Fn(&Record) -> usize| -> usize {
            clients.iter().map(|client| client.seen().read(look)).sum()
        };
        let again = sum(&|record| record.duplicates);
        let owed = sent.len() * count;
        let frames = (owed + again) as f64 / owed as f64;
        let mut figures = Figures::new(format!("again: {count} users, {kind:?}, {lasting:?}"));
        figures.row("broadcasts", sent.len());
        figures.row("connections opened", sum(&|record| record.opens));
        figures.row("owed", owed);
        figures.row("came again", again);
        figures.row("frames for each that is owed", format!("{frames:.2}"));
        println!("{figures}");
        ensure!(frames <= most, "{frames:.2} frames for each\n{figures}");
        if kind == Kind::Device {
            let given = sum(&|record| record.notifications.len());
            ensure!(given == owed, "{given} to the applications, not {owed}");
        }
        for client in clients {
            client.close().await;
        }
        deployment.online(0, PATIENCE).await?;
    }
    Ok(())
}

/// Broadcasts for so long; answers with the ids.
async fn announce(api: &carillon_tests::client::Api, lasting: Duration) -> Result<HashSet<String>> {
    let end = Instant::now() + lasting;
    let mut ticks = interval(BETWEEN_BROADCASTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = HashSet::new();
    while Instant::now() < end {
        ticks.tick().await;
        let body = broadcast(None, "test.again", "");
        let accepted = api.broadcast(&body, None).await;
        sent.insert(
            accepted
                .map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?
                .id,
        );
    }
    Ok(sent)
}
