//! An operator asks one gateway to drain: its clients move, nobody comes back, and it stays up.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Handshake, Socket, TokenIn},
    deployment::Plan,
    poll::eventually,
    process::Process,
    redis::{Options, Standalone},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

/// What a process' admin port says.
async fn readiness(process: &Process) -> Result<(StatusCode, String)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}/readyz", process.admin());
    let answer = http.get(url).send().await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_drains_when_it_is_asked_and_stays_empty() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = Plan::over(redis.url())
        .gateways(2)
        .dispatchers(1)
        .set("drain.asked_delay", "3s")
        .set("drain.delay", "0s")
        .set("drain.window", "2s")
        .start()
        .await?;
    let [leaving, staying] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let handshake = |gateway: &Process, user: &str| {
        Handshake::to(&gateway.ws()).token(TokenIn::Query, &deployment.token(user))
    };
    let mut page = Socket::connect(&handshake(leaving, "alice")).await?;
    let mut phone = Socket::connect(&handshake(leaving, "bob").protocol("carillon.v1")).await?;
    let mut other = Socket::connect(&handshake(staying, "carol")).await?;
    deployment.online(3, SOON).await?;

    let api = deployment.api();
    let gateways = async || -> Result<Vec<(String, u64)>> {
        let read = |it: &Value| Some((it["id"].as_str()?.to_owned(), it["users"].as_u64()?));
        Ok(api.gateways().await?.iter().filter_map(read).collect())
    };
    let before = gateways().await?;
    let Some((name, _)) = before.iter().find(|(_, users)| *users == 2) else {
        anyhow::bail!("none of {before:?} has alice and bob");
    };
    let path = format!("/api/gateways/{name}/drain");
    for _ in 0..2 {
        let asked = api.request(Method::POST, &path).send().await?;
        ensure!(asked.status() == StatusCode::ACCEPTED, "{asked:?}");
    }

    // Not ready, and still accepting: whoever routes to it has yet to hear of that.
    eventually("it is not ready", SOON, async || {
        let (status, text) = readiness(leaving).await?;
        ensure!(
            status == StatusCode::SERVICE_UNAVAILABLE,
            "{status}: {text}"
        );
        Ok(())
    })
    .await?;
    let mut late = Socket::connect(&handshake(leaving, "dave")).await?;

    eventually("that it drains is listed", SOON, async || {
        let now = api.gateways().await?;
        let drains = |it: &&Value| it["draining"] == true;
        let draining: Vec<_> = now.iter().filter(drains).map(|it| &it["id"]).collect();
        ensure!(draining == [name], "{now:?}");
        Ok(())
    })
    .await?;

    ensure!(page.closed(SOON).await?.0 == 1012);
    ensure!(late.closed(SOON).await?.0 == 1012);
    let told = phone.frame(SOON).await?;
    ensure!(told["type"] == "welcome", "{told}");
    loop {
        let frame = phone.frame(SOON).await?;
        if frame["type"] == "reconnect" {
            ensure!(frame["reason"] == "draining", "{frame}");
            break;
        }
    }
    ensure!(phone.closed(SOON).await?.0 == 4200);
    eventually("nobody is there", SOON, async || {
        let now = gateways().await?;
        ensure!(now.contains(&(name.clone(), 0)), "{now:?}");
        Ok(())
    })
    .await?;

    // It stays, and lets nobody in; the other one was not asked.
    let refused = Socket::connect(&handshake(leaving, "alice")).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("503")));
    ensure!(leaving.is_running());
    ensure!(readiness(leaving).await?.1.trim() == "draining");
    ensure!(readiness(staying).await?.0 == StatusCode::OK);
    other.send(&serde_json::json!({"type": "ping"})).await?;
    ensure!(other.frame(SOON).await?["type"] == "pong");

    // Told to end, it has nothing left to wait for but its delay.
    leaving.terminate();
    ensure!(leaving.wait(SOON).await?.code() == Some(0));
    ensure!(
        leaving
            .log()?
            .matches("draining, as it was asked to")
            .count()
            == 1
    );
    Ok(())
}
