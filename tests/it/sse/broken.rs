//! Streams that break, are not read, or are ended.

use carillon_tests::client::{Ask, EventStream, broadcast};
use carillon_tests::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Stage, Store, ids, names, next_in};
use crate::world::{SOON, World, token_of};

/// So much that no buffer of the kernel's takes it.
const LARGE: usize = 60_000;

fn ask(gateway: &Process, user: &str) -> Ask {
    let ask = Ask::of(&gateway.http()).query("token", token_of(user));
    ask.query("device", "tab")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_owed_comes_from_another() {
    let short = [("lease.ttl", "2s"), ("lease.renew", "500ms")];
    let world = World::start(&short).await;
    let other = world.another_gateway(&short).await;
    let publish = async |channel: Option<&str>, content: &str| {
        let body = broadcast(channel, "t", content);
        world.api.broadcast(&body, None).await.unwrap().id
    };
    let of = |gateway| ask(gateway, "alice").query("channel", "orders");
    let mut stream = EventStream::open(&of(&world.gateway)).await.unwrap();
    stream.until("subscribed", SOON).await.unwrap();
    let one = world.send("alice", "one").await.id;
    assert_eq!(next_in(&mut stream).await.data["id"], one);
    let two = publish(None, "two").await;
    assert_eq!(next_in(&mut stream).await.data["id"], two);
    let three = publish(Some("orders"), "three").await;
    assert_eq!(next_in(&mut stream).await.data["id"], three);

    world.gateway.kill().await.unwrap();
    let (rest, whole) = stream.to_the_end(SOON).await.unwrap();
    assert!(rest.is_empty() && !whole, "{rest:?}");
    let mut missed = vec![
        world.send("alice", "four").await.id,
        publish(None, "five").await,
        publish(Some("orders"), "six").await,
        world.send("alice", "seven").await.id,
    ];
    let again = of(&other).after(stream.last_id.as_deref());
    let mut again = EventStream::open(&again).await.unwrap();
    let mut given = Vec::new();
    for _ in 0..missed.len() {
        let event = next_in(&mut again).await;
        given.push(event.data["id"].as_str().unwrap().to_owned());
    }
    let own: Vec<_> = given
        .iter()
        .filter(|id| [&missed[0], &missed[3]].contains(id))
        .collect();
    assert_eq!(own, [&missed[0], &missed[3]], "in order");
    missed.sort_unstable();
    given.sort_unstable();
    assert_eq!(given, missed);
    // And nothing twice before what comes next.
    let next = world.send("alice", "eight").await.id;
    assert_eq!(next_in(&mut again).await.data["id"], next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_ended_and_loses_nothing() {
    let world = World::start(&[
        ("socket.slow_consumer_timeout", "500ms"),
        ("socket.outbox_bytes", "131072"),
        ("sse.unacked", "1000"),
    ])
    .await;
    let mut bystander = world.open("bystander", "phone").await.socket;
    // It never reads.
    let slow = EventStream::open(&ask(&world.gateway, "alice"))
        .await
        .unwrap();
    let ended = r#"carillon_gateway_streams_ended_total{code="4102"}"#;
    let mut sent = Vec::new();
    while world.metric(ended).await.unwrap() == 0.0 {
        assert!(
            sent.len() < 600,
            "not ended after {} large notifications",
            sent.len()
        );
        let mark = format!("{}{}", sent.len(), " ".repeat(LARGE));
        sent.push(world.send("alice", &mark).await.id);
    }
    world.until_connections("alice", 0).await;
    assert_eq!(world.metric("carillon_gateway_streams").await.unwrap(), 0.0);
    world.reaches("bystander", &mut bystander).await.unwrap();
    drop(slow);

    // All of it comes again, for nothing was acked.
    let mut again = EventStream::open(&ask(&world.gateway, "alice"))
        .await
        .unwrap();
    let events = again.until("replayed", SOON).await.unwrap();
    assert_eq!(ids(&events), sent);
    assert!(!names(&events).contains(&"gap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_leaves_says_so_and_when_to_come_back() {
    let world = World::start(&[]).await;
    let mut stream = EventStream::open(&ask(&world.gateway, "alice"))
        .await
        .unwrap();
    stream.until("replayed", SOON).await.unwrap();
    world.gateway.terminate();
    let (events, whole) = stream.to_the_end(SOON).await.unwrap();
    assert!(whole);
    assert_eq!(names(&events), ["reconnect", "disconnect"]);
    assert_eq!(events[0].data["reason"], "draining");
    assert_eq!(events[1].data["code"], 4200);
    assert!(stream.retry.is_some_and(|retry| retry.as_millis() < 1_000));
    assert!(world.gateway.wait(SOON).await.unwrap().success());
}

/// What comes until there is this text among it.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let so_far = String::from_utf8_lossy(&bytes).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            let read = socket.read_buf(&mut bytes).await.unwrap();
            assert!(read > 0, "ended after {so_far}");
        }
    };
    timeout(SOON, reading).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_asks_on_a_connection_that_it_has_used_before() {
    let stage = Stage::on(Store::Memory, &[]).await;
    let mut socket = TcpStream::connect(stage.process.public()).await.unwrap();
    let token = token_of("alice");
    let other = b"GET /api/none HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.write_all(other).await.unwrap();
    let answer = read_until(&mut socket, "not_found").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let request = format!("GET /sse/notifications?token={token} HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut socket, "event: replayed").await;
    // What was left of the answer before it comes first.
    let (_, answer) = answer.split_once("HTTP/1.1 200 OK\r\n").unwrap();
    assert!(
        answer.contains("transfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(answer.contains("x-accel-buffering: no\r\n"), "{answer}");
    let sent = stage.send("alice", "one").await;
    read_until(&mut socket, &sent.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_speaks_http_1_0_is_given_no_chunks() {
    let stage = Stage::on(Store::Memory, &[]).await;
    let mut socket = TcpStream::connect(stage.process.public()).await.unwrap();
    let token = token_of("alice");
    let request = format!("GET /sse/notifications?token={token} HTTP/1.0\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut socket, "event: replayed").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: "), "{body}");
    assert!(!body.contains('\r'), "{body}");
}
