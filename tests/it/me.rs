//! A user's own pages: what was read on one device is read on all.

use carillon_tests::client::{Handshake, TokenIn};
use serde_json::{Value, json};

use crate::world::{Opened, SOON, World, content, token_of};

/// A request of alice's page.
async fn ask(world: &World, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("{}{path}", world.dispatcher.http());
    let http = reqwest::Client::new();
    let request = match body {
        Some(body) => http.post(url).json(&body),
        None => http.get(url),
    };
    let request = request.bearer_auth(token_of("alice"));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn unread(world: &World) -> Value {
    let (status, told) = ask(world, "/api/me/unread", None).await;
    assert_eq!(status, 200, "{told}");
    told["unread"].clone()
}

async fn on(gateway: &str, device: &str) -> Opened {
    let handshake = Handshake::to(gateway)
        .token(TokenIn::Query, &token_of("alice"))
        .protocol("carillon.v1")
        .query("device", device);
    Opened::by(&handshake).await.unwrap()
}

#[tokio::test]
async fn what_is_read_on_one_device_is_told_to_the_others() {
    let world = World::start(&[]).await;
    let other = world.another_gateway(&[]).await;
    let mut phone = world.open("alice", "phone").await;
    let mut desk = on(&other.ws(), "desk").await;
    let mut bob = world.open("bob", "phone").await;
    let mut simple = world.open_simple("alice").await;
    world.until_connections("alice", 3).await;
    let mut sent = Vec::new();
    for content in ["one", "two", "three"] {
        sent.push(world.send("alice", content).await);
    }
    for device in [&mut phone, &mut desk] {
        for expected in ["one", "two", "three"] {
            assert_eq!(content(&device.socket.frame(SOON).await.unwrap()), expected);
        }
    }
    for _ in 0..3 {
        simple.frame(SOON).await.unwrap();
    }
    assert_eq!(unread(&world).await, 3);

    let (cursor, id) = (&sent[1].cursor, &sent[1].id);
    let (status, told) = ask(&world, "/api/me/read", Some(json!({"cursor": cursor}))).await;
    assert_eq!(
        (status, told),
        (200, json!({"status": "ok", "changed": true, "unread": 2}))
    );
    let one = json!({"type": "changed", "what": "read", "cursor": cursor, "notification": id});
    let (_, told) = ask(&world, "/api/me/read", Some(json!({"all": true}))).await;
    assert_eq!(told["unread"], 0);
    let all = json!({"type": "changed", "what": "read", "up_to": sent[2].cursor});
    for device in [&mut phone, &mut desk] {
        assert_eq!(device.socket.frame(SOON).await.unwrap(), one);
        assert_eq!(device.socket.frame(SOON).await.unwrap(), all);
    }
    // Nobody else is told, nor who speaks the simple protocol; and the chain goes on.
    for user in ["alice", "bob"] {
        world.send(user, "next").await;
    }
    assert_eq!(content(&phone.socket.frame(SOON).await.unwrap()), "next");
    assert_eq!(content(&bob.socket.frame(SOON).await.unwrap()), "next");
    assert_eq!(content(&simple.frame(SOON).await.unwrap()), "next");
    assert_eq!(unread(&world).await, 1);
}
