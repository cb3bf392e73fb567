//! What is written, read, acked and answered, and how a session ends.

use super::*;

#[test]
fn nothing_is_written_before_the_registration_and_hints_wait_for_it() {
    let mut desk = Desk::open(Dialect::V1);
    assert!(desk.push(12, 13).written.is_empty());
    let said = desk.event(registered(page(10, 11..=12, false)));
    assert_eq!(said.types(), ["welcome", "replayed"]);
    assert_eq!(said.ids(), ["11", "12", "13"]);
    assert_eq!(said.written[0]["cursor"], "10-7");
}

#[test]
fn a_hint_that_does_not_continue_makes_the_inbox_be_read() {
    let mut desk = Desk::live(Dialect::V1);
    assert_eq!(desk.push(10, 11).ids(), ["11"]);
    let said = desk.push(12, 13);
    assert_eq!(
        (said.ids().len(), said.reads_after()),
        (0, Some(cursor(11)))
    );
    // Another one meanwhile waits; one read is enough.
    assert_eq!(desk.push(13, 14).reads_after(), None);
    let said = desk.event(Event::Page(page(11, 12..=13, false)));
    assert_eq!(said.ids(), ["12", "13", "14"]);
    assert_eq!(desk.push(14, 15).ids(), ["15"]);
}

#[test]
fn a_history_that_went_back_is_found_and_told() {
    let mut desk = Desk::live(Dialect::V1);
    desk.push(10, 11);
    let other = Push::new(
        cursor(9),
        Frame {
            cursor: Cursor { seq: 10, nonce: 99 },
            ..frame(10)
        },
        None,
    );
    desk.session.on_push(&other, desk.now, &mut desk.out);
    assert_eq!(desk.said().reads_after(), Some(cursor(11)));
    let mut rewound = empty_page(9);
    rewound.gap = Some(Gap::Rewound);
    rewound.frames = vec![other.frame.clone()];
    rewound.end = other.frame.cursor;
    let said = desk.event(Event::Page(rewound));
    assert_eq!(said.types()[0], "gap");
    assert_eq!(said.ids(), ["10"]);
    assert_eq!(desk.session.position(), other.frame.cursor);
}

#[test]
fn a_repeated_hint_is_dropped() {
    let mut desk = Desk::live(Dialect::V1);
    desk.push(10, 11);
    let said = desk.push(10, 11);
    assert!(said.written.is_empty() && said.calls.is_empty());
}

#[test]
fn an_overflow_reads_the_inbox_and_one_during_a_read_reads_again() {
    let mut desk = Desk::live(Dialect::Simple);
    desk.session.on_overflow(&mut desk.out);
    assert_eq!(desk.said().reads_after(), Some(cursor(10)));
    desk.session.on_overflow(&mut desk.out);
    assert_eq!(desk.said().reads_after(), None);
    let said = desk.event(Event::Page(page(10, 11..=11, false)));
    assert_eq!(said.reads_after(), Some(cursor(11)));
}

#[test]
fn expired_notifications_are_passed_over_and_reported() {
    let mut desk = Desk::live(Dialect::V1);
    let mut old = frame(11);
    old.expires_at = WALL;
    desk.session
        .on_push(&Push::new(cursor(10), old, None), desk.now, &mut desk.out);
    let said = desk.said();
    assert!(said.written.is_empty());
    assert!(said.notes.contains(&Note::Expired));
    let interval = Settings::default().socket.ack_interval;
    let said = desk.wait(interval);
    let Some(Call::Ack(ack)) = said.calls.first() else {
        panic!("{said:?}")
    };
    assert_eq!(
        (ack.cursor, &ack.expired[..]),
        (cursor(11), &[cursor(11)][..])
    );
}

#[test]
fn a_simple_client_acks_by_its_pong() {
    let mut desk = Desk::live(Dialect::Simple);
    let said = desk.push(10, 11);
    assert_eq!(
        (said.ids(), &said.pings[..]),
        (vec!["11"], &["11-7".to_owned()][..])
    );
    // While the ping is under way no other is sent.
    assert!(desk.push(11, 12).pings.is_empty());
    desk.session.on_pong(b"9-9", desk.now, &mut desk.out);
    assert_eq!(desk.said().pings.len(), 0, "a forged pong means nothing");
    desk.session.on_pong(b"11-7", desk.now, &mut desk.out);
    assert_eq!(desk.said().pings, ["12-7"]);
    let interval = Settings::default().socket.ack_interval;
    assert_eq!(desk.wait(interval).acked(), Some(cursor(11)));
    desk.event(Event::Acked);
    desk.session.on_pong(b"12-7", desk.now, &mut desk.out);
    desk.said();
    assert_eq!(desk.wait(interval).acked(), Some(cursor(12)));
}

