//! What a client is known to have of channels and broadcasts, and of a long replay.

use super::*;

fn everyone() -> ChannelName {
    ChannelName::broadcast()
}

fn orders() -> ChannelName {
    ChannelName::new("orders").unwrap()
}

/// Where the device stands in the broadcasts when the connection breaks.
fn at_its_end(desk: Desk) -> u64 {
    let departure = desk.session.close(false, false).departure.unwrap();
    departure.broadcast.unwrap().seq
}

/// On the channel from position 20 on.
fn member(dialect: Dialect) -> Desk {
    let mut desk = Desk::live(dialect);
    let durable = r#"{"type":"subscribe","channel":"orders","durable":true}"#;
    desk.client(durable);
    let said = desk.event(Event::Joined(orders(), Ok(cursor(20))));
    assert!(matches!(said.calls[..], [Call::Keep { asked: true, .. }]));
    desk
}

#[test]
fn a_simple_client_is_asked_soon_after_broadcasts_and_not_after_each() {
    let mut desk = Desk::live(Dialect::Simple);
    for seq in 1..=3 {
        assert!(desk.channel_push(&everyone(), seq).pings.is_empty());
    }
    let soon = Duration::from_millis(70);
    let ping = desk.wait(soon).pings.remove(0);
    // Nothing more while it is under way, however much is written.
    assert!(desk.channel_push(&everyone(), 4).pings.is_empty());
    let later = desk.wait(Duration::from_secs(1));
    assert!(later.pings.is_empty());
    let next = desk.session.next_deadline(desk.now);
    assert!(next > desk.now.mono, "it would be woken again and again");
    // What came meanwhile is asked about next.
    assert_eq!(desk.pong(&ping).pings.len(), 1);
    assert_eq!(at_its_end(desk), 3);
}

#[test]
fn an_old_connection_is_asked_at_most_once_a_second() {
    let mut desk = Desk::live(Dialect::Simple);
    desk.wait(Duration::from_secs(10));
    let mut pings = 0;
    for seq in 1..=1_000 {
        let mut said = desk.channel_push(&everyone(), seq);
        said.pings
            .extend(desk.wait(Duration::from_millis(10)).pings);
        pings += said.pings.len();
        for ping in said.pings {
            assert!(desk.pong(&ping).pings.is_empty());
        }
    }
    assert!((7..=12).contains(&pings), "{pings} pings in ten seconds");
    assert!(at_its_end(desk) >= 860);
}

#[test]
fn of_broadcasts_alone_the_store_is_told_rarely_but_of_what_was_missed_soon() {
    let socket = Settings::default().socket;
    let mut desk = Desk::live(Dialect::Simple);
    desk.channel_push(&everyone(), 1);
    let ping = desk.wait(Duration::from_millis(70)).pings.remove(0);
    desk.pong(&ping);
    assert_eq!(desk.wait(socket.ack_interval).reported(), None);
    assert_eq!(desk.wait(socket.ping_interval).reported(), Some(cursor(1)));

    let mut desk = Desk::open(Dialect::Simple);
    let mut missed = empty_page(10);
    missed.end = cursor(10);
    let Event::Registered(Ok(mut registered)) = registered(missed) else {
        unreachable!()
    };
    registered.broadcast = cursor(5);
    let said = desk.event(Event::Registered(Ok(registered)));
    assert!(matches!(&said.calls[..], [Call::History(_, after)] if *after == cursor(5)));
    let mut said = desk.event(Event::History(everyone(), page(5, 6..=8, false)));
    assert_eq!(said.ids(), ["6", "7", "8"]);
    let ping = said.pings.remove(0);
    desk.pong(&ping);
    assert_eq!(desk.wait(socket.ack_interval).reported(), Some(cursor(8)));
}

