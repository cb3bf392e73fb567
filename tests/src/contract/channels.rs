//! Channels: the log, its chain, who is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use carillon_common::{
    backend::{Gap, Limits, PublishOrder},
    ids::Cursor,
};

use super::{
    DEADLINE, Stores,
    world::{HOUR, SECOND, World, channel, cursors, elsewhere, limits, publication},
};

pub(super) async fn publications_continue_each_other_in_order(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let before = world.backend.clock().now();
    let mut at = gateway.follow(&channel("news")?).await?;
    let late = i64::try_from(at.seq)? - before;
    assert!((-2_000..30_000).contains(&late), "seeded {late} ms late");
    let sent = world.publish_many("news", 10).await?;
    let heard = gateway.heard.channel("news", 10).await?;
    for ((prev, frame), cursor) in heard.iter().zip(&sent) {
        assert_eq!((*prev, frame.cursor), (at, *cursor));
        assert_eq!(cursor.seq, at.seq + 1, "contiguous");
        at = *cursor;
    }
    let page = gateway.log("news", Cursor::ZERO).await?;
    let heard: Vec<_> = heard.into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(page.frames, heard);
    Ok(())
}

pub(super) async fn logs_tell_their_ends(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let news = world.publish_many("news", 3).await?;
    let other = world.publish("other").await?;
    let asked = [channel("other")?, channel("empty")?, channel("news")?];
    assert_eq!(
        gateway.log_ends(&asked).await?,
        [other, Cursor::ZERO, news[2]]
    );
    assert!(gateway.log_ends(&[]).await?.is_empty());
    Ok(())
}

pub(super) async fn a_publication_is_kept_as_it_was_given(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    gateway.follow(&channel("news")?).await?;
    let mut before = Cursor::ZERO;
    for body in ["\n|{}\"\u{0}🔔".to_owned(), "x".repeat(65_536)] {
        let order = PublishOrder {
            body: body.clone().into(),
            ..publication("news")?
        };
        let published = world.backend.publish(&order).await?;
        let page = gateway
            .log("news", std::mem::replace(&mut before, published.cursor))
            .await?;
        let kept = &page.frames[0];
        assert_eq!((kept.cursor, kept.id), (published.cursor, order.id));
        assert_eq!(kept.body, body);
        assert_eq!(kept.expires_at - kept.stored_at, 3_600_000);
    }
    let heard = gateway.heard.channel("news", 2).await?;
    assert_eq!(heard[1].1.body.len(), 65_536);
    Ok(())
}

pub(super) async fn a_log_is_read_in_pages(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            page: 4,
            ..limits()
        },
    )
    .await?;
    let gateway = world.gateway("g").await?;
    let sent = world.publish_many("news", 10).await?;
    let mut after = Cursor::ZERO;
    for (frames, more) in [(&sent[..4], true), (&sent[4..8], true), (&sent[8..], false)] {
        let page = gateway.log("news", after).await?;
        assert_eq!((cursors(&page.frames).as_slice(), page.gap), (frames, None));
        assert_eq!((page.more, Some(&page.end)), (more, frames.last()));
        after = page.end;
    }
    let page = gateway.log("news", after).await?;
    assert!(page.frames.is_empty() && !page.more && page.gap.is_none());
    assert_eq!((page.start, page.end), (sent[9], sent[9]));
    Ok(())
}

pub(super) async fn a_log_is_bounded(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let mut sent = Vec::new();
    for _ in 0..8 {
        let order = PublishOrder {
            history: 3,
            ..publication("news")?
        };
        sent.push(world.backend.publish(&order).await?.cursor);
    }
    let page = gateway.log("news", Cursor::ZERO).await?;
    assert_eq!(
        (cursors(&page.frames), page.gap),
        (sent[5..].to_vec(), None)
    );
    for (after, rest, gap) in [
        (sent[3], 5, Some(Gap::Expired)),
        (sent[4], 5, None), // the oldest one's predecessor
        (sent[5], 6, None),
        (sent[7], 8, None),
    ] {
        let page = gateway.log("news", after).await?;
        assert_eq!(
            (cursors(&page.frames), page.gap),
            (sent[rest..].to_vec(), gap)
        );
        assert_eq!(page.end, sent[7]);
    }
    Ok(())
}

