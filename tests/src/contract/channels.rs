//! The logs of channels: their chain, their bounds, what is missing in them.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{Gap, Limits, PublishOrder},
    ids::Cursor,
};

use super::{
    Stores,
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

pub(super) async fn a_log_is_read_without_a_gateway(on: Arc<dyn Stores>) -> Result<()> {
    let limits = Limits {
        page: 4,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let news = channel("news")?;
    let page = world.other.history(&news, Cursor::ZERO, 9).await?;
    assert_eq!(
        (page.frames.len(), page.end, page.gap),
        (0, Cursor::ZERO, None)
    );
    let sent = world.publish_many("news", 10).await?;
    for (after, limit, frames, more) in [
        (Cursor::ZERO, 3, &sent[..3], true),
        (sent[2], 3, &sent[3..6], true),
        // A store's own bound holds as well.
        (sent[2], 100, &sent[3..7], true),
        (sent[6], 3, &sent[7..], false),
        (sent[9], 3, &[], false),
    ] {
        let page = world.other.history(&news, after, limit).await?;
        assert_eq!(cursors(&page.frames), frames);
        assert_eq!((page.more, page.gap), (more, None));
        assert_eq!(page.end, *frames.last().unwrap_or(&sent[9]));
    }
    let page = world.other.history(&news, elsewhere(sent[4]), 3).await?;
    assert_eq!(page.gap, Some(Gap::Rewound));
    Ok(())
}
