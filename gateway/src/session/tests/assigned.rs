//! Channels that services put the user on.

use carillon_common::backend::Holder;

use super::*;

fn news() -> ChannelName {
    // The token does not allow it: that is no matter of the token's.
    ChannelName::new("private:news").unwrap()
}

fn on_news(since: Cursor) -> Subscription {
    Subscription {
        channel: news(),
        cursor: since,
    }
}

/// The answer to a registration that finds the user on these.
fn with(assigned: Vec<Subscription>) -> Event {
    let Event::Registered(Ok(answer)) = registered(empty_page(10)) else {
        unreachable!()
    };
    Event::Registered(Ok(Registered { assigned, ..answer }))
}

/// Where it says that it is on a channel, to whom it is kept.
fn kept(said: &Said) -> Vec<(Holder, Cursor, bool)> {
    let kept = said.calls.iter().filter_map(|call| match call {
        Call::Keep {
            holder,
            subscription,
            asked,
        } => Some((holder.clone(), subscription.cursor, *asked)),
        _ => None,
    });
    kept.collect()
}

fn joins(said: &Said) -> usize {
    let joins = said.calls.iter();
    joins.filter(|call| matches!(call, Call::Join(_))).count()
}

fn phone() -> Holder {
    Holder::Assigned(Device::Named(DeviceId::new("phone").unwrap()))
}

#[test]
fn a_connection_is_on_them_and_is_told_so_without_having_asked() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::open(dialect);
        let said = desk.event(with(vec![on_news(cursor(4))]));
        assert_eq!(joins(&said), 1, "{dialect:?}");
        let said = desk.event(Event::Joined(news(), Ok(cursor(4))));
        assert_eq!(said.types(), ["subscribed"]);
        assert_eq!(said.written[0]["channel"], "private:news");
        assert!(kept(&said).is_empty(), "the store has said where it is");
        assert_eq!(desk.channel_push(&news(), 5).ids(), ["5"]);
    }
}

#[test]
fn a_new_device_begins_now_and_that_is_kept() {
    let mut desk = Desk::open(Dialect::V1);
    desk.event(with(vec![on_news(Cursor::ZERO)]));
    let said = desk.event(Event::Joined(news(), Ok(cursor(9))));
    assert_eq!(said.types(), ["subscribed"], "nothing before is asked for");
    assert_eq!(kept(&said), [(phone(), cursor(9), false)]);
}

#[test]
fn where_a_device_is_on_them_outlives_its_connection() {
    let mut desk = Desk::open(Dialect::V1);
    desk.event(with(vec![on_news(cursor(4))]));
    desk.event(Event::Joined(news(), Ok(cursor(4))));
    desk.channel_push(&news(), 5);
    desk.ack(5);
    let closing = desk.session.close(false, false);
    assert_eq!(closing.kept, [(phone(), on_news(cursor(5)))]);
    assert!(closing.departure.unwrap().restorable.is_empty());
}

#[test]
fn who_is_put_on_one_while_connected_is_caught_up_from_there() {
    let mut desk = Desk::live(Dialect::V1);
    let said = desk.event(Event::Assigned(on_news(cursor(4))));
    assert_eq!(joins(&said), 1);
    let said = desk.event(Event::Joined(news(), Ok(cursor(6))));
    let read = |call: &Call| matches!(call, Call::History(_, after) if *after == cursor(4));
    assert!(said.calls.iter().any(read), "{said:?}");
    // Told again, it is on it already.
    assert_eq!(joins(&desk.event(Event::Assigned(on_news(cursor(4))))), 0);
}

#[test]
fn a_client_cannot_leave_one_and_a_new_token_does_not_end_it() {
    let mut desk = Desk::open(Dialect::V1);
    desk.event(with(vec![on_news(cursor(4))]));
    desk.event(Event::Joined(news(), Ok(cursor(4))));
    let said = desk.client(r#"{"type":"unsubscribe","channel":"private:news","ref":1}"#);
    assert_eq!(
        (&said.written[0]["code"], &said.written[0]["ref"]),
        (&"assigned".into(), &1.into())
    );
    let token = token("alice", &[]);
    let said = desk.client(&format!(r#"{{"type":"auth","token":"{token}"}}"#));
    assert_eq!(said.types(), ["authenticated"]);
    assert_eq!(desk.channel_push(&news(), 5).ids().len(), 1);
}

#[test]
fn they_count_against_no_limit_and_give_way_to_nothing() {
    let mut settings = Settings::default();
    settings.socket.channels = 1;
    let mut desk = Desk::with(Dialect::Simple, settings);
    desk.event(with(vec![on_news(cursor(4))]));
    desk.event(Event::Joined(news(), Ok(cursor(4))));
    for name in ["one", "two"] {
        let subscribe = format!(r#"{{"type":"subscribe","channel":"{name}"}}"#);
        let said = desk.client(&subscribe);
        assert_eq!(joins(&said), usize::from(name == "one"), "{said:?}");
    }
    assert_eq!(desk.channel_push(&news(), 5).ids().len(), 1);
}

#[test]
fn who_is_taken_off_leaves_it_whoever_had_asked_for_it() {
    let mut desk = Desk::live(Dialect::V1);
    desk.event(Event::Assigned(on_news(cursor(4))));
    desk.event(Event::Joined(news(), Ok(cursor(4))));
    desk.client(r#"{"type":"subscribe","channel":"orders"}"#);
    let orders = ChannelName::new("orders").unwrap();
    desk.event(Event::Joined(orders.clone(), Ok(cursor(4))));
    for channel in [news(), orders] {
        let said = desk.event(Event::Unassigned(channel.clone()));
        assert_eq!(said.types(), ["unsubscribed"]);
        assert_eq!(said.written[0]["code"], "removed");
        assert!(desk.channel_push(&channel, 5).ids().is_empty());
        assert!(desk.event(Event::Unassigned(channel)).written.is_empty());
    }
}

#[test]
fn what_is_told_while_it_registers_is_asked_for_after_it() {
    let registers = |said: &Said| {
        let calls = said.calls.iter();
        calls
            .filter(|call| matches!(call, Call::Register(_)))
            .count()
    };
    let mut desk = Desk::open(Dialect::V1);
    let said = desk.event(Event::Assigned(on_news(cursor(4))));
    assert_eq!((joins(&said), registers(&said)), (0, 0));
    let said = desk.event(with(Vec::new()));
    assert_eq!((joins(&said), registers(&said)), (0, 1));
    let said = desk.event(with(vec![on_news(cursor(4))]));
    assert_eq!((joins(&said), registers(&said)), (1, 0));
    // One that is on it no more, by an answer to what was asked after all that it was told.
    desk.event(Event::Joined(news(), Ok(cursor(4))));
    desk.event(Event::Dirty);
    let said = desk.event(with(Vec::new()));
    assert_eq!(said.written[0]["code"], "removed");

    let mut desk = Desk::open(Dialect::V1);
    let said = desk.event(Event::Unassigned(news()));
    assert_eq!(
        said.closed,
        Some(CloseCode::Disconnected),
        "the answer may be older"
    );
}
