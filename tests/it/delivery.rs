//! Personal notifications: to every device, in order, until they expire.

mod expiry;
mod limits;
mod resume;
mod tokens;

use carillon_tests::client::{Socket, notification};
use serde_json::json;

use crate::world::{Opened, SOON, World, content, next_content, next_contents, next_of, silent};

#[tokio::test]
async fn what_was_stored_is_replayed_in_order_to_each_device_once() {
    let world = World::start(&[]).await;
    for content in ["one", "two", "three"] {
        let sent = world.send("alice", content).await;
        assert_eq!(sent.outcome.as_deref(), Some("queued"));
        assert_eq!((sent.devices, sent.user_seen), (Some(0), Some(false)));
    }
    let both = [
        world.open("alice", "phone").await,
        world.open("alice", "laptop").await,
    ];
    for (device, mut opened) in ["phone", "laptop"].into_iter().zip(both) {
        assert_eq!(opened.contents(), ["one", "two", "three"], "{device}");
        assert_eq!(opened.welcome["recovered"], true);
        for frame in &opened.replayed {
            assert!(
                frame["stored_at"].is_string() && frame["expires_at"].is_string(),
                "{frame}"
            );
            assert_eq!(
                (&frame["replayed"], &frame["target_user"]),
                (&json!(true), &json!("alice"))
            );
        }
        assert_eq!(opened.control_of("replayed")[0]["count"], 3);
        let last = opened.replayed[2].clone();
        opened.ack(&world, &last).await;
        drop(opened);
    }
    world.until_connections("alice", 0).await;
    for device in ["phone", "laptop"] {
        assert!(
            world.open("alice", device).await.contents().is_empty(),
            "{device} twice"
        );
    }
}

#[tokio::test]
async fn a_simple_client_is_given_what_was_stored_once() {
    let world = World::start(&[]).await;
    let first = world.send("alice", "one").await;
    world.send("alice", "two").await;
    let mut page = Socket::connect(&world.simple("alice")).await.unwrap();
    let frame = page.frame(SOON).await.unwrap();
    assert_eq!(
        (frame["id"].as_str(), content(&frame)),
        (Some(&*first.id), "one")
    );
    let mut fields: Vec<_> = frame
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "channel",
            "content",
            "data",
            "id",
            "stored_at",
            "target_user",
            "timestamp",
            "type"
        ]
    );
    assert_eq!(next_content(&mut page).await.unwrap(), "two");
    // Live ones are told without the time they were stored.
    world.until_connections("alice", 1).await;
    world.send("alice", "three").await;
    let frame = page.frame(SOON).await.unwrap();
    assert_eq!(content(&frame), "three");
    assert!(
        frame.get("stored_at").is_none() && frame.get("cursor").is_none(),
        "{frame}"
    );
    silent(&mut page).await.unwrap();

    // Its pongs have acked them.
    page.close().await;
    world.until_connections("alice", 0).await;
    let mut again = world.open_simple("alice").await;
    silent(&mut again).await.unwrap();
}

#[tokio::test]
async fn live_notifications_reach_every_device_at_once() {
    let world = World::start(&[]).await;
    let mut phone = world.open("alice", "phone").await.socket;
    let mut laptop = world.open("alice", "laptop").await.socket;
    let mut page = world.open_simple("alice").await;
    let mut bob = world.open("bob", "phone").await.socket;
    let sent = world.send("alice", "one").await;
    assert_eq!(sent.outcome.as_deref(), Some("routed"));
    assert_eq!((sent.devices, sent.user_seen), (Some(3), Some(true)));
    for socket in [&mut phone, &mut laptop, &mut page] {
        let frame = socket.frame(SOON).await.unwrap();
        assert_eq!((&frame["id"], content(&frame)), (&json!(sent.id), "one"));
        assert!(frame.get("stored_at").is_none(), "{frame}");
        silent(socket).await.unwrap();
    }
    silent(&mut bob).await.unwrap();
}

