//! After a second gateway was added, an operator has the first one give up half of its clients.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use carillon_tests::{
    client::{Handshake, Incoming, Socket, TokenIn, notification},
    deployment::{Deployment, Plan},
    poll::eventually,
    process::Process,
    redis::{Options, Standalone},
};
use futures_util::future::try_join_all;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
const USERS: usize = 40;
const CONTENT: &str = "to whoever is there";

/// What became of a connection.
enum Outcome {
    /// It got the notification.
    Stayed(Box<Socket>),
    /// It was closed with this code, after these reasons to reconnect.
    Moved(u16, Vec<String>),
}

fn is_v1(number: usize) -> bool {
    number % 2 == 1
}

fn handshake(deployment: &Deployment, gateway: &Process, number: usize) -> Handshake {
    let token = deployment.token(&format!("user{number}"));
    let handshake = Handshake::to(&gateway.ws()).token(TokenIn::Query, &token);
    match is_v1(number) {
        true => handshake.protocol("carillon.v1").query("device", "phone"),
        false => handshake,
    }
}

/// Reads until there is the notification, or the end.
async fn outcome(mut socket: Socket) -> Result<Outcome> {
    let mut reasons = Vec::new();
    loop {
        match timeout(SOON, socket.next()).await? {
            Incoming::Closed(code, _) => return Ok(Outcome::Moved(code, reasons)),
            Incoming::Frame(frame) if frame["content"] == CONTENT => {
                return Ok(Outcome::Stayed(Box::new(socket)));
            }
            Incoming::Frame(frame) if frame["type"] == "reconnect" => {
                reasons.push(frame["reason"].as_str().unwrap_or_default().to_owned());
            }
            Incoming::Frame(_) => {}
        }
    }
}

/// How many users each gateway has, most first.
async fn users(deployment: &Deployment) -> Result<Vec<u64>> {
    let all = deployment.api().gateways().await?;
    let mut users: Vec<u64> = all.iter().filter_map(|it| it["users"].as_u64()).collect();
    users.sort_unstable_by(|a, b| b.cmp(a));
    Ok(users)
}

async fn until_users(deployment: &Deployment, expected: [u64; 2]) -> Result<()> {
    eventually("where users are", SOON, async || {
        let users = users(deployment).await?;
        ensure!(users == expected, "{users:?}, expected {expected:?}");
        Ok(())
    })
    .await
}

async fn rebalance(deployment: &Deployment) -> Result<(StatusCode, Value)> {
    let asking = deployment
        .api()
        .request(Method::POST, "/api/gateways/rebalance");
    let answer = asking.send().await?;
    Ok((answer.status(), answer.json().await?))
}

async fn admin(process: &Process, path: &str) -> Result<(StatusCode, String)> {
    let http = Client::builder().no_proxy().build()?;
    let url = format!("http://{}{path}", process.admin());
    let answer = http.get(url).send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// How many connections the gateway has asked to move.
async fn asked_to_move(gateway: &Process) -> Result<String> {
    let (_, metrics) = admin(gateway, "/metrics").await?;
    let mut lines = metrics.lines();
    let name = "carillon_gateway_rebalanced_connections_total ";
    let count = lines.find_map(|line| line.strip_prefix(name));
    Ok(count.unwrap_or_default().to_owned())
}

/// Until the gateway has looked at so many words.
async fn words_heard(gateway: &Process, expected: usize) -> Result<()> {
    eventually("words that are heard", SOON, async || {
        let log = gateway.log()?;
        let heard = log.matches("for gateways to be balanced").count();
        ensure!(heard == expected, "{heard}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_the_clients_move_to_a_gateway_that_was_added() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = Plan::over(redis.url())
        .gateways(2)
        .dispatchers(1)
        // So slow that a second call finds everybody still there.
        .set("drain.window", "5s")
        .set("drain.min_rate", "4")
        .start()
        .await?;
    let [full, added] = deployment.gateways() else {
        bail!("two gateways");
    };
    let handshakes: Vec<_> = (0..USERS)
        .map(|number| handshake(&deployment, full, number))
        .collect();
    let sockets = try_join_all(handshakes.iter().map(Socket::connect)).await?;
    until_users(&deployment, [40, 0]).await?;

    let (status, told) = rebalance(&deployment).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status}: {told}");
    let moving = &told["moving"][0];
    ensure!(moving["users"] == 40 && moving["to_move"] == 20, "{told}");
    ensure!(told["moving"].as_array().is_some_and(|all| all.len() == 1));
    // Once more, as whoever did not get that answer does. The first one to go changes no mean.
    words_heard(full, 1).await?;
    let (status, told) = rebalance(&deployment).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status}: {told}");
    let moving = &told["moving"][0];
    ensure!(moving["users"].as_u64() >= Some(39), "too late: {told}");

    // They are listened to while they are closed, and those that stay hear what comes after that.
    let listening = try_join_all(sockets.into_iter().map(outcome));
    let sending = async {
        until_users(&deployment, [20, 0]).await?;
        for number in 0..USERS {
            let body = notification(&format!("user{number}"), "t", CONTENT);
            deployment.api().send_until_accepted(&body, SOON).await?;
        }
        Ok(())
    };
    let (outcomes, ()) = tokio::try_join!(listening, sending)?;
    let mut stayed = Vec::new();
    let mut moved = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Stayed(socket) => stayed.push(socket),
            Outcome::Moved(code, reasons) => {
                let (expected, reason): (u16, &[&str]) = match is_v1(number) {
                    true => (4202, &["rebalance"]),
                    false => (1012, &[]),
                };
                ensure!(code == expected && reasons == reason, "{code} {reasons:?}");
                moved.push(number);
            }
        }
    }
    ensure!((stayed.len(), moved.len()) == (20, 20), "{moved:?}");
    // The same word twice has moved nobody twice.
    words_heard(full, 2).await?;
    ensure!(asked_to_move(full).await? == "20");

    // The gateway goes on as before.
    ensure!(admin(full, "/readyz").await?.0 == StatusCode::OK);
    let mut late = Socket::connect(&handshake(&deployment, full, USERS)).await?;
    late.send(&json!({"type": "ping"})).await?;
    ensure!(late.frame(SOON).await?["type"] == "pong");

    // Who moved gets there what was sent in the meantime.
    let mut there = Vec::new();
    for number in moved {
        let again = Socket::connect(&handshake(&deployment, added, number)).await?;
        match outcome(again).await? {
            Outcome::Stayed(socket) => there.push(socket),
            Outcome::Moved(code, _) => bail!("user{number} was closed with {code}"),
        }
    }
    until_users(&deployment, [21, 20]).await?;

    let (status, told) = rebalance(&deployment).await?;
    ensure!(status == StatusCode::OK, "{status}: {told}");
    ensure!(told["moving"] == json!([]), "{told}");
    // As long as it would have taken.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(users(&deployment).await? == [21, 20]);
    ensure!(asked_to_move(full).await? == "20");
    ensure!(asked_to_move(added).await? == "0");
    Ok(())
}