#[test]
fn only_cursors_written_here_can_be_acked() {
    let mut desk = Desk::live(Dialect::V1);
    desk.push(10, 11);
    desk.push(11, 12);
    for forged in ["13-7", "11-8", "5-7", "9007199254740991-1"] {
        let said = desk.client(&format!("{{\"type\":\"ack\",\"cursor\":\"{forged}\"}}"));
        assert!(said.notes.contains(&Note::ForeignAck), "{forged}");
    }
    desk.client(r#"{"type":"ack","cursor":"11-7"}"#);
    let interval = Settings::default().socket.ack_interval;
    assert_eq!(desk.wait(interval).acked(), Some(cursor(11)));
}

#[test]
fn many_acks_are_told_at_once() {
    let mut desk = Desk::live(Dialect::V1);
    let batch = Settings::default().socket.ack_batch as u64;
    for seq in 11..11 + batch {
        desk.push(seq - 1, seq);
    }
    let last = 10 + batch;
    let said = desk.client(&format!("{{\"type\":\"ack\",\"cursor\":\"{last}-7\"}}"));
    assert_eq!(said.acked(), Some(cursor(last)));
}

#[test]
fn doubt_registers_again_from_where_the_connection_stands() {
    let mut desk = Desk::live(Dialect::V1);
    desk.push(10, 11);
    let said = desk.event(Event::Dirty);
    let Some(Call::Register(again)) = said.calls.first() else {
        panic!("{said:?}")
    };
    assert_eq!((again.fence, again.since), (Some(1), Some(cursor(11))));
    let said = desk.event(registered(page(11, 12..=12, false)));
    assert_eq!((said.types(), said.ids()), (vec!["replayed"], vec!["12"]));
    let said = desk.event(Event::Registered(Err(BackendError::Replaced)));
    assert_eq!(said.closed, Some(CloseCode::Replaced));
}

#[test]
fn a_subscription_is_answered_once_it_stands() {
    let mut desk = Desk::live(Dialect::V1);
    let orders = ChannelName::new("orders").unwrap();
    let said = desk.client(r#"{"type":"subscribe","channel":"orders","ref":3,"since":"4-7"}"#);
    assert!(said.written.is_empty());
    assert!(matches!(&said.calls[..], [Call::Join(channel)] if *channel == orders));
    // Published meanwhile.
    let push = Arc::new(ChannelPush {
        channel: orders.clone(),
        push: push(6, 7),
    });
    desk.session.on_channel_push(&push, desk.now, &mut desk.out);
    assert!(desk.said().written.is_empty());
    let said = desk.event(Event::Joined(orders.clone(), Ok(cursor(6))));
    assert!(matches!(&said.calls[..], [Call::History(_, after)] if *after == cursor(4)));
    let said = desk.event(Event::History(orders, page(4, 5..=6, false)));
    assert_eq!(said.written[0]["type"], "subscribed");
    assert_eq!(
        (&said.written[0]["ref"], &said.written[0]["recovered"]),
        (&3.into(), &true.into())
    );
    assert_eq!(said.ids(), ["5", "6", "7"]);
}

#[test]
fn a_channel_needs_the_tokens_leave_and_loses_it_with_the_token() {
    let mut desk = Desk::live(Dialect::V1);
    let said = desk.client(r#"{"type":"subscribe","channel":"private:other","ref":1}"#);
    assert_eq!(said.written[0]["code"], "channel_forbidden");
    let team = ChannelName::new("private:team").unwrap();
    desk.client(r#"{"type":"subscribe","channel":"private:team"}"#);
    desk.event(Event::Joined(team, Ok(Cursor::ZERO)));
    let renew = |user, channels: &[&str]| {
        format!(
            "{{\"type\":\"auth\",\"token\":\"{}\"}}",
            token(user, channels)
        )
    };
    assert_eq!(
        desk.client(&renew("bob", &[])).written[0]["code"],
        "user_mismatch"
    );
    let said = desk.client(&renew("alice", &[]));
    assert_eq!(said.types(), ["authenticated", "unsubscribed"]);
    assert!(said.calls.iter().any(|call| matches!(call, Call::Leave(_))));
}

#[test]
fn a_simple_client_gets_back_what_its_ended_connection_was_on() {
    let mut desk = Desk::live(Dialect::Simple);
    let orders = ChannelName::new("orders").unwrap();
    let left = Subscription {
        channel: orders.clone(),
        cursor: cursor(4),
    };
    let secret = ChannelName::new("private:other").unwrap();
    let forbidden = Subscription {
        channel: secret,
        cursor: cursor(1),
    };
    let claimed = Claimed {
        subscriptions: vec![left, forbidden],
        others_hold: true,
    };
    let said = desk.event(Event::Claimed(claimed));
    assert!(matches!(&said.calls[..], [Call::Join(_), Call::Claim(again)] if !again.is_zero()));
    desk.event(Event::Joined(orders.clone(), Ok(cursor(5))));
    let said = desk.event(Event::History(orders, page(4, 5..=5, false)));
    assert_eq!(
        (said.types().len(), said.ids()),
        (0, vec!["5"]),
        "no subscribed frame"
    );
    assert!(
        !said
            .calls
            .iter()
            .any(|call| matches!(call, Call::Keep { .. })),
        "the store has it: {said:?}"
    );
}

#[test]
fn floods_silence_and_old_tokens_end_it() {
    let mut desk = Desk::live(Dialect::V1);
    let flooded = (0..200).find_map(|_| desk.client(r#"{"type":"ping"}"#).closed);
    assert_eq!(flooded, Some(CloseCode::RateLimited));

    let mut desk = Desk::live(Dialect::V1);
    let socket = Settings::default().socket;
    assert_eq!(desk.wait(socket.ping_interval).pings.len(), 1);
    assert_eq!(desk.wait(socket.pong_timeout).closed, Some(CloseCode::Idle));

    let mut desk = Desk::live(Dialect::V1);
    desk.now.wall += 545_000;
    assert_eq!(desk.wait(Duration::ZERO).types(), ["token_expiring"]);
    desk.now.wall += 90_000;
    assert_eq!(
        desk.wait(Duration::ZERO).closed,
        Some(CloseCode::TokenExpired)
    );
}

#[test]
fn a_pong_that_was_due_before_a_gap_still_shows_life() {
    let mut desk = Desk::live(Dialect::Simple);
    let ping = desk.push(10, 11).pings.remove(0);
    let mut rewound = empty_page(9);
    rewound.gap = Some(Gap::Rewound);
    desk.event(Event::Page(rewound));
    desk.session
        .on_pong(ping.as_bytes(), desk.now, &mut desk.out);
    assert_eq!(desk.said().acked(), None);
    let due = Settings::default().socket.pong_timeout;
    assert_eq!(desk.wait(due).closed, None);
}

#[test]
fn an_answered_close_confirms_what_was_written() {
    let mut desk = Desk::live(Dialect::Simple);
    desk.push(10, 11);
    let closing = desk.session.close(false, true);
    assert_eq!(closing.ack.map(|ack| ack.cursor), Some(cursor(11)));
    let mut desk = Desk::live(Dialect::Simple);
    desk.push(10, 11);
    assert!(desk.session.close(true, false).ack.is_none());
}

#[test]
fn a_connection_beyond_the_users_limit_is_told_so() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        let mut desk = Desk::open(dialect);
        let said = desk.event(Event::Registered(Err(BackendError::TooManyConnections)));
        assert_eq!(said.closed, Some(CloseCode::TooManyConnections));
    }
}

#[test]
fn a_session_that_another_connection_took_is_the_stores_to_give() {
    let mut desk = Desk::live(Dialect::V1);
    let said = desk.event(Event::Contested);
    assert!(matches!(&said.calls[..], [Call::Contest(again)] if again.fence == Some(1)));
    let said = desk.event(Event::Registered(Err(BackendError::Replaced)));
    assert_eq!(said.closed, Some(CloseCode::Replaced));
}

fn retracted(desk: &mut Desk, seq: u64) -> Said {
    let id = NotificationId::from_u128(seq.into());
    desk.session.on_retracted(cursor(seq), id, &mut desk.out);
    desk.said()
}

#[test]
fn a_client_that_may_show_it_is_told_that_it_was_taken_back() {
    let mut desk = Desk::live(Dialect::V1);
    desk.push(10, 11);
    let said = retracted(&mut desk, 11);
    assert_eq!(said.types(), ["retracted"]);
    assert_eq!(
        said.written[0]["ids"][0],
        NotificationId::from_u128(11).to_string()
    );
    assert!(said.calls.is_empty());
    let mut simple = Desk::live(Dialect::Simple);
    simple.push(10, 11);
    assert!(retracted(&mut simple, 11).written.is_empty());
}

#[test]
fn what_was_taken_back_meanwhile_is_not_written_any_more() {
    for dialect in [Dialect::V1, Dialect::Simple] {
        // The page was read before 12 was taken back; 14 waits for the page.
        let mut desk = Desk::open(dialect);
        desk.push(13, 14);
        assert!(retracted(&mut desk, 12).written.is_empty());
        assert!(retracted(&mut desk, 14).written.is_empty());
        let said = desk.event(registered(page(10, 11..=13, false)));
        assert_eq!(said.ids(), ["11", "13"]);
        let told: Vec<_> = said.types();
        match dialect {
            Dialect::V1 => assert_eq!(told, ["welcome", "retracted", "replayed"]),
            _ => assert!(told.is_empty(), "{told:?}"),
        }
        assert_eq!(desk.session.position(), cursor(14), "the chain is whole");
        assert_eq!(desk.push(14, 15).ids(), ["15"]);
        // Once it has caught up, each is told at once.
        let again = retracted(&mut desk, 15).types().len();
        assert_eq!(again, usize::from(dialect.tells()));
    }
}

#[test]
fn more_retractions_than_are_remembered_make_the_inbox_be_read_again() {
    let mut desk = Desk::open(Dialect::V1);
    for seq in 100..200 {
        retracted(&mut desk, seq);
    }
    let said = desk.event(registered(page(10, 11..=12, false)));
    assert_eq!(said.reads_after(), Some(cursor(12)));
    let said = desk.event(Event::Page(empty_page(12)));
    let told = said.written.iter().find(|it| it["type"] == "retracted");
    assert_eq!(told.unwrap()["ids"].as_array().unwrap().len(), 64);
}
