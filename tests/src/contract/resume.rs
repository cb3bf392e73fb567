//! Where reading begins.

use std::sync::Arc;

use anyhow::Result;
use carillon_common::{
    backend::{Gap, Limits, Page},
    ids::Cursor,
};

use super::{
    Stores,
    gateway::Gateway,
    world::{HOUR, SECOND, World, cursors, elsewhere, limits, order},
};

/// Twelve sent, all acked by `phone`, of which the newest four are kept.
async fn trimmed(on: &dyn Stores) -> Result<(World, Gateway, Vec<Cursor>)> {
    let limits = Limits {
        inbox_keep: 4,
        ..limits()
    };
    let world = World::new(on, limits).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 12).await?;
    phone.ack(sent[11]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[8..]);
    Ok((world, gateway, sent))
}

#[track_caller]
fn is_page(page: &Page, frames: &[Cursor], gap: Option<Gap>) {
    assert_eq!((cursors(&page.frames).as_slice(), page.gap), (frames, gap));
}

pub(super) async fn pages_are_bounded_and_continue_each_other(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            page: 4,
            ..limits()
        },
    )
    .await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 10).await?;
    let mut page = gateway.connect("alice", "phone").await?.page().clone();
    for (frames, more) in [(&sent[..4], true), (&sent[4..8], true), (&sent[8..], false)] {
        is_page(&page, frames, None);
        assert_eq!((page.more, Some(&page.end)), (more, frames.last()));
        page = gateway.page("alice", "phone", page.end).await?;
    }
    is_page(&page, &[], None);
    assert_eq!((page.more, page.start, page.end), (false, sent[9], sent[9]));
    Ok(())
}

pub(super) async fn pages_are_bounded_in_bytes_too(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    // Three of these fit, with what keeping them costs; and one that alone is too large.
    let sizes = [20_000, 20_000, 20_000, 20_000, 300_000, 10];
    let mut sent = Vec::new();
    for size in sizes {
        let mut order = order("alice", HOUR)?;
        order.body = format!("{{\"x\":\"{}\"}}", "x".repeat(size)).into();
        sent.extend(world.order(&order).await?.cursor);
    }
    let mut page = gateway.connect("alice", "phone").await?.page().clone();
    for (frames, more) in [
        (&sent[..3], true),
        (&sent[3..4], true),
        (&sent[4..5], true),
        (&sent[5..], false),
    ] {
        is_page(&page, frames, None);
        assert_eq!((page.more, Some(&page.end)), (more, frames.last()));
        page = gateway.page("alice", "phone", page.end).await?;
    }
    Ok(())
}

pub(super) async fn a_page_that_ends_with_the_inbox_has_no_more(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(
        &*on,
        Limits {
            page: 4,
            ..limits()
        },
    )
    .await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 4).await?;
    let phone = gateway.connect("alice", "phone").await?;
    is_page(phone.page(), &sent, None);
    assert_eq!((phone.page().more, phone.page().end), (false, sent[3]));
    Ok(())
}

pub(super) async fn without_history_the_page_is_empty(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let lost = Cursor { seq: 7, nonce: 7 };
    for (since, gap) in [
        (None, None),
        (Some(Cursor::ZERO), None),
        (Some(lost), Some(Gap::Expired)),
    ] {
        let phone = gateway.connect_since("alice", "phone", since).await?;
        is_page(phone.page(), &[], gap);
        assert_eq!((phone.page().end, phone.page().more), (Cursor::ZERO, false));
    }
    is_page(
        &gateway.page("nobody", "phone", Cursor::ZERO).await?,
        &[],
        None,
    );
    is_page(
        &gateway.page("nobody", "phone", lost).await?,
        &[],
        Some(Gap::Expired),
    );
    Ok(())
}

pub(super) async fn a_client_goes_on_after_its_own_position(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 5).await?;
    for (at, cursor) in sent.iter().enumerate() {
        let phone = gateway
            .connect_since("alice", "phone", Some(*cursor))
            .await?;
        is_page(phone.page(), &sent[at + 1..], None);
        assert_eq!((phone.page().start, phone.page().end), (*cursor, sent[4]));
        is_page(
            &gateway.page("alice", "phone", *cursor).await?,
            &sent[at + 1..],
            None,
        );
    }
    Ok(())
}

pub(super) async fn a_clients_position_outweighs_its_acks(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 5).await?;
    phone.ack(sent[3]).await?;
    let behind = gateway
        .connect_since("alice", "phone", Some(sent[1]))
        .await?;
    is_page(behind.page(), &sent[2..], None);
    let ahead = gateway
        .connect_since("alice", "phone", Some(sent[4]))
        .await?;
    is_page(ahead.page(), &[], None);
    Ok(())
}

pub(super) async fn without_a_position_the_acks_count(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 5).await?;
    for acked in [0, 2, 4] {
        phone.ack(sent[acked]).await?;
        let again = gateway.connect("alice", "phone").await?;
        is_page(again.page(), &sent[acked + 1..], None);
        assert_eq!(again.page().end, sent[4]);
    }
    Ok(())
}

pub(super) async fn zero_asks_for_all_that_is_kept(on: Arc<dyn Stores>) -> Result<()> {
    let (_world, gateway, sent) = trimmed(&*on).await?;
    let phone = gateway
        .connect_since("alice", "phone", Some(Cursor::ZERO))
        .await?;
    is_page(phone.page(), &sent[8..], None);
    Ok(())
}

