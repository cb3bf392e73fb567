//! The canary: it goes round the real deployment, one dispatcher at a time, and counts as nobody.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::ids::UserId;
use carillon_tests::poll::eventually;
use carillon_tests::process::Process;
use carillon_tests::prometheus::Prometheus;
use tempfile::NamedTempFile;

use crate::tidy::read;
use crate::world::{SOON, World, metric_of, token_of};

const SUCCESS: &str = "carillon_canary_success";
const ROUNDS: &str = "carillon_canary_roundtrip_seconds_count";

/// Another dispatcher, whose canary goes to the world's gateway with this user's token.
async fn with_canary(world: &World, user: &str) -> Result<(Process, NamedTempFile)> {
    let mut token = NamedTempFile::new()?;
    writeln!(token, "{}", token_of(user))?;
    let (url, file) = (world.gateway.ws(), token.path().display().to_string());
    let settings = [
        ("canary.url", &*url),
        ("canary.token_file", &file),
        ("canary.interval", "100ms"),
        ("canary.timeout", "1s"),
    ];
    Ok((world.another_dispatcher(&settings).await, token))
}

/// What a dispatcher tells of the canary's success, if it is its turn.
async fn success(process: &Process) -> Result<Option<f64>> {
    let url = format!("http://{}/metrics", process.admin());
    let text = reqwest::get(url).await?.text().await?;
    let line = text.lines().find(|line| line.starts_with(SUCCESS));
    Ok(line
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse())
        .transpose()?)
}

async fn until(process: &Process, expected: Option<f64>) -> Result<()> {
    eventually(&format!("{SUCCESS} is {expected:?}"), SOON, async || {
        let success = success(process).await?;
        ensure!(success == expected, "it is {success:?}");
        Ok(())
    })
    .await
}

async fn rounds(process: &Process, above: f64) -> Result<f64> {
    eventually("it goes round", SOON, async || {
        let count = metric_of(process, ROUNDS).await?;
        ensure!(count > above, "{count} times");
        Ok(count)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_round_and_counts_as_nobody() -> Result<()> {
    let world = World::start(&[("socket.ack_interval", "20ms")]).await;
    let (dispatcher, _token) = with_canary(&world, UserId::CANARY).await?;
    rounds(&dispatcher, 9.0).await?;
    until(&dispatcher, Some(1.0)).await?;

    assert_eq!(world.api.online_count().await?, 0);
    let gateways = world.api.gateways().await?;
    let users = gateways.iter().map(|gateway| gateway["users"].as_u64());
    assert_eq!(users.collect::<Vec<_>>(), [Some(0)]);
    let text = reqwest::get(format!("http://{}/metrics", world.gateway.admin()))
        .await?
        .text()
        .await?;
    for none in [
        "carillon_gateway_connections 0",
        "carillon_gateway_connections_opened_total 0",
        "carillon_gateway_connection_duration_seconds_count 0",
        "carillon_gateway_handshake_duration_seconds_count 0",
        "carillon_gateway_delivery_latency_seconds_count 0",
        r#"carillon_gateway_notifications_written_total{kind="live"} 0"#,
        r#"carillon_gateway_notifications_written_total{kind="replayed"} 0"#,
    ] {
        ensure!(text.lines().any(|line| line == none), "no {none} in {text}");
    }
    ensure!(!text.contains("canary\"} 1"), "nothing was refused: {text}");
    let sends = reqwest::get(format!("http://{}/metrics", dispatcher.admin()));
    let sends = sends.await?.text().await?;
    ensure!(
        !sends.contains("carillon_dispatcher_sends_total{"),
        "{sends}"
    );

    // It reads what it is sent: nothing gathers, however long it runs.
    eventually("what it has read goes", SOON, async || {
        let length = world.inbox_length(UserId::CANARY).await;
        ensure!((1..=51).contains(&length), "{length}");
        Ok(())
    })
    .await?;
    // Who is really there is counted beside it.
    let _alice = world.open("alice", "phone").await;
    eventually("alice is online", SOON, async || {
        let count = world.api.online_count().await?;
        ensure!(count == 1, "{count} are");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dispatcher_at_a_time_has_it() -> Result<()> {
    let world = World::start(&[]).await;
    let (first, _token) = with_canary(&world, UserId::CANARY).await?;
    until(&first, Some(1.0)).await?;
    let (second, _other_token) = with_canary(&world, UserId::CANARY).await?;
    let before = metric_of(&first, ROUNDS).await?;
    rounds(&first, before + 10.0).await?;
    assert_eq!(success(&second).await?, None, "it is not its turn");
    assert_eq!(metric_of(&second, ROUNDS).await?, 0.0);

    first.kill().await?;
    until(&second, Some(1.0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stands_still_is_found_and_wakes_somebody() -> Result<()> {
    let world = World::start(&[]).await;
    let (dispatcher, _token) = with_canary(&world, UserId::CANARY).await?;
    let rules = read("helm/carillon/files/rules/alerts.yaml");
    ensure!(rules.contains("for: 3m"), "the alert's patience");
    let rules = [rules.replace("for: 3m", "for: 3s")];
    let targets = [world.gateway.admin(), dispatcher.admin()];
    let prometheus = Prometheus::start(&targets, &rules).await?;
    until(&dispatcher, Some(1.0)).await?;

    let (alert, patience) = ("CarillonCanaryFailing", Duration::from_secs(60));
    prometheus.until(alert, false, patience).await?;
    world.gateway.pause();
    let found = until(&dispatcher, Some(0.0)).await;
    let fires = prometheus.until(alert, true, patience).await;
    world.gateway.resume();
    found?;
    fires?;
    until(&dispatcher, Some(1.0)).await?;
    prometheus.until(alert, false, patience).await?;
    let log = dispatcher.log()?;
    let told: Vec<_> = log
        .lines()
        .filter(|it| it.contains("canary's notification"))
        .collect();
    // It may have stood still at two places.
    let (Some(wrong), Some(well)) = (told.first(), told.last()) else {
        anyhow::bail!("it says when it fails and when it is well again");
    };
    ensure!(wrong.contains("within 1s"), "{told:?}");
    ensure!(well.contains("again") && told.len() <= 3, "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_somebody_else_is_told() -> Result<()> {
    let world = World::start(&[]).await;
    let (dispatcher, _token) = with_canary(&world, "alice").await?;
    until(&dispatcher, Some(0.0)).await?;
    let log = dispatcher.log()?;
    let line = log.lines().find(|it| it.contains("canary's notification"));
    let line = line.context("a line")?;
    ensure!(
        line.contains("carillon token mint --user '$canary'"),
        "{line}"
    );
    Ok(())
}
