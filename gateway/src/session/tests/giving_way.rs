//! Subscriptions that came back by themselves give way to those that are asked for.

use carillon_common::protocol::ErrorCode;

use super::*;

const MOST: usize = 3;

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn kept(names: &[&str]) -> Vec<Subscription> {
    let kept = |name: &&str| Subscription {
        channel: channel(name),
        cursor: cursor(4),
    };
    names.iter().map(kept).collect()
}

fn desk(dialect: Dialect) -> Desk {
    let mut settings = Settings::default();
    settings.socket.channels = MOST;
    Desk::with(dialect, settings)
}

fn subscribe(desk: &mut Desk, name: &str) -> Said {
    let said = desk.client(&format!(
        "{{\"type\":\"subscribe\",\"channel\":\"{name}\"}}"
    ));
    desk.event(Event::Joined(channel(name), Ok(cursor(4))));
    said
}

/// The channels that the store is told to forget.
fn forgotten(said: &Said) -> Vec<&str> {
    let forgotten = said.calls.iter().filter_map(|call| match call {
        Call::Forget(_, channel) => Some(channel.as_str()),
        _ => None,
    });
    forgotten.collect()
}

#[test]
fn those_that_nothing_asked_for_leave_first_the_longest_unused_before_others() {
    let mut desk = desk(Dialect::Simple);
    desk.event(registered(empty_page(10)));
    subscribe(&mut desk, "new-1");
    let claimed = Claimed {
        subscriptions: kept(&["last", "middle", "first"]),
        others_hold: false,
    };
    let said = desk.event(Event::Claimed(claimed));
    assert_eq!(forgotten(&said), ["first"], "there is no room for it");
    assert!(said.notes.contains(&Note::GaveWay));

    let said = subscribe(&mut desk, "new-2");
    assert_eq!(forgotten(&said), ["middle"]);
    // What is asked for again stays.
    let said = subscribe(&mut desk, "last");
    assert!(matches!(said.calls[..], [Call::Keep { asked: true, .. }]));
    let said = subscribe(&mut desk, "new-3");
    assert_eq!(said.written[0]["code"], "too_many_channels");
    assert!(forgotten(&said).is_empty());
}

#[test]
fn a_v1_client_is_told_which_durable_one_left() {
    let mut desk = desk(Dialect::V1);
    let Event::Registered(Ok(mut registered)) = registered(empty_page(10)) else {
        unreachable!()
    };
    registered.subscriptions = kept(&["c", "b", "a"]);
    desk.event(Event::Registered(Ok(registered)));
    let said = subscribe(&mut desk, "new");
    assert_eq!(
        (
            said.types(),
            &said.written[0]["channel"],
            &said.written[0]["code"]
        ),
        (
            vec!["unsubscribed"],
            &"a".into(),
            &"too_many_channels".into()
        )
    );
    assert_eq!(forgotten(&said), ["a"]);
}

#[test]
fn a_durable_one_that_is_not_kept_ends_and_its_client_is_told() {
    let mut desk = desk(Dialect::V1);
    desk.event(registered(empty_page(10)));
    desk.client(r#"{"type":"subscribe","channel":"orders","durable":true}"#);
    let said = desk.event(Event::Joined(channel("orders"), Ok(cursor(4))));
    assert_eq!(said.types(), ["subscribed"]);
    let said = desk.event(Event::NotKept(channel("orders")));
    assert_eq!(said.types(), ["unsubscribed"]);
    assert_eq!(said.written[0]["code"], "too_many_channels");
    assert!(
        said.notes
            .contains(&Note::Refused(ErrorCode::TooManyChannels))
    );
    assert!(matches!(said.calls[0], Call::Leave(_)), "{said:?}");
    // It may be told twice, or of one that was left meanwhile.
    let said = desk.event(Event::NotKept(channel("orders")));
    assert!(said.types().is_empty() && said.calls.is_empty(), "{said:?}");
}

#[test]
fn a_simple_clients_one_that_is_not_kept_lasts_as_long_as_it_does() {
    let mut desk = desk(Dialect::Simple);
    desk.event(registered(empty_page(10)));
    subscribe(&mut desk, "orders");
    let said = desk.event(Event::NotKept(channel("orders")));
    assert!(said.types().is_empty() && said.calls.is_empty(), "{said:?}");
    assert!(said.closed.is_none());
}

#[test]
fn a_channel_that_is_left_before_it_was_joined_is_left_all_the_same() {
    let mut desk = Desk::live(Dialect::V1);
    desk.client(r#"{"type":"subscribe","channel":"orders"}"#);
    desk.client(r#"{"type":"unsubscribe","channel":"orders"}"#);
    let said = desk.event(Event::Joined(channel("orders"), Ok(cursor(4))));
    assert!(matches!(&said.calls[..], [Call::Leave(_)]), "{said:?}");
}
