//! Connections that an operator or a service has closed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Ask, EventStream, Socket},
    poll::eventually,
};
use serde_json::{Value, json};

use super::{Scene, get, post, simple, v1};
use crate::world::{Opened, next_of};

/// However busy the machine is, this is what is promised.
const PROMISED: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

/// Has connections of alice closed; says when that was asked, and how many there are.
async fn close(scene: &Scene, which: &Value) -> Result<(Instant, u64)> {
    let (status, answer) = post(&scene.deployment, "/api/users/alice/disconnect", which).await?;
    ensure!(status == 202, "{status} {answer}");
    Ok((
        Instant::now(),
        answer["connections"].as_u64().unwrap_or(u64::MAX),
    ))
}

/// Waits until alice has so many connections: the end of one is told the store after its socket is closed.
async fn connected(scene: &Scene, expected: usize) -> Result<()> {
    let what = format!("alice has {expected} connections");
    eventually(&what, SOON, async || {
        let present = get(&scene.deployment, "/api/users/alice/presence").await?;
        let connections = present["connections"].as_array().map_or(0, Vec::len);
        ensure!(connections == expected, "{present}");
        Ok(())
    })
    .await
}

/// It lives: it answers.
async fn lives(socket: &mut Socket) -> Result<()> {
    socket.send(&json!({ "type": "ping" })).await?;
    next_of(socket, "pong").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_device_one_session_or_all_on_every_gateway() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let [one, two] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let mut phone = Opened::by(&v1(deployment, one, "alice", "phone"))
        .await?
        .socket;
    let mut laptop = Opened::by(&v1(deployment, two, "alice", "laptop"))
        .await?
        .socket;
    let mut tab = Socket::connect(&simple(deployment, two, "alice", "tab")).await?;
    let mut others = Opened::by(&v1(deployment, one, "bob", "phone"))
        .await?
        .socket;
    let ask = Ask::of(&one.http()).query("token", deployment.token("alice"));
    let mut tv = EventStream::open(&ask.query("device", "tv")).await?;
    tv.until("replayed", SOON).await?;

    let present = get(deployment, "/api/users/alice/presence").await?;
    let connections = present["connections"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut devices: Vec<_> = connections
        .iter()
        .map(|it| it["device"].to_string())
        .collect();
    devices.sort();
    ensure!(
        devices == ["\"laptop\"", "\"phone\"", "\"tv\"", "null"],
        "{present}"
    );
    let gateway_of = |session: &str| {
        let it = connections.iter().find(|it| it["session"] == session);
        it.map(|it| it["gateway"].clone())
    };
    ensure!(gateway_of("phone") != gateway_of("laptop"), "{present}");
    ensure!(gateway_of("laptop") == gateway_of("tab"), "{present}");

    // One device, for good, in words of the caller's.
    let which = json!({ "device": "phone", "code": 4001, "reason": "logged_out" });
    let (asked, connections) = close(&scene, &which).await?;
    ensure!(connections == 1, "{connections}");
    let closed = phone.closed(SOON).await?;
    ensure!(closed == (4001, "logged_out".to_owned()), "{closed:?}");
    ensure!(asked.elapsed() <= PROMISED, "after {:?}", asked.elapsed());
    lives(&mut laptop).await?;
    lives(&mut tab).await?;

    // A device of that name of another user's lives on, and one that is not there is none.
    lives(&mut others).await?;
    connected(&scene, 3).await?;
    let (_, connections) = close(&scene, &json!({ "device": "phone" })).await?;
    ensure!(connections == 0, "{connections}");

    // One session; the code says to come back.
    let (asked, connections) = close(&scene, &json!({ "session": "laptop" })).await?;
    ensure!(connections == 1, "{connections}");
    let closed = laptop.closed(SOON).await?;
    ensure!(closed == (4203, "disconnected".to_owned()), "{closed:?}");
    ensure!(asked.elapsed() <= PROMISED, "after {:?}", asked.elapsed());
    lives(&mut tab).await?;

    // All that are left, on both gateways: event streams, too.
    connected(&scene, 2).await?;
    let again = v1(deployment, one, "alice", "laptop");
    let mut again = Opened::by(&again).await?.socket;
    let (asked, connections) = close(&scene, &json!({ "code": 4200 })).await?;
    ensure!(connections == 3, "{connections}");
    ensure!(again.closed(SOON).await?.0 == 4200);
    ensure!(
        tab.closed(SOON).await?.0 == 1012,
        "as the simple protocol has it"
    );
    let (events, whole) = tv.to_the_end(SOON).await?;
    ensure!(asked.elapsed() <= PROMISED, "after {:?}", asked.elapsed());
    let last = events
        .last()
        .map(|event| (&*event.name, &event.data["code"]));
    ensure!(
        whole && last == Some(("disconnect", &json!(4200))),
        "{events:?}"
    );
    lives(&mut others).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_told_why_it_ends_and_stays_away_where_it_should() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let ask = Ask::of(&deployment.gateways()[0].http()).query("token", deployment.token("alice"));
    let mut stream = EventStream::open(&ask.query("device", "tv")).await?;
    stream.until("replayed", SOON).await?;
    let which = json!({ "device": "tv", "code": 4003, "reason": "no \"tv\" any more" });
    close(&scene, &which).await?;
    let (events, _) = stream.to_the_end(SOON).await?;
    let Some(last) = events.last().map(|event| &event.data) else {
        anyhow::bail!("no event");
    };
    ensure!(
        last["code"] == 4003 && last["reason"] == "no \"tv\" any more",
        "{last}"
    );
    ensure!(
        stream.retry >= Some(Duration::from_secs(60)),
        "{:?}",
        stream.retry
    );
    Ok(())
}