pub(super) async fn a_position_that_the_log_does_not_know_is_rewound(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.publish_many("news", 3).await?;
    let beyond = Cursor {
        seq: sent[2].seq + 1,
        nonce: 3,
    };
    for after in [
        beyond,
        elsewhere(sent[0]),
        elsewhere(sent[1]),
        elsewhere(sent[2]),
    ] {
        let page = gateway.log("news", after).await?;
        assert_eq!(
            (cursors(&page.frames), page.gap),
            (sent.clone(), Some(Gap::Rewound))
        );
    }
    Ok(())
}

pub(super) async fn without_a_log_only_a_position_is_lost(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    for (after, gap) in [
        (Cursor::ZERO, None),
        (Cursor { seq: 9, nonce: 9 }, Some(Gap::Expired)),
    ] {
        let page = gateway.log("news", after).await?;
        assert_eq!(
            (page.frames.len(), page.end, page.more),
            (0, Cursor::ZERO, false)
        );
        assert_eq!(page.gap, gap);
    }
    Ok(())
}

pub(super) async fn a_log_lasts_for_its_retention_after_the_newest(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let order = || -> Result<PublishOrder> {
        Ok(PublishOrder {
            retention: 2 * SECOND,
            ..publication("news")?
        })
    };
    let first = world.backend.publish(&order()?).await?.cursor;
    world.advance(SECOND + SECOND / 4).await;
    let second = world.backend.publish(&order()?).await?.cursor;
    world.advance(SECOND + SECOND / 4).await;
    let page = gateway.log("news", Cursor::ZERO).await?;
    assert_eq!(cursors(&page.frames), [first, second], "expired ones too");
    assert!(!page.frames[0].deliverable(world.backend.clock().now()));
    world.advance(SECOND + SECOND / 4).await;
    for (after, gap) in [
        (Cursor::ZERO, None),
        (first, Some(Gap::Expired)),
        (second, None), // it has missed nothing
        (elsewhere(second), Some(Gap::Rewound)),
    ] {
        let page = gateway.log("news", after).await?;
        assert_eq!((page.frames.len(), page.end, page.gap), (0, second, gap));
    }
    assert_eq!(gateway.follow(&channel("news")?).await?, second);
    let third = world.backend.publish(&order()?).await?.cursor;
    assert_eq!(third.seq, second.seq + 1, "the log goes on");
    assert_eq!(gateway.heard.channel("news", 1).await?[0].0, second);
    let page = gateway.log("news", first).await?;
    assert_eq!(
        (cursors(&page.frames), page.gap),
        (vec![third], Some(Gap::Expired))
    );
    Ok(())
}

pub(super) async fn who_came_before_the_first_entry_is_told_of_an_overflow(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let news = channel("news")?;
    let begun = gateway.follow(&news).await?;
    assert_ne!(begun, Cursor::ZERO);
    assert_eq!(gateway.follow(&news).await?, begun, "it begins once");
    assert_eq!(gateway.log_ends(&[news]).await?, [begun]);
    let mut sent = Vec::new();
    for (kept, gap) in [(1, None), (2, None), (2, Some(Gap::Expired))] {
        let order = PublishOrder {
            history: 2,
            ..publication("news")?
        };
        sent.push(world.backend.publish(&order).await?.cursor);
        let page = gateway.log("news", begun).await?;
        let expected = sent[sent.len() - kept..].to_vec();
        assert_eq!((cursors(&page.frames), page.gap), (expected, gap));
    }
    Ok(())
}

pub(super) async fn who_came_before_the_first_entry_is_told_when_all_lapsed(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let begun = gateway.follow(&channel("news")?).await?;
    let order = PublishOrder {
        retention: SECOND,
        ..publication("news")?
    };
    let only = world.backend.publish(&order).await?.cursor;
    world.advance(SECOND + SECOND / 4).await;
    let page = gateway.log("news", begun).await?;
    assert_eq!(
        (page.frames.len(), page.end, page.gap),
        (0, only, Some(Gap::Expired))
    );
    Ok(())
}

pub(super) async fn a_publication_expires_after_its_ttl_or_the_logs(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    for ttl in [HOUR / 2, 2 * HOUR] {
        let order = PublishOrder {
            ttl,
            ..publication("news")?
        };
        world.backend.publish(&order).await?;
    }
    let page = gateway.log("news", Cursor::ZERO).await?;
    let lives = page.frames.iter().map(|f| f.expires_at - f.stored_at);
    assert_eq!(lives.collect::<Vec<_>>(), [1_800_000, 3_600_000]);
    Ok(())
}

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
            carillon_common::backend::BusEvent::Channel { frame, .. } => {
                (frame.cursor == last).then_some(())
            }
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