pub(super) async fn what_the_device_acked_is_not_missing(on: Arc<dyn Stores>) -> Result<()> {
    let (_world, gateway, sent) = trimmed(&*on).await?;
    let phone = gateway
        .connect_since("alice", "phone", Some(sent[2]))
        .await?;
    is_page(phone.page(), &[], None);
    assert_eq!(phone.page().end, sent[11]);
    is_page(&gateway.page("alice", "phone", sent[2]).await?, &[], None);
    Ok(())
}

pub(super) async fn what_only_another_device_acked_is_missing(on: Arc<dyn Stores>) -> Result<()> {
    let (_world, gateway, sent) = trimmed(&*on).await?;
    let laptop = gateway
        .connect_since("alice", "laptop", Some(sent[2]))
        .await?;
    assert_eq!(laptop.page().gap, Some(Gap::Expired));
    assert_eq!(laptop.page().end, sent[11]);
    Ok(())
}

pub(super) async fn a_position_ahead_of_the_inbox_is_rewound(on: Arc<dyn Stores>) -> Result<()> {
    let (_world, gateway, sent) = trimmed(&*on).await?;
    let ahead = Cursor {
        seq: sent[11].seq + 1,
        nonce: 9,
    };
    let phone = gateway.connect_since("alice", "phone", Some(ahead)).await?;
    is_page(phone.page(), &[], Some(Gap::Rewound));
    is_page(
        &gateway.page("alice", "phone", ahead).await?,
        &[],
        Some(Gap::Rewound),
    );
    Ok(())
}

pub(super) async fn a_position_in_another_history_is_rewound(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 5).await?;
    phone.ack(sent[1]).await?;
    for at in [2, 4] {
        let other = Some(elsewhere(sent[at]));
        let again = gateway.connect_since("alice", "phone", other).await?;
        is_page(again.page(), &sent[2..], Some(Gap::Rewound));
        assert_eq!(again.page().end, sent[4]);
    }
    Ok(())
}

pub(super) async fn a_rewound_device_that_never_acked_gets_all(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 3).await?;
    let other = Some(elsewhere(sent[1]));
    let phone = gateway.connect_since("alice", "phone", other).await?;
    is_page(phone.page(), &sent, Some(Gap::Rewound));
    Ok(())
}

pub(super) async fn a_new_device_gets_what_none_has_acked(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let sent = world.send_many("alice", 4).await?;
    let phone = gateway.connect("alice", "phone").await?;
    is_page(phone.page(), &sent, None);
    let laptop = gateway.connect("alice", "laptop").await?;
    is_page(laptop.page(), &sent, None);
    phone.ack(sent[2]).await?;
    laptop.ack(sent[0]).await?;
    let tablet = gateway.connect("alice", "tablet").await?;
    is_page(tablet.page(), &sent[3..], None);
    let laptop = gateway.connect("alice", "laptop").await?;
    is_page(laptop.page(), &sent[1..], None);
    Ok(())
}

pub(super) async fn a_new_device_may_bring_its_position(on: Arc<dyn Stores>) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let sent = world.send_many("alice", 4).await?;
    phone.ack(sent[3]).await?;
    let laptop = gateway
        .connect_since("alice", "laptop", Some(sent[0]))
        .await?;
    is_page(laptop.page(), &sent[1..], None);
    Ok(())
}

pub(super) async fn a_device_forgotten_for_long_is_told_what_it_missed(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let limits = Limits {
        device_ttl: SECOND,
        inbox_keep: 1,
        ..limits()
    };
    let world = World::new(&*on, limits).await?;
    let gateway = world.gateway("g").await?;
    let phone = gateway.connect("alice", "phone").await?;
    let laptop = gateway.connect("alice", "laptop").await?;
    let sent = world.send_many("alice", 4).await?;
    phone.ack(sent[0]).await?;
    phone.end().await?;
    world.advance(2 * SECOND + SECOND / 2).await;
    laptop.ack(sent[3]).await?;
    assert_eq!(cursors(&gateway.kept("alice").await?), sent[3..]);
    let phone = gateway.connect("alice", "phone").await?;
    is_page(phone.page(), &sent[3..], Some(Gap::Expired));
    Ok(())
}

pub(super) async fn what_is_sent_while_registering_is_in_the_page_or_told(
    on: Arc<dyn Stores>,
) -> Result<()> {
    let world = World::new(&*on, limits()).await?;
    let gateway = world.gateway("g").await?;
    let backend = Arc::clone(&world.other);
    let sending = tokio::spawn(async move {
        for _ in 0..60 {
            backend
                .send(&super::world::order("alice", 60 * SECOND)?)
                .await?;
        }
        anyhow::Ok(())
    });
    tokio::task::yield_now().await;
    let phone = gateway.connect("alice", "phone").await?;
    sending.await??;
    let last = world.send("alice").await?;
    let missed: usize = 61 - phone.cursors().len();
    let told = gateway.heard.inbox(&"alice".parse()?, missed).await?;
    let mut at = phone.page().end;
    for (prev, frame) in told {
        assert_eq!(prev, at, "continues the page");
        at = frame.cursor;
    }
    assert_eq!(at, last);
    Ok(())
}