#[tokio::test]
async fn order_is_the_order_of_acceptance() {
    let world = World::start(&[("inbox.page", "7")]).await;
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    for number in numbers(0..30) {
        world.send("alice", &number).await;
    }
    // Half of it comes from several pages of the inbox, half live, while it is being read.
    let connecting = Socket::connect(&world.v1("alice", "phone")).await.unwrap();
    let mut socket = connecting;
    for number in numbers(30..60) {
        world.send("alice", &number).await;
    }
    assert_eq!(next_contents(&mut socket, 60).await, numbers(0..60));
}

#[tokio::test]
async fn a_label_is_passed_on() {
    let world = World::start(&[]).await;
    let mut member = world.open("bob", "phone").await.socket;
    member
        .send(&json!({ "type": "subscribe", "channel": "orders" }))
        .await
        .unwrap();
    next_of(&mut member, "subscribed").await.unwrap();
    let mut alice = world.open("alice", "phone").await.socket;
    let more = json!({ "channel": "orders", "data": { "n": 1.50, "list": [1, null] } });
    world.try_send("alice", "one", more).await.unwrap();
    let frame = alice.frame(SOON).await.unwrap();
    assert_eq!(
        (&frame["channel"], &frame["target_user"]),
        (&json!("orders"), &json!("alice"))
    );
    assert_eq!(frame["data"], json!({ "n": 1.5, "list": [1, null] }));
    silent(&mut member).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_delivers_once() {
    let world = World::start(&[]).await;
    let mut live = world.open("alice", "phone").await.socket;
    let body = notification("alice", "t", "one");
    let first = world.api.send(&body, Some("key")).await.unwrap();
    for _ in 0..3 {
        let again = world.api.send(&body, Some("key")).await.unwrap();
        assert_eq!((&again.id, &again.cursor), (&first.id, &first.cursor));
    }
    assert_eq!(next_content(&mut live).await.unwrap(), "one");
    silent(&mut live).await.unwrap();
    assert_eq!(world.inbox_length("alice").await, 1);
    assert_eq!(world.open("alice", "laptop").await.contents(), ["one"]);
}

#[tokio::test]
async fn what_was_not_acked_comes_again_with_the_same_id() {
    let world = World::start(&[]).await;
    let mut phone = world.open("alice", "phone").await.socket;
    let sent = world.send("alice", "one").await;
    assert_eq!(phone.frame(SOON).await.unwrap()["id"], sent.id);
    phone.close().await;
    world.until_connections("alice", 0).await;
    let again = world.open("alice", "phone").await;
    assert_eq!(again.contents(), ["one"]);
    assert_eq!(
        (&again.replayed[0]["id"], &again.replayed[0]["cursor"]),
        (&json!(sent.id), &json!(sent.cursor))
    );
}

#[tokio::test]
async fn acks_trim_the_inbox() {
    let world = World::start(&[("inbox.keep", "2")]).await;
    let mut phone = world.open("alice", "phone").await;
    let mut laptop = world.open("alice", "laptop").await;
    for number in 0..10 {
        world.send("alice", &number.to_string()).await;
    }
    let mut frames = Vec::new();
    for _ in 0..10 {
        frames.push(phone.socket.frame(SOON).await.unwrap());
    }
    next_contents(&mut laptop.socket, 10).await;
    phone.ack(&world, &frames[9]).await;
    assert_eq!(
        world.inbox_length("alice").await,
        10,
        "the laptop has acked nothing"
    );
    laptop.ack(&world, &frames[4]).await;
    // 5 to 9 are unread, and of what was read the newest two stay.
    assert_eq!(world.inbox_length("alice").await, 7);
    laptop.ack(&world, &frames[9]).await;
    assert_eq!(world.inbox_length("alice").await, 2);
}

#[tokio::test]
async fn a_new_device_starts_at_the_oldest_unacked() {
    let world = World::start(&[]).await;
    for number in 0..4 {
        world.send("alice", &number.to_string()).await;
    }
    let mut phone = world.open("alice", "phone").await;
    let second = phone.replayed[1].clone();
    phone.ack(&world, &second).await;
    let laptop = world.open("alice", "laptop").await;
    assert_eq!(laptop.contents(), ["2", "3"]);
    // One that never acks still holds its own.
    drop(laptop);
    let fourth = phone.replayed[3].clone();
    phone.ack(&world, &fourth).await;
    world.until_connections("alice", 1).await;
    assert_eq!(world.open("alice", "laptop").await.contents(), ["2", "3"]);
}

#[tokio::test]
async fn two_tabs_of_one_device_both_get_everything() {
    let world = World::start(&[]).await;
    let mut one = world.open("alice", "browser").await;
    let mut other = world.open("alice", "browser").await;
    assert_ne!(one.welcome["session"], other.welcome["session"]);
    let sent = world.send("alice", "one").await;
    assert_eq!(sent.devices, Some(1), "two tabs are one device");
    let frame = one.socket.frame(SOON).await.unwrap();
    assert_eq!(next_content(&mut other.socket).await.unwrap(), "one");
    // One tab's ack is the device's.
    one.ack(&world, &frame).await;
    drop((one, other));
    world.until_connections("alice", 0).await;
    assert!(world.open("alice", "browser").await.contents().is_empty());
}

#[tokio::test]
async fn a_newer_connection_replaces_its_session() {
    let world = World::start(&[]).await;
    let mut old = world.open("alice", "phone").await;
    let session = old.welcome["session"].as_str().unwrap().to_owned();
    let handshake = world.v1("alice", "phone").query("session", session.clone());
    let mut new = Opened::by(&handshake).await.unwrap();
    assert_eq!(new.welcome["session"], session);
    let end = old.socket.closed(SOON).await.unwrap();
    assert_eq!(end, (4009, "session_replaced".to_owned()));
    world.until_connections("alice", 1).await;
    let sent = world.send("alice", "one").await;
    assert_eq!(sent.devices, Some(1));
    assert_eq!(next_content(&mut new.socket).await.unwrap(), "one");

    // At another gateway as well.
    let another = world.another_gateway(&[]).await;
    let elsewhere = carillon_tests::client::Handshake::to(&another.ws())
        .protocol("carillon.v1")
        .token(
            carillon_tests::client::TokenIn::Query,
            &crate::world::token_of("alice"),
        )
        .query("device", "phone")
        .query("session", session);
    let mut newest = Opened::by(&elsewhere).await.unwrap();
    assert_eq!(new.socket.closed(SOON).await.unwrap().0, 4009);
    world.send("alice", "two").await;
    assert_eq!(newest.contents(), ["one"], "it was not acked");
    assert_eq!(next_content(&mut newest.socket).await.unwrap(), "two");
    world.until_connections("alice", 1).await;
}

#[tokio::test]
async fn anonymous_connections_share_a_device() {
    let world = World::start(&[]).await;
    world.send("alice", "one").await;
    // Never reads, so never pongs.
    let deaf = world.open_simple("alice").await;
    let mut page = Socket::connect(&world.simple("alice")).await.unwrap();
    assert_eq!(next_content(&mut page).await.unwrap(), "one");
    let sent = world.send("alice", "two").await;
    assert_eq!(next_content(&mut page).await.unwrap(), "two");
    assert!(sent.devices >= Some(1), "{sent:?}");
    // Each has a cursor of its own; what the deaf one has not read, the next one gets.
    page.close().await;
    drop(deaf);
    world.until_connections("alice", 0).await;
    let mut next = Socket::connect(&world.simple("alice")).await.unwrap();
    assert_eq!(next_contents(&mut next, 2).await, ["one", "two"]);
    silent(&mut next).await.unwrap();
    next.close().await;
    world.until_connections("alice", 0).await;
    silent(&mut world.open_simple("alice").await).await.unwrap();
}
