//! Closes that are planned are told before; a connection that never begins is ended.

use super::{clock::LIVE_WITHIN, *};

fn drain(close_in: u64, code: CloseCode) -> Event {
    let close_in = Duration::from_secs(close_in);
    Event::Drain { close_in, code }
}

/// When a client moves that does as it is told: the earliest and the latest moment.
fn moves_within(said: &Said) -> (u64, u64) {
    let frame = said
        .written
        .iter()
        .find(|frame| frame["type"] == "reconnect")
        .unwrap_or_else(|| panic!("{said:?}"));
    let ms = |field: &str| frame[field].as_u64().unwrap();
    let (after, spread, deadline) = (ms("after_ms"), ms("spread_ms"), ms("deadline_ms"));
    assert!(after + spread < deadline, "{frame}");
    (after, after + spread)
}

#[test]
fn a_drain_announces_and_closes_each_in_its_own_words() {
    let mut desk = Desk::live(Dialect::V1);
    let said = desk.event(drain(100, CloseCode::Draining));
    assert_eq!(said.types(), ["reconnect"]);
    assert_eq!(moves_within(&said), (50_000, 90_000));
    let mut desk = Desk::live(Dialect::V1);
    desk.event(drain(5, CloseCode::Draining));
    assert_eq!(
        desk.wait(Duration::from_secs(5)).closed,
        Some(CloseCode::Draining)
    );
    let mut desk = Desk::live(Dialect::Simple);
    assert!(desk.event(drain(5, CloseCode::Draining)).written.is_empty());
    assert_eq!(
        desk.wait(Duration::from_secs(5)).closed,
        Some(CloseCode::Restart)
    );
}

#[test]
fn a_connections_age_ends_it_after_it_was_told() {
    let mut settings = Settings::default();
    settings.gateway.max_age = Duration::from_secs(20);
    settings.gateway.max_age_jitter = 0.0;
    for (dialect, code) in [
        (Dialect::V1, CloseCode::Rebalance),
        (Dialect::Simple, CloseCode::Restart),
    ] {
        let mut desk = Desk::with(dialect, settings.clone());
        desk.event(registered(empty_page(10)));
        assert!(desk.wait(Duration::from_millis(9_900)).written.is_empty());
        let next = desk.session.next_deadline(desk.now);
        let said = desk.wait(Duration::from_millis(100));
        if dialect == Dialect::V1 {
            assert_eq!(next, desk.now.mono);
            assert_eq!(said.written[0]["reason"], "rebalance");
            assert_eq!(moves_within(&said), (5_000, 9_000));
        } else {
            assert!(said.written.is_empty() && next > desk.now.mono);
        }
        // Once.
        assert!(desk.wait(Duration::from_secs(9)).written.is_empty());
        assert_eq!(desk.wait(Duration::from_secs(1)).closed, Some(code));
    }
}

#[test]
fn whoever_is_not_registered_yet_is_told_after_the_welcome() {
    let mut desk = Desk::open(Dialect::V1);
    assert!(
        desk.event(drain(60, CloseCode::Rebalance))
            .written
            .is_empty()
    );
    assert!(desk.session.next_deadline(desk.now) > desk.now.mono);
    let said = desk.event(registered(empty_page(10)));
    assert_eq!(said.types(), ["welcome", "replayed", "reconnect"]);
}

#[test]
fn the_earlier_of_two_planned_closes_counts() {
    let mut settings = Settings::default();
    settings.gateway.max_age = Duration::from_secs(1_000);
    let mut desk = Desk::with(Dialect::V1, settings);
    desk.event(registered(empty_page(10)));
    let said = desk.event(drain(60, CloseCode::Draining));
    assert_eq!(moves_within(&said), (30_000, 54_000));
    let said = desk.event(drain(90, CloseCode::Rebalance));
    assert!(said.written.is_empty(), "it goes before that: {said:?}");
}

#[test]
fn doubt_during_the_first_registration_is_not_forgotten() {
    let mut desk = Desk::open(Dialect::V1);
    assert!(desk.event(Event::Dirty).calls.is_empty());
    let said = desk.event(registered(page(10, 11..=11, false)));
    assert_eq!(said.types(), ["welcome", "replayed"]);
    let again = said.calls.iter().find_map(|call| match call {
        Call::Register(again) => Some((again.fence, again.since)),
        _ => None,
    });
    assert_eq!(again, Some((Some(1), Some(cursor(11)))));
    desk.event(registered(empty_page(11)));
    assert_eq!(desk.push(11, 12).ids(), ["12"]);
}

#[test]
fn a_connection_that_never_begins_is_ended_with_a_code_that_brings_it_back() {
    let mut desk = Desk::open(Dialect::V1);
    desk.now.mono += LIVE_WITHIN - Duration::from_secs(1);
    let closed = desk.wait(Duration::from_secs(1)).closed;
    assert_eq!(closed, Some(CloseCode::Overloaded));

    // Each page is progress; once it has caught up it waits for the store as long as that takes.
    let mut desk = Desk::open(Dialect::V1);
    let almost_too_long = |desk: &mut Desk| {
        desk.now.mono += LIVE_WITHIN - Duration::from_secs(1);
        desk.client(r#"{"type":"ping"}"#);
        let said = desk.wait(Duration::ZERO);
        assert_eq!(said.closed, None);
        said.pings.iter().for_each(|ping| drop(desk.pong(ping)));
    };
    almost_too_long(&mut desk);
    desk.event(registered(page(10, 11..=12, true)));
    almost_too_long(&mut desk);
    desk.event(Event::Page(page(12, 13..=13, false)));
    desk.event(Event::Dirty);
    for _ in 0..5 {
        almost_too_long(&mut desk);
    }
}
