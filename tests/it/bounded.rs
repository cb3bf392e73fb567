//! What one user may take up, as clients see it.

use carillon_tests::client::{Handshake, Socket, TokenIn};
use serde_json::json;

use crate::world::{SOON, World, next_of, token_of};

#[tokio::test]
async fn a_user_has_so_many_connections_on_all_gateways() {
    let world = World::start(&[("inbox.connections", "3")]).await;
    let settings = [("inbox.connections", "3")];
    let another = world.another_gateway(&settings).await;
    let mut phone = world.open("alice", "phone").await.socket;
    let there = |user: &str| Handshake::to(&another.ws()).token(TokenIn::Query, &token_of(user));
    let page = Socket::connect(&there("alice")).await.unwrap();
    let _laptop = world.open("alice", "laptop").await.socket;
    let before = world.stored().await.unwrap();
    let v1 = there("alice").protocol("carillon.v1").query("device", "x");
    for handshake in [world.simple("alice"), there("alice"), v1] {
        let mut refused = Socket::connect(&handshake).await.unwrap();
        let end = refused.closed(SOON).await.unwrap();
        assert_eq!(end, (4103, "too_many_connections".to_owned()));
    }
    assert_eq!(
        world.stored().await.unwrap(),
        before,
        "something was written"
    );
    Socket::connect(&there("bob")).await.unwrap();
    world.reaches("alice", &mut phone).await.unwrap();
    // Whoever leaves makes room, and so does a gateway that is dead once it is reaped.
    page.close().await;
    world.until_connections("alice", 2).await;
    let mut third = Socket::connect(&there("alice")).await.unwrap();
    world.until_connections("alice", 3).await;
    world.reaches("alice", &mut third).await.unwrap();
}

#[tokio::test]
async fn a_user_keeps_so_many_subscriptions() {
    let world = World::start(&[("channels.kept", "2")]).await;
    let mut phone = world.open("alice", "phone").await.socket;
    for channel in ["one", "two", "three"] {
        let request = json!({ "type": "subscribe", "channel": channel, "durable": true });
        phone.send(&request).await.unwrap();
        next_of(&mut phone, "subscribed").await.unwrap();
    }
    let ended = next_of(&mut phone, "unsubscribed").await.unwrap();
    assert_eq!(
        (&ended["channel"], &ended["code"]),
        (&json!("three"), &json!("too_many_channels"))
    );
    let counted = r#"carillon_gateway_refused_frames_total{code="too_many_channels"}"#;
    assert_eq!(world.metric(counted).await.unwrap(), 1.0);
    // One that is not durable is none of those.
    let request = json!({ "type": "subscribe", "channel": "three" });
    phone.send(&request).await.unwrap();
    next_of(&mut phone, "subscribed").await.unwrap();
    phone.close().await;
    world.until_connections("alice", 0).await;

    let mut laptop = world.open("alice", "laptop").await.socket;
    let request = json!({ "type": "subscribe", "channel": "four", "durable": true });
    laptop.send(&request).await.unwrap();
    let ended = next_of(&mut laptop, "unsubscribed").await.unwrap();
    assert_eq!(ended["channel"], "four", "of all devices together");
}

#[tokio::test]
async fn devices_beyond_those_that_are_remembered_are_counted() {
    let world = World::start(&[("inbox.devices", "2")]).await;
    for device in 0..9 {
        let name = format!("device-{device}");
        world.open("alice", &name).await.socket.close().await;
        world.until_connections("alice", 0).await;
    }
    // Four are remembered, beside the one that comes.
    let counted = "carillon_gateway_devices_forgotten_total";
    assert_eq!(world.metric(counted).await.unwrap(), 4.0);
}