#[test]
fn a_v1_device_has_of_broadcasts_and_channels_what_it_acked() {
    let mut desk = member(Dialect::V1);
    for seq in 1..=3 {
        desk.channel_push(&everyone(), seq);
        desk.channel_push(&orders(), 20 + seq);
    }
    for (seq, foreign) in [(2, false), (2, false), (4, true), (22, false), (24, true)] {
        let said = desk.ack(seq);
        let counted = said.notes.contains(&Note::ForeignAck);
        assert_eq!((counted, said.written.len()), (foreign, 0), "{seq}");
    }
    // A pong is no ack.
    let interval = Settings::default().socket.ping_interval;
    for _ in 0..3 {
        let ping = desk.wait(interval).pings.remove(0);
        desk.pong(&ping);
    }
    let closing = desk.session.close(false, true);
    let departure = closing.departure.unwrap();
    assert_eq!(departure.broadcast, Some(cursor(2)));
    assert!(departure.restorable.is_empty(), "these are the device's");
    assert_eq!(closing.kept[0].1.cursor, cursor(22));
}

#[test]
fn a_v1_client_that_never_acks_broadcasts_is_taken_at_its_pongs() {
    let mut desk = Desk::live(Dialect::V1);
    desk.channel_push(&everyone(), 1);
    let interval = Settings::default().socket.ping_interval;
    let ping = desk.wait(interval).pings.remove(0);
    desk.pong(&ping);
    desk.channel_push(&everyone(), 2);
    // It had the whole interval to ack the first one.
    let ping = desk.wait(interval).pings.remove(0);
    desk.pong(&ping);
    assert_eq!(at_its_end(desk), 1);
}

#[test]
fn where_a_channel_stands_is_told_now_and_then() {
    let interval = Settings::default().socket.ping_interval;
    let mut desk = member(Dialect::Simple);
    let mut kept = Vec::new();
    for seq in 21..=40 {
        let mut said = desk.channel_push(&orders(), seq);
        let mut later = desk.wait(interval / 10);
        said.pings.append(&mut later.pings);
        for ping in said.pings {
            for call in desk.pong(&ping).calls {
                if let Call::Keep {
                    subscription,
                    asked,
                    ..
                } = call
                {
                    assert!(!asked, "nobody asked");
                    kept.push(subscription.cursor.seq);
                }
            }
        }
    }
    assert!((1..=2).contains(&kept.len()), "{kept:?}");
    assert!(kept[0] >= 29, "{kept:?}");
}

#[test]
fn acks_of_what_was_written_are_no_flood_however_many() {
    let mut desk = Desk::open(Dialect::V1);
    desk.event(registered(page(10, 11..=510, false)));
    let mut told = Vec::new();
    for seq in 11..=510 {
        let said = desk.ack(seq);
        assert_eq!(said.closed, None, "{seq}");
        if let Some(acked) = said.acked() {
            told.push(acked);
            desk.event(Event::Acked);
        }
    }
    assert!(told.len() < 25, "gathered: {}", told.len());
    let interval = Settings::default().socket.ack_interval;
    told.extend(desk.wait(interval).acked());
    assert_eq!(told.last(), Some(&cursor(510)));
    // Those that move nothing are frames like any other.
    for again in [510, 4_000] {
        let mut desk = Desk::open(Dialect::V1);
        desk.event(registered(page(10, 11..=510, false)));
        desk.ack(510);
        let closed = (0..200).find_map(|_| desk.ack(again).closed);
        assert_eq!(closed, Some(CloseCode::RateLimited), "{again}");
    }
}

#[test]
fn hints_that_wait_do_not_keep_a_connection_from_catching_up() {
    let mut desk = Desk::open(Dialect::V1);
    // More than may wait, while the first page is under way and while each further one is.
    let mut next = 11;
    let mut hint = |desk: &mut Desk, count: u64| {
        for _ in 0..count {
            desk.push(next - 1, next);
            next += 1;
        }
        next - 1
    };
    let last = hint(&mut desk, 100);
    let said = desk.event(registered(page(10, 11..=last, false)));
    assert_eq!(said.reads_after(), Some(cursor(last)));
    let newest = hint(&mut desk, 10);
    let said = desk.event(Event::Page(page(last, last + 1..=newest, false)));
    assert_eq!((said.reads_after(), said.types()), (None, vec!["replayed"]));
    assert_eq!(desk.push(newest, newest + 1).ids().len(), 1);
}
