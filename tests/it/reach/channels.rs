//! Channels: which are followed, what they hold, who is on them; over one Redis and over a cluster.

use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Socket, broadcast},
    deployment::Deployment,
    poll::eventually,
    redis::{Cluster, Options, Standalone},
};
use serde_json::{Value, json};

use super::{get, simple, two_gateways, v1};
use crate::world::{Opened, SOON, next_of};

/// A channel is followed no longer than this after its last member.
const LINGER: (&str, &str) = ("channels.linger", "1s");
/// Channels are looked through every five seconds.
const UNFOLLOWED: Duration = Duration::from_secs(30);

async fn join(socket: &mut Socket, channel: &str) -> Result<()> {
    let request = json!({ "type": "subscribe", "channel": channel });
    socket.send(&request).await?;
    next_of(socket, "subscribed").await?;
    Ok(())
}

async fn listed(deployment: &Deployment, query: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(deployment, &format!("/api/channels?limit=3{query}{after}")).await?;
        let channels = page["channels"].as_array().cloned().unwrap_or_default();
        names.extend(
            channels
                .iter()
                .filter_map(|it| Some(it["name"].as_str()?.to_owned())),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(names),
        }
    }
}

/// Waits until the list is this; it may be a second old.
async fn until_listed(deployment: &Deployment, query: &str, expected: &[&str]) -> Result<()> {
    eventually("the list is as it should be", UNFOLLOWED, async || {
        let names = listed(deployment, query).await?;
        ensure!(names == expected, "{names:?}");
        Ok(())
    })
    .await
}

async fn channels_are_told(deployment: &Deployment) -> Result<()> {
    let [one, two] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let mut phone = Opened::by(&v1(deployment, one, "alice", "phone"))
        .await?
        .socket;
    let mut tab = Socket::connect(&simple(deployment, two, "alice", "tab")).await?;
    let mut laptop = Opened::by(&v1(deployment, two, "bob", "laptop"))
        .await?
        .socket;
    let names: Vec<_> = (0..8).map(|number| format!("orders.{number}")).collect();
    for name in &names {
        join(&mut phone, name).await?;
    }
    for socket in [&mut tab, &mut laptop] {
        join(socket, "orders.7").await?;
        join(socket, "news").await?;
    }
    let mut expected: Vec<_> = names.iter().map(String::as_str).collect();
    until_listed(deployment, "&prefix=orders.", &expected).await?;
    expected.insert(0, "news");
    until_listed(deployment, "", &expected).await?;

    // Who is on it is what both gateways say.
    let present = get(deployment, "/api/channels/orders.7/presence").await?;
    ensure!(present["connections"] == 3, "{present}");
    ensure!(
        present["gateways"] == json!({ "asked": 2, "answered": 2 }),
        "{present}"
    );
    let users = present["users"].as_array().cloned().unwrap_or_default();
    let told = users.iter().map(|user| {
        let connections = user["connections"].as_array().into_iter().flatten();
        let sessions: Vec<_> = connections
            .filter_map(|it| it["session"].as_str())
            .collect();
        (user["user"].as_str().unwrap_or_default(), sessions)
    });
    let mut told: Vec<_> = told.collect();
    told.iter_mut()
        .for_each(|(_, sessions)| sessions.sort_unstable());
    let expected = [("alice", vec!["phone", "tab"]), ("bob", vec!["laptop"])];
    ensure!(told == expected, "{present}");
    let first = get(deployment, "/api/channels/orders.7/presence?limit=1").await?;
    ensure!(first["next"] == "alice", "{first}");
    let second = get(
        deployment,
        "/api/channels/orders.7/presence?limit=1&after=alice",
    )
    .await?;
    ensure!(
        second["users"][0]["user"] == "bob" && second["next"] == Value::Null,
        "{second}"
    );
    let nobody = get(deployment, "/api/channels/nobodys/presence").await?;
    ensure!(
        nobody["connections"] == 0 && nobody["users"] == json!([]),
        "{nobody}"
    );

    // One leaves, one is gone.
    let leave = json!({ "type": "unsubscribe", "channel": "orders.7" });
    phone.send(&leave).await?;
    next_of(&mut phone, "unsubscribed").await?;
    laptop.close().await;
    let alone = eventually("one is left", SOON, async || {
        let present = get(deployment, "/api/channels/orders.7/presence").await?;
        ensure!(present["connections"] == 1, "{present}");
        Ok(present)
    });
    ensure!(alone.await?["users"][0]["connections"][0]["session"] == "tab");
    phone.close().await;
    until_listed(deployment, "", &["news", "orders.7"]).await
}

