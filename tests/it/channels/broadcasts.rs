//! Broadcasts, to everyone.

use carillon_tests::client::{Handshake, Socket, TokenIn};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{publish_to, through_a_proxy};
use crate::world::{
    Opened, SOON, World, content, next_content, next_contents, next_of, silent, token_of,
};

#[tokio::test]
async fn a_broadcast_reaches_everyone_and_who_was_reconnecting() {
    let world = World::start(&[]).await;
    let another = world.another_gateway(&[]).await;
    let (mut proxy, gateway) = through_a_proxy(&world).await;
    let elsewhere = Handshake::to(&another.ws())
        .token(TokenIn::Query, &token_of("carol"))
        .protocol("carillon.v1");
    let mut v1 = world.open("alice", "phone").await.socket;
    let mut carol = Opened::by(&elsewhere).await.unwrap().socket;
    let page_at = Handshake::to(&gateway).token(TokenIn::Query, &token_of("bob"));
    let mut page = Socket::connect(&page_at).await.unwrap();
    world.until_connections("bob", 1).await;

    let sent = publish_to(&world, None, "one").await;
    for socket in [&mut v1, &mut carol, &mut page] {
        let frame = socket.frame(SOON).await.unwrap();
        assert_eq!((&frame["id"], content(&frame)), (&json!(sent.id), "one"));
        assert_eq!(
            (&frame["target_user"], &frame["channel"]),
            (&json!(null), &json!(null))
        );
    }
    proxy.break_networking().await;
    v1.close().await;
    world.until_connections("bob", 0).await;
    world.until_connections("alice", 0).await;
    publish_to(&world, None, "two").await;
    assert_eq!(next_content(&mut carol).await.unwrap(), "two");
    proxy.restore().await.unwrap();

    let mut again = Socket::connect(&page_at).await.unwrap();
    while next_content(&mut again).await.unwrap() != "two" {}
    let mut again = world.open("alice", "phone").await.socket;
    while next_content(&mut again).await.unwrap() != "two" {}
    // Whoever was never here is not given the past.
    let mut stranger = world.open("dave", "phone").await.socket;
    silent(&mut stranger).await.unwrap();
    // And nobody can join it by name.
    let request = json!({ "type": "subscribe", "channel": "*" });
    again
        .send_message(Message::text(request.to_string()))
        .await
        .unwrap();
    assert_eq!(
        next_of(&mut again, "error").await.unwrap()["code"],
        "invalid_channel"
    );
}

#[tokio::test]
async fn a_broadcast_is_caught_up_only_as_far_as_its_log() {
    let world = World::start(&[("channels.broadcast_history", "3")]).await;
    let first = world.open("alice", "phone").await.socket;
    first.close().await;
    world.until_connections("alice", 0).await;
    for number in 0..6 {
        publish_to(&world, None, &number.to_string()).await;
    }
    let mut socket = world.open("alice", "phone").await.socket;
    assert_eq!(next_contents(&mut socket, 3).await, ["3", "4", "5"]);
    silent(&mut socket).await.unwrap();
}
