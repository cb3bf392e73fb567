//! Following channels: what a gateway hears of them from then on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use carillon_common::{
    backend::BusEvent,
    ids::{ChannelName, Cursor},
};

use super::{
    DEADLINE, Stores,
    world::{World, channel, cursors, limits, publication},
};
use crate::poll::eventually;

pub(super) async fn following_begins_where_the_log_ends(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.other_gateway("g").await?;
    let before = world.publish_many("news", 2).await?;
    assert_eq!(gateway.follow(&channel("news")?).await?, before[1]);
    let after = world.publish("news").await?;
    let heard = gateway.heard.channel("news", 1).await?;
    assert_eq!((heard[0].0, heard[0].1.cursor), (before[1], after));
    Ok(())
}

pub(super) async fn nothing_falls_between_the_log_and_the_hints(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let backend = Arc::clone(&world.other);
    let publishing = tokio::spawn(async move {
        for _ in 0..80 {
            backend.publish(&publication("news")?).await?;
        }
        anyhow::Ok(())
    });
    tokio::task::yield_now().await;
    let mut at = gateway.follow(&channel("news")?).await?;
    publishing.await??;
    let last = world.publish("news").await?;
    let heard = gateway
        .heard
        .heard(1, |event| match event {
            BusEvent::Channel { frame, .. } => (frame.cursor == last).then_some(()),
            _ => None,
        })
        .await?;
    assert_eq!(heard.len(), 1);
    for (prev, frame) in gateway.heard.channel("news", 1).await? {
        // Hints may begin before the answer does; from there on none is missing.
        if frame.cursor.seq > at.seq {
            assert_eq!(prev, at);
            at = frame.cursor;
        }
    }
    assert_eq!(at, last);
    Ok(())
}

pub(super) async fn who_stops_following_hears_no_more(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    for name in ["news", "sports"] {
        gateway.follow(&channel(name)?).await?;
    }
    world.publish("news").await?;
    gateway.heard.channel("news", 1).await?;
    gateway.unfollow(&channel("news")?).await?;
    // It may hear a little more while the word gets around.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let before = gateway.heard.channel("news", 1).await?.len();
        world.publish("news").await?;
        let marks = gateway.heard.channel("sports", 0).await?.len();
        world.publish("sports").await?;
        gateway.heard.channel("sports", marks + 1).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if gateway.heard.channel("news", 1).await?.len() == before {
            break;
        }
        assert!(Instant::now() < deadline, "it is still followed");
    }
    let before = gateway.heard.channel("news", 1).await?.len();
    gateway.follow(&channel("news")?).await?;
    world.publish("news").await?;
    assert_eq!(
        gateway.heard.channel("news", before + 1).await?.len(),
        before + 1
    );
    Ok(())
}

pub(super) async fn each_channel_has_a_log_and_followers_of_its_own(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let long = "c".repeat(255);
    for name in ["news", long.as_str()] {
        one.follow(&channel(name)?).await?;
    }
    two.follow(&channel("news:eu")?).await?;
    let news = world.publish("news").await?;
    let eu = world.publish("news:eu").await?;
    let last = world.publish(&long).await?;
    one.heard.channel(&long, 1).await?;
    two.heard.channel("news:eu", 1).await?;
    assert_eq!(one.heard.channel("news:eu", 0).await?.len(), 0);
    assert_eq!(two.heard.channel("news", 0).await?.len(), 0);
    for (name, cursor) in [("news", news), ("news:eu", eu), (&long, last)] {
        let page = two.log(name, Cursor::ZERO).await?;
        assert_eq!(cursors(&page.frames), [cursor]);
    }
    Ok(())
}

pub(super) async fn every_gateway_hears_broadcasts(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    let sent = world.publish_many("*", 3).await?;
    for gateway in [&one, &two] {
        let heard = gateway.heard.channel("*", 3).await?;
        let heard: Vec<Cursor> = heard.iter().map(|(_, frame)| frame.cursor).collect();
        assert_eq!(heard, sent);
        let page = gateway.log("*", sent[0]).await?;
        assert_eq!(
            (cursors(&page.frames), page.gap),
            (sent[1..].to_vec(), None)
        );
        assert_eq!(gateway.follow(&channel("*")?).await?, sent[2]);
    }
    Ok(())
}

pub(super) async fn publications_reach_no_inbox(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.connect("news", "phone").await?;
    world.publish("news").await?;
    world.publish("*").await?;
    gateway.heard.channel("*", 1).await?;
    assert!(gateway.kept("news").await?.is_empty());
    let sent = world.send("news").await?;
    let heard = gateway.heard.inbox(&"news".parse()?, 1).await?;
    assert_eq!((heard[0].0, heard[0].1.cursor), (Cursor::ZERO, sent));
    Ok(())
}

pub(super) async fn followed_channels_are_listed(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let one = world.gateway("one").await?;
    let two = world.other_gateway("two").await?;
    // What is published and not followed is not among them, nor what everybody is on.
    world.publish("nobodys").await?;
    let listed = async |expected: &[&str]| {
        eventually("the list is as it should be", DEADLINE, async || {
            for backend in [&world.backend, &world.other] {
                let followed = backend.followed().await?;
                let names: Vec<_> = followed.iter().map(ChannelName::as_str).collect();
                ensure!(names == expected, "{names:?}");
            }
            Ok(())
        })
        .await
    };
    listed(&[]).await?;
    for name in ["news", "orders.eu", "a:b"] {
        one.follow(&channel(name)?).await?;
    }
    two.follow(&channel("news")?).await?;
    listed(&["a:b", "news", "orders.eu"]).await?;
    one.unfollow(&channel("news")?).await?;
    one.unfollow(&channel("a:b")?).await?;
    listed(&["news", "orders.eu"]).await?;
    two.unfollow(&channel("news")?).await?;
    listed(&["orders.eu"]).await
}
