//! A store that comes back without what it had accepted: whoever may miss something is told, once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::{
    backend::redis::{keys::Keys, link::partition_tags},
    ids::ChannelName,
};
use carillon_tests::{
    client::Socket,
    poll::eventually,
    redis::{Cluster, Options, Sentinel, Standalone},
};
use redis::cmd;
use serde_json::{Value, json};

use crate::world::{Opened, QUIET, SOON, World, content, next_content, next_of};

/// A primary and one replica that keep nothing on disk; accepted is what both have.
async fn pair() -> Result<(World, Standalone)> {
    let primary = Standalone::start(&Options::default()).await?;
    let follow = format!("replicaof 127.0.0.1 {}", primary.addr().port());
    let replica = Standalone::start(&Options::default().config(follow)).await?;
    followed(&primary).await?;
    let urls = [primary.url(), primary.url()];
    let world = World::over(primary, urls, &[("durability.replicas", "1")], "").await;
    Ok((world, replica))
}

async fn followed(primary: &Standalone) -> Result<()> {
    eventually("the replica follows", SOON, async || {
        let info: String = primary.query(cmd("INFO").arg("replication")).await?;
        ensure!(info.contains("state=online"), "{info}");
        Ok(())
    })
    .await
}

/// Kills the primary and starts it again at once: the replica copies what it then has.
async fn crash(world: &mut World) -> Result<()> {
    world.redis.kill().await?;
    world.redis.restart().await
}

