//! Users whom services put on channels, and take off them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use carillon_tests::{
    client::{Ask, EventStream, Socket, broadcast},
    poll::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Scene, get, post, simple, v1};
use crate::world::{Opened, SOON, content, next_content, next_of, silent};

/// However busy the machine is, this is what is promised.
const PROMISED: Duration = Duration::from_secs(2);

async fn call(scene: &Scene, method: Method, path: &str) -> Result<Value> {
    let request = scene.deployment.api().request(method, path);
    let answer = request.send().await?;
    let (status, told) = (answer.status(), answer.json::<Value>().await?);
    ensure!(status == 200, "{path}: {status} {told}");
    Ok(told)
}

async fn publish(scene: &Scene, channel: &str, content: &str) -> Result<()> {
    let body = broadcast(Some(channel), "t", content);
    scene.deployment.api().broadcast(&body, None).await?;
    Ok(())
}

/// Waits until a socket is told that it is on a channel, or is not.
async fn told(socket: &mut Socket, kind: &str, since: Instant) -> Result<Value> {
    let frame = next_of(socket, kind).await?;
    let took = since.elapsed();
    ensure!(took < PROMISED, "it took {took:?}");
    Ok(frame)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_devices_follow_connected_or_not_until_the_user_is_taken_off() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let [one, two] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    // A device that is away, and two that are there, on two gateways.
    let away = Opened::by(&v1(deployment, one, "alice", "tablet")).await?;
    away.socket.close().await;
    let mut phone = Opened::by(&v1(deployment, one, "alice", "phone"))
        .await?
        .socket;
    let mut tab = Socket::connect(&simple(deployment, two, "alice", "tab")).await?;
    let mut bob = Opened::by(&v1(deployment, two, "bob", "phone"))
        .await?
        .socket;
    let what = "alice's tab is registered";
    eventually(what, SOON, async || {
        let present = get(deployment, "/api/users/alice/presence").await?;
        let there = present["connections"].as_array().map_or(0, Vec::len);
        ensure!(there == 2, "{present}");
        Ok(())
    })
    .await?;

    let path = "/api/users/alice/channels/private:team-7";
    let asked = Instant::now();
    let put = call(&scene, Method::PUT, path).await?;
    assert_eq!(put["changed"], true);
    let frame = told(&mut phone, "subscribed", asked).await?;
    assert_eq!(
        (&frame["channel"], &frame["recovered"]),
        (&json!("private:team-7"), &json!(true))
    );
    let frame = told(&mut tab, "subscribed", asked).await?;
    assert_eq!(
        frame,
        json!({ "type": "subscribed", "channel": "private:team-7" })
    );
    assert_eq!(call(&scene, Method::PUT, path).await?["changed"], false);

    publish(&scene, "private:team-7", "first").await?;
    assert_eq!(next_content(&mut phone).await?, "first");
    assert_eq!(next_content(&mut tab).await?, "first");
    silent(&mut bob).await?;
    // Who was away is caught up, and does not get it again with its next connection.
    let mut tablet = Opened::by(&v1(deployment, two, "alice", "tablet")).await?;
    let first = match tablet.replayed.first() {
        Some(first) => first.clone(),
        None => loop {
            let frame = tablet.socket.frame(SOON).await?;
            if frame.get("id").is_some() {
                break frame;
            }
        },
    };
    assert_eq!(
        (content(&first), &first["channel"]),
        ("first", &json!("private:team-7"))
    );
    tablet
        .socket
        .send(&json!({ "type": "ack", "cursor": first["cursor"] }))
        .await?;
    tablet.socket.send(&json!({ "type": "ping" })).await?;
    next_of(&mut tablet.socket, "pong").await?;
    tablet.socket.close().await;
    publish(&scene, "private:team-7", "second").await?;
    let mut tablet = Opened::by(&v1(deployment, one, "alice", "tablet")).await?;
    let next = match tablet.replayed.first() {
        Some(next) => content(next).to_owned(),
        None => next_content(&mut tablet.socket).await?,
    };
    assert_eq!(next, "second");
    // A new device is given what comes.
    let mut new = Opened::by(&v1(deployment, one, "alice", "new")).await?;
    assert!(new.replayed.is_empty());
    publish(&scene, "private:team-7", "third").await?;
    assert_eq!(next_content(&mut new.socket).await?, "third");

    let leave = json!({ "type": "unsubscribe", "channel": "private:team-7" });
    new.socket.send(&leave).await?;
    assert_eq!(next_of(&mut new.socket, "error").await?["code"], "assigned");
    let channels = get(deployment, "/api/users/alice/channels").await?;
    assert_eq!(channels["channels"], json!(["private:team-7"]));

    let asked = Instant::now();
    assert_eq!(call(&scene, Method::DELETE, path).await?["changed"], true);
    let frame = told(&mut phone, "unsubscribed", asked).await?;
    let off = json!({ "type": "unsubscribed", "channel": "private:team-7", "code": "removed" });
    assert_eq!(frame, off);
    told(&mut new.socket, "unsubscribed", asked).await?;
    publish(&scene, "private:team-7", "nobody hears this").await?;
    for socket in [&mut phone, &mut new.socket] {
        silent(socket).await?;
    }
    let again = Opened::by(&v1(deployment, two, "alice", "phone")).await?;
    assert!(again.replayed.is_empty() && again.control_of("subscribed").is_empty());
    assert_eq!(call(&scene, Method::DELETE, path).await?["changed"], false);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_at_once_and_what_their_own_clients_had_asked_for() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let gateway = &deployment.gateways()[0];
    let mut own = Opened::by(&v1(deployment, gateway, "user-1", "phone"))
        .await?
        .socket;
    own.send(&json!({ "type": "subscribe", "channel": "news", "durable": true }))
        .await?;
    next_of(&mut own, "subscribed").await?;
    let users: Vec<String> = (0..300).map(|at| format!("user-{at}")).collect();
    let path = "/api/channels/news/users";
    let (status, put) = post(
        deployment,
        path,
        &json!({ "action": "add", "users": users }),
    )
    .await?;
    assert_eq!(
        (status, &put["done"], &put["failed"]),
        (200, &json!(300), &json!(0)),
        "{put}"
    );
    for user in ["user-0", "user-299"] {
        let channels = get(deployment, &format!("/api/users/{user}/channels")).await?;
        assert_eq!(channels["channels"], json!(["news"]));
    }
    let mut last = Opened::by(&v1(deployment, gateway, "user-299", "phone"))
        .await?
        .socket;
    publish(&scene, "news", "to all").await?;
    for socket in [&mut own, &mut last] {
        assert_eq!(next_content(socket).await?, "to all");
    }
    let (_, off) = post(
        deployment,
        path,
        &json!({ "action": "remove", "users": users }),
    )
    .await?;
    assert_eq!(
        (&off["done"], &off["results"][1]["changed"]),
        (&json!(300), &json!(true))
    );
    for socket in [&mut own, &mut last] {
        assert_eq!(next_of(socket, "unsubscribed").await?["code"], "removed");
    }
    own.close().await;
    let own = Opened::by(&v1(deployment, gateway, "user-1", "phone")).await?;
    assert!(own.control_of("subscribed").is_empty());
    // It may ask for it again.
    let mut own = own.socket;
    own.send(&json!({ "type": "subscribe", "channel": "news" }))
        .await?;
    next_of(&mut own, "subscribed").await?;
    publish(&scene, "news", "again").await?;
    assert_eq!(next_content(&mut own).await?, "again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_is_on_them_and_goes_on_where_it_was() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let deployment = &scene.deployment;
    let [one, two] = deployment.gateways() else {
        anyhow::bail!("two gateways");
    };
    let ask = |gateway: &carillon_tests::process::Process| {
        let ask = Ask::of(&gateway.http());
        ask.query("token", deployment.token("alice"))
            .query("device", "tv")
    };
    call(&scene, Method::PUT, "/api/users/alice/channels/private:tv").await?;
    let mut stream = EventStream::open(&ask(one)).await?;
    let begun = stream.until("subscribed", SOON).await?;
    assert!(
        begun
            .iter()
            .any(|event| event.data["channel"] == "private:tv"),
        "{begun:?}"
    );
    publish(&scene, "private:tv", "one").await?;
    let last = loop {
        let event = stream.event(SOON).await?;
        if event.data["content"] == "one" {
            break event;
        }
    };
    drop(stream);
    publish(&scene, "private:tv", "two").await?;
    let mut stream = EventStream::open(&ask(two).after(last.id.as_deref())).await?;
    let next = loop {
        let event = stream.event(SOON).await?;
        if event.data.get("id").is_some() {
            break event;
        }
    };
    assert_eq!(next.data["content"], "two");
    Ok(())
}