async fn history_is_what_was_published(deployment: &Deployment) -> Result<()> {
    let nothing = get(deployment, "/api/channels/orders/history").await?;
    ensure!(
        nothing["notifications"] == json!([]) && nothing["more"] == false,
        "{nothing}"
    );
    let mut published = Vec::new();
    for number in 0..25 {
        let mut body = broadcast(Some("orders"), "t", &number.to_string());
        body["data"] = json!({ "number": number });
        published.push(deployment.api().broadcast(&body, None).await?);
    }
    let mut short = broadcast(Some("orders"), "t", "soon gone");
    short["ttl"] = "50ms".into();
    deployment.api().broadcast(&short, None).await?;
    tokio::time::sleep(Duration::from_millis(60)).await;

    let mut read: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/channels/orders/history?limit=10{after}");
        let page = get(deployment, &path).await?;
        ensure!(page["gap"] == Value::Null, "{page}");
        read.extend(
            page["notifications"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
        after = format!("&after={}", page["next"].as_str().unwrap_or_default());
        if page["more"] == false {
            break;
        }
    }
    ensure!(
        read.len() == published.len(),
        "{} of {}",
        read.len(),
        published.len()
    );
    for (number, (notification, accepted)) in read.iter().zip(&published).enumerate() {
        ensure!(notification["id"] == accepted.id, "{notification}");
        ensure!(notification["cursor"] == accepted.cursor, "{notification}");
        ensure!(notification["data"]["number"] == number, "{notification}");
        ensure!(notification["channel"] == "orders", "{notification}");
    }
    // Nothing follows, until something does.
    let path = format!("/api/channels/orders/history?limit=1{after}");
    ensure!(get(deployment, &path).await?["notifications"] == json!([]));
    let next = broadcast(Some("orders"), "t", "next");
    deployment.api().broadcast(&next, None).await?;
    let page = get(deployment, &path).await?;
    ensure!(page["notifications"][0]["content"] == "next", "{page}");
    let forged = get(
        deployment,
        "/api/channels/orders/history?after=9007199254740991-7",
    )
    .await?;
    ensure!(forged["gap"] == "rewound", "{forged}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_over_one_redis() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = two_gateways(redis.url(), &[LINGER]).await?;
    channels_are_told(&deployment).await?;
    history_is_what_was_published(&deployment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_over_a_cluster() -> Result<()> {
    let redis = Cluster::start(3, 1, &Options::default()).await?;
    let deployment = two_gateways(redis.url(), &[LINGER]).await?;
    channels_are_told(&deployment).await?;
    history_is_what_was_published(&deployment).await
}

/// A gateway that stands still holds nobody up for longer than a second or so, and that it is missing is told.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_gateway_that_does_not_answer_it_is_told() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let deployment = two_gateways(redis.url(), &[]).await?;
    let [one, two] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let mut phone = Opened::by(&v1(&deployment, one, "alice", "phone"))
        .await?
        .socket;
    let mut laptop = Opened::by(&v1(&deployment, two, "bob", "laptop"))
        .await?
        .socket;
    join(&mut phone, "orders").await?;
    join(&mut laptop, "orders").await?;
    two.pause();
    let began = std::time::Instant::now();
    let present = get(&deployment, "/api/channels/orders/presence").await;
    two.resume();
    let present = present?;
    ensure!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    ensure!(
        present["gateways"] == json!({ "asked": 2, "answered": 1 }),
        "{present}"
    );
    ensure!(
        present["users"][0]["user"] == "alice" && present["connections"] == 1,
        "{present}"
    );
    Ok(())
}