/// Connects as soon as that is possible again.
async fn back(world: &World, user: &str, device: &str) -> Result<Opened> {
    let deadline = tokio::time::Instant::now() + 2 * SOON;
    loop {
        match Opened::by(&world.v1(user, device)).await {
            Ok(opened) => return Ok(opened),
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The gaps that were told while it caught up: channel and reason.
fn gaps(opened: &Opened) -> Vec<(Value, Value)> {
    let gaps = opened.control_of("gap").into_iter();
    gaps.map(|gap| (gap["channel"].clone(), gap["reason"].clone()))
        .collect()
}

fn rewound(channel: Value) -> (Value, Value) {
    (channel, "rewound".into())
}

/// Told already: the next connection of this device goes on as if nothing had been.
async fn told_once(world: &World, user: &str, device: &str) -> Result<()> {
    let told = eventually("the device is told no more", SOON, async || {
        let mut again = back(world, user, device).await?;
        let mut told = gaps(&again);
        // A log's is told until the client has acked something of it, or pongs twice.
        told.retain(|(channel, _)| channel.is_null());
        if !told.is_empty() {
            // Only a pong shows that it was heard; reading answers the ping, whatever else comes.
            let reading = async { while again.socket.frame(SOON).await.is_ok() {} };
            drop(tokio::time::timeout(2 * QUIET, reading).await);
            anyhow::bail!("{told:?}");
        }
        ensure!(again.welcome["recovered"] == true, "{}", again.welcome);
        Ok(())
    });
    told.await
}

/// The next frame that is no notification, gap or other; the gap's channel and reason.
async fn next_gap(socket: &mut Socket) -> Result<(Value, Value)> {
    let gap = next_of(socket, "gap").await.unwrap();
    Ok((gap["channel"].clone(), gap["reason"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_comes_back_empty_is_told_to_who_was_away_and_who_was_there() -> Result<()> {
    let (mut world, _replica) = pair().await?;
    // One was there before and read everything, one never came.
    let mut known = world.open("known", "phone").await;
    world.send("known", "read").await;
    let read = known.socket.frame(SOON).await?;
    known.ack(&world, &read).await;
    drop(known);
    let mut here = world.open("here", "laptop").await;
    world.send("here", "first").await;
    assert_eq!(next_content(&mut here.socket).await?, "first");
    for n in 0..20 {
        world.send("known", &n.to_string()).await;
        world.send("stranger", &n.to_string()).await;
    }

    crash(&mut world).await?;

    for user in ["stranger", "known"] {
        let opened = back(&world, user, "phone").await?;
        assert_eq!(opened.welcome["recovered"], false, "{user}");
        assert_eq!(gaps(&opened), [rewound(Value::Null)], "{user}");
        assert!(opened.replayed.is_empty(), "{user}");
        told_once(&world, user, "phone").await?;
    }
    // Who was there stays there, is told, of broadcasts as well, and goes on.
    let mut told = [
        next_gap(&mut here.socket).await?,
        next_gap(&mut here.socket).await?,
    ];
    told.sort_by_key(|(channel, _)| channel.to_string());
    assert_eq!(told, [rewound("*".into()), rewound(Value::Null)]);
    world.send("here", "second").await;
    let second = loop {
        let frame = here.socket.frame(SOON).await?;
        if frame.get("id").is_some() {
            break frame;
        }
    };
    assert_eq!(content(&second), "second");
    // What it has not acked stands before the loss for it, and it would be told again.
    here.ack(&world, &second).await;
    told_once(&world, "here", "laptop").await?;
    // A device that was not known may have been: it is told, too.
    let other = back(&world, "here", "phone").await?;
    assert_eq!(gaps(&other), [rewound(Value::Null)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_is_told_where_something_is_missing() -> Result<()> {
    let mut world = World::start(&[("durability.replicas", "0")]).await;
    let mut reader = world.open("reader", "phone").await;
    let subscribe = json!({ "type": "subscribe", "channel": "news", "durable": true });
    reader.socket.send(&subscribe).await?;
    next_of(&mut reader.socket, "subscribed").await?;
    drop(reader);
    let mut here = world.open("here", "laptop").await;
    here.socket.send(&subscribe).await?;
    next_of(&mut here.socket, "subscribed").await?;
    let publish = async |channel: Value, content: &str| {
        let body = json!({ "channel": channel, "notification_type": "t", "content": content });
        let (status, answer) = world.post("/api/notifications/broadcast", &body).await;
        assert_eq!(status, 200, "{answer}");
    };
    world.send("reader", "kept").await;
    publish("news".into(), "kept news").await;
    publish(Value::Null, "kept for everyone").await;
    world.redis.query::<()>(&cmd("SAVE")).await?;
    world.send("reader", "lost").await;
    publish("news".into(), "lost news").await;
    publish(Value::Null, "lost to everyone").await;
    for content in [
        "kept news",
        "kept for everyone",
        "lost news",
        "lost to everyone",
    ] {
        assert_eq!(next_content(&mut here.socket).await?, content);
    }

    crash(&mut world).await?;

    let mut back = back(&world, "reader", "phone").await?;
    assert_eq!(back.contents().first(), Some(&"kept"));
    // The dispatcher knows what it had accepted and marks it; until this gateway hears of that, it
    // cannot know. And what concerns channels comes on its own time.
    let mut told = gaps(&back);
    let mut contents: Vec<String> = back
        .replayed
        .iter()
        .map(|f| content(f).to_owned())
        .collect();
    let channels = [Value::Null, "*".into(), "news".into()];
    while !channels
        .iter()
        .all(|it| told.contains(&rewound(it.clone())))
        || contents.len() < 3
    {
        let frame = back.socket.frame(SOON).await;
        let frame = frame.with_context(|| format!("after {told:?} and {contents:?}"))?;
        match frame["type"].as_str() {
            Some("gap") => told.push((frame["channel"].clone(), frame["reason"].clone())),
            _ if frame.get("id").is_some() => contents.push(content(&frame).to_owned()),
            _ => {}
        }
    }
    // An application removes what comes again.
    contents.sort_unstable();
    contents.dedup();
    assert_eq!(contents, ["kept", "kept for everyone", "kept news"]);
    // A channel's members may be told twice: when its log does not continue, and when that is marked.
    let of_inbox = told.iter().filter(|gap| **gap == rewound(Value::Null));
    assert_eq!(of_inbox.count(), 1, "{told:?}");
    // Who was there has the lost ones, and is told that the logs do not; of an inbox in which nothing
    // was lost nobody speaks.
    let mut told = Vec::new();
    while !["*", "news"]
        .into_iter()
        .all(|it| told.contains(&rewound(it.into())))
    {
        told.push(next_gap(&mut here.socket).await?);
    }
    assert!(!told.contains(&rewound(Value::Null)), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_promoted_behind_its_primary_is_told() -> Result<()> {
    let mut redis = Sentinel::start(1, 3, &Options::default()).await?;
    let urls = [redis.url(), redis.url()];
    // The world keeps a Redis; this one's is not used.
    let unused = Standalone::start(&Options::default()).await?;
    let world = World::over(unused, urls, &[("durability.replicas", "0")], "").await;
    world.send("alice", "on both").await;
    let primary = redis.primary().await?.addr();
    let replica_has = eventually("the replica has it", SOON, async || {
        for node in redis.data() {
            let inbox: Vec<String> = node.query(cmd("KEYS").arg("*inbox:alice")).await?;
            ensure!(!inbox.is_empty(), "not {}", node.addr());
        }
        Ok(())
    });
    replica_has.await?;
    // What is accepted while the replica stands still is on the primary alone.
    let replica = |redis: &mut Sentinel, act: fn(&carillon_tests::redis::Node)| {
        let replicas = redis.data().iter().filter(|node| node.addr() != primary);
        replicas.for_each(act);
    };
    replica(&mut redis, carillon_tests::redis::Node::pause);
    // Else it would read what its kernel holds for it, once it goes on.
    let cut = cmd("CLIENT").arg("KILL").arg("TYPE").arg("replica").clone();
    redis.primary().await?.query::<()>(&cut).await?;
    world.send("alice", "on one").await;
    redis.kill_primary().await?;
    replica(&mut redis, carillon_tests::redis::Node::resume);
    redis.wait_for_another_primary(primary).await?;
    let opened = back(&world, "alice", "phone").await?;
    // The gateway may not have heard of it yet; then it tells later.
    let mut told = gaps(&opened);
    let mut socket = opened.socket;
    if told.is_empty() {
        told.push(next_gap(&mut socket).await?);
    }
    assert_eq!(told, [rewound(Value::Null)]);
    assert_eq!(opened.replayed.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_comes_back_empty_is_told_to_its_users_alone() -> Result<()> {
    let mut redis = Cluster::start(3, 1, &Options::default()).await?;
    // Not the one of the broadcasts, which would be told to everyone.
    let everyone = shard_of(&redis, ChannelName::broadcast().as_str()).await?;
    let (crashing, other) = ((everyone + 1) % 3, (everyone + 2) % 3);
    let (lost, kept) = (
        user_on(&redis, crashing).await?,
        user_on(&redis, other).await?,
    );
    let unused = Standalone::start(&Options::default()).await?;
    let settings = [("durability.replicas", "1")];
    let world = World::over(unused, [redis.url(), redis.url()], &settings, "").await;
    let mut here = world.open(&lost, "laptop").await;
    world.send(&lost, "gone").await;
    world.send(&kept, "kept").await;
    assert_eq!(next_content(&mut here.socket).await?, "gone");

    redis.crash_primary(crashing).await?;

    let opened = back(&world, &lost, "phone").await?;
    assert_eq!(opened.welcome["recovered"], false);
    assert_eq!(gaps(&opened), [rewound(Value::Null)]);
    assert!(opened.replayed.is_empty());
    told_once(&world, &lost, "phone").await?;
    assert_eq!(next_gap(&mut here.socket).await?, rewound(Value::Null));

    let opened = back(&world, &kept, "phone").await?;
    assert_eq!(opened.contents(), ["kept"]);
    assert_eq!(gaps(&opened), []);
    assert_eq!(opened.welcome["recovered"], true);
    Ok(())
}

/// A user whose inbox is on this shard.
async fn user_on(redis: &Cluster, shard: usize) -> Result<String> {
    for user in (0..).map(|n| format!("user-{n}")) {
        if shard_of(redis, &user).await? == shard {
            return Ok(user);
        }
    }
    unreachable!("each shard has partitions")
}

/// The shard of a user's or a channel's keys.
async fn shard_of(redis: &Cluster, name: &str) -> Result<usize> {
    let (tags, slots): (Vec<_>, Vec<_>) = partition_tags(64).into_iter().unzip();
    let partition = Keys::new("", tags).partition(name);
    redis.shard_of(slots[usize::from(partition)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stood_still_or_restarted_whole_has_lost_nothing() -> Result<()> {
    let options = Options::default().persistence(carillon_tests::redis::Persistence::Always);
    let redis = Standalone::start(&options).await?;
    let urls = [redis.url(), redis.url()];
    let mut world = World::over(redis, urls, &[], "").await;
    let mut here = world.open("here", "laptop").await;
    world.send("away", "kept").await;
    world.redis.pause();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.redis.resume();
    crash(&mut world).await?;
    let opened = back(&world, "away", "phone").await?;
    assert_eq!(opened.contents(), ["kept"]);
    assert_eq!(
        (gaps(&opened), &opened.welcome["recovered"]),
        (vec![], &true.into())
    );
    world.send("here", "goes on").await;
    let frame = here.socket.frame(SOON).await?;
    assert_eq!(content(&frame), "goes on", "{frame}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_overflows_while_one_is_away_is_told() -> Result<()> {
    let world = World::start(&[
        ("channels.history", "3"),
        ("channels.broadcast_history", "3"),
    ])
    .await;
    // Both begin before the first entry there ever was.
    let mut reader = world.open("reader", "phone").await;
    let subscribe = json!({ "type": "subscribe", "channel": "news", "durable": true });
    reader.socket.send(&subscribe).await?;
    let subscribed = next_of(&mut reader.socket, "subscribed").await?;
    drop(reader);
    for n in 0..5 {
        for channel in [Value::Null, "news".into()] {
            let body =
                json!({ "channel": channel, "notification_type": "t", "content": n.to_string() });
            assert_eq!(
                world.post("/api/notifications/broadcast", &body).await.0,
                200
            );
        }
    }
    let expired = |channel: &str| (Value::from(channel), Value::from("expired"));
    let mut back = world.open("reader", "phone").await;
    let mut told = gaps(&back);
    while told.len() < 2 {
        told.push(next_gap(&mut back.socket).await?);
    }
    told.sort_by_key(|(channel, _)| channel.to_string());
    assert_eq!(told, [expired("*"), expired("news")]);
    // The same by the position that `subscribed` gave.
    let mut other = world.open("reader", "tablet").await;
    let since = json!({ "type": "subscribe", "channel": "news", "since": subscribed["cursor"] });
    other.socket.send(&since).await?;
    let subscribed = next_of(&mut other.socket, "subscribed").await?;
    assert_eq!(subscribed["recovered"], false);
    assert_eq!(next_gap(&mut other.socket).await?, expired("news"));
    Ok(())
}
