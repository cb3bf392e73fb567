//! A deployment to which things happen: traffic, clients that come and go, Redis away for a moment, a gateway
//! that drains, a canary. So that there is something to see.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use carillon_common::ids::UserId;
use reqwest::Method;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::time::{interval, sleep};

use crate::chaos_proxy::ChaosProxy;
use crate::client::{Handshake, Incoming, Socket, TokenIn, broadcast, notification};
use crate::deployment::{Deployment, Plan};
use crate::prometheus::Prometheus;
use crate::redis::{Options, Standalone};

const USERS: usize = 60;
/// How long things happen.
const SECONDS: u32 = 240;

/// Plays it, and calls `then` with the Prometheus that has seen all of it while everything still runs.
///
/// # Errors
/// When something does not start, or `then` fails.
pub async fn play<T>(
    rules: &[String],
    then: impl AsyncFnOnce(&Prometheus, u32) -> Result<T>,
) -> Result<T> {
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let mut deployment = Plan::over(format!("redis://{}", network.addr()))
        .gateways(2)
        .dispatchers(1)
        .set("drain.asked_delay", "5s")
        .set("drain.window", "30s")
        .start()
        .await?;
    let mut token = NamedTempFile::new()?;
    writeln!(token, "{}", deployment.token(UserId::CANARY))?;
    let (canary, file) = (
        deployment.gateways()[0].ws(),
        token.path().display().to_string(),
    );
    let settings = [("canary.url", &*canary), ("canary.token_file", &file)];
    deployment.add_dispatcher(&settings).await?;
    let processes = deployment.gateways().iter().chain(deployment.dispatchers());
    let targets: Vec<SocketAddr> = processes.map(|process| process.admin()).collect();
    let prometheus = Prometheus::start(&targets, rules).await?;
    let happening = async {
        sleep(Duration::from_secs(u64::from(SECONDS) / 3)).await;
        network.break_networking().await;
        sleep(Duration::from_secs(8)).await;
        network.restore().await?;
        sleep(Duration::from_secs(u64::from(SECONDS) / 4)).await;
        drain_one(&deployment).await?;
        sleep(Duration::from_secs(u64::from(SECONDS) * 5 / 12 - 8)).await;
        then(&prometheus, SECONDS).await
    };
    tokio::select! {
        result = happening => result,
        () = clients(&deployment) => anyhow::bail!("the clients have ended"),
        () = services(&deployment) => anyhow::bail!("the services have ended"),
    }
}

async fn drain_one(deployment: &Deployment) -> Result<()> {
    let gateways = deployment.api().gateways().await?;
    let first = gateways.first().and_then(|it| it["id"].as_str());
    let path = format!("/api/gateways/{}/drain", first.context("no gateway")?);
    let asked = deployment.api().request(Method::POST, &path).send().await?;
    asked.error_for_status()?;
    Ok(())
}

/// Everyone's clients; a few come and go all the time, and one is never let in.
async fn clients(deployment: &Deployment) {
    let all = (0..USERS).map(|user| client(deployment, user));
    let all = futures_util::future::join_all(all);
    let strangers = async {
        let mut every = interval(Duration::from_secs(2));
        loop {
            every.tick().await;
            let gateway = &deployment.gateways()[0];
            let stranger = Handshake::to(&gateway.ws()).token(TokenIn::Query, "none");
            drop(Socket::connect(&stranger).await);
        }
    };
    tokio::join!(all, strangers);
}

/// Reads and acks; comes back, elsewhere, when it is closed, and after a while by itself.
async fn client(deployment: &Deployment, user: usize) {
    let gateways = deployment.gateways();
    let token = deployment.token(&format!("user-{user}"));
    let stays = Duration::from_secs(20 + 7 * user as u64);
    for attempt in user.. {
        let gateway = &gateways[attempt % gateways.len()];
        let handshake = Handshake::to(&gateway.ws()).token(TokenIn::Query, &token);
        let handshake = match user % 4 {
            0 => handshake,
            _ => handshake.protocol("carillon.v1").query("device", "phone"),
        };
        let Ok(mut socket) = Socket::connect(&handshake).await else {
            sleep(Duration::from_millis(500)).await;
            continue;
        };
        let subscribe = json!({"type": "subscribe", "channel": "orders"});
        drop(socket.send(&subscribe).await);
        let reading = async {
            while let Incoming::Frame(frame) = socket.next().await {
                if frame["cursor"].is_string() && frame["id"].is_string() {
                    let ack = json!({"type": "ack", "cursor": frame["cursor"]});
                    drop(socket.send(&ack).await);
                }
            }
        };
        drop(tokio::time::timeout(stays, reading).await);
    }
}

/// Services that send, broadcast and publish, and one that does it wrongly.
async fn services(deployment: &Deployment) {
    let api = deployment.api();
    let sends = async {
        let mut every = interval(Duration::from_millis(25));
        for number in 0_usize.. {
            every.tick().await;
            let user = format!("user-{}", number % USERS);
            let body = notification(&user, "order.shipped", "on its way");
            drop(api.send(&body, None).await);
        }
    };
    let publishes = async {
        let mut every = interval(Duration::from_secs(1));
        for number in 0_usize.. {
            every.tick().await;
            let channel = (number % 5 != 0).then_some("orders");
            drop(
                api.broadcast(&broadcast(channel, "t", "to all"), None)
                    .await,
            );
            let wrong = api.request(Method::POST, "/api/notifications/send");
            drop(wrong.json(&json!({})).send().await);
            drop(api.online_count().await);
        }
    };
    tokio::join!(sends, publishes);
}
