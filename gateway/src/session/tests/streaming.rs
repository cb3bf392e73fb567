//! Sessions whose clients can only listen.

use super::*;

fn settings(unacked: u32) -> Settings {
    let mut settings = Settings::default();
    settings.sse.unacked = unacked;
    settings
}

/// A stream whose client comes with this id, and wants these channels.
fn opened(unacked: u32, id: Option<&str>, channels: &[&str]) -> Desk {
    let came_with: Option<EventId> = id.map(|id| id.parse().unwrap());
    let channel = |name: &&str| ChannelName::new(name).map_err(|error| error.to_string());
    let start = Start {
        since: came_with.as_ref().map(|id| id.inbox),
        broadcast: cursor(500),
        wanted: Some(Wanted {
            came_with,
            channels: channels.iter().map(channel).collect(),
        }),
    };
    Desk::starting(Dialect::Events, settings(unacked), start)
}

fn registered_at(page: Page, broadcast: u64) -> Event {
    let Event::Registered(Ok(mut answer)) = registered(page) else {
        unreachable!();
    };
    answer.broadcast = cursor(broadcast);
    Event::Registered(Ok(answer))
}

/// Registered with an empty inbox at position 10, and nothing missed of the broadcasts.
fn live(unacked: u32) -> Desk {
    let mut desk = opened(unacked, None, &[]);
    desk.event(registered_at(empty_page(10), 500));
    desk
}

impl Desk {
    /// Waits so long, a step after the other; what it closes with on the way.
    fn wait_by(&mut self, step: Duration, all: Duration) -> Option<CloseCode> {
        let until = self.now.mono + all;
        while self.now.mono < until {
            let closed = self.wait(step).closed;
            if closed.is_some() {
                return closed;
            }
        }
        None
    }
}

impl Said {
    /// Of each event that has one.
    fn event_ids(&self) -> Vec<&str> {
        self.marks.iter().map(|(_, id)| id.as_str()).collect()
    }

    /// The types, or ids, of events that say where the client is.
    fn marked(&self) -> Vec<&str> {
        let frames = self.marks.iter().map(|(at, _)| &self.written[*at]);
        frames
            .map(|frame| frame.get("id").unwrap_or(&frame["type"]))
            .filter_map(serde_json::Value::as_str)
            .collect()
    }
}

#[test]
fn each_event_says_where_its_client_is_then() {
    let mut desk = opened(64, None, &[]);
    let said = desk.event(registered_at(page(10, 11..=12, false), 500));
    assert_eq!(said.marked(), ["welcome", "11", "12", "replayed"]);
    assert_eq!(
        said.event_ids(),
        ["10-7.500-7", "11-7.500-7", "12-7.500-7", "12-7.500-7"]
    );
    let said = desk.channel_push(&ChannelName::broadcast(), 501);
    assert_eq!(said.event_ids(), ["12-7.501-7"]);
    let said = desk.push(12, 13);
    assert_eq!(said.event_ids(), ["13-7.501-7"]);
    // What is in no log moves nobody.
    desk.session.on_ephemeral(&push(13, 14), &mut desk.out);
    let said = desk.said();
    assert_eq!((said.ids(), said.event_ids().len()), (vec!["14"], 0));
}

#[test]
fn coming_back_is_the_ack() {
    let mut desk = opened(64, Some("12-7.490-7"), &[]);
    let said = desk.event(registered_at(empty_page(12), 480));
    assert_eq!(said.event_ids()[0], "12-7.490-7");
    // What was missed of the broadcasts is read from where the client is, not from where the store knew it to be.
    let history = said.calls.iter().any(
        |call| matches!(call, Call::History(channel, after) if channel.is_broadcast() && *after == cursor(490)),
    );
    assert!(history, "{:?}", said.calls);
    let within = Settings::default().socket.ack_interval;
    let said = desk.wait(within);
    assert_eq!(said.acked(), Some(cursor(12)));
    assert_eq!(said.reported(), Some(cursor(490)));
}

#[test]
fn a_position_that_the_store_does_not_know_acks_nothing() {
    let mut desk = opened(64, Some("12-9.490-7"), &[]);
    let mut unknown = empty_page(10);
    unknown.gap = Some(Gap::Rewound);
    let said = desk.event(registered_at(unknown, 500));
    assert!(said.types().contains(&"gap"), "{said:?}");
    let closing = desk.session.close(false, false);
    assert!(closing.ack.is_none());
}

#[test]
fn what_was_written_is_acked_by_nothing_on_its_stream() {
    let mut desk = live(64);
    assert_eq!(desk.push(10, 11).pings.len(), 0);
    let said = desk.wait(Duration::from_secs(30));
    assert_eq!(said.acked(), None);
    assert!(desk.session.close(true, false).ack.is_none());
}

#[test]
fn a_stream_that_holds_enough_ends_after_the_last_that_it_may_hold() {
    let mut desk = live(3);
    assert_eq!(desk.push(10, 11).closed, None);
    assert_eq!(desk.push(11, 12).closed, None);
    let said = desk.push(12, 13);
    assert_eq!(said.ids(), ["13"]);
    assert_eq!(said.closed, Some(CloseCode::Unacked));
}

#[test]
fn a_longer_page_is_cut_and_nothing_of_the_rest_is_counted() {
    let mut desk = opened(3, None, &[]);
    desk.session.on_event(
        registered_at(page(10, 11..=20, true), 500),
        desk.now,
        &mut desk.out,
    );
    assert_eq!(desk.out.closed(), Some(CloseCode::Unacked));
    let said = desk.said_before();
    assert_eq!(said.ids(), ["11", "12", "13"]);
    assert_eq!(said.event_ids().last(), Some(&"13-7.500-7"));
    assert_eq!(said.reads_after(), None);
    assert!(!said.types().contains(&"replayed"));
}

#[test]
fn a_stream_ends_for_one_that_is_unacked_for_long() {
    let mut desk = live(64);
    let interval = Settings::default().socket.ping_interval;
    // With nothing unacked it goes on.
    assert_eq!(desk.wait(interval).closed, None);
    desk.push(10, 11);
    let (begun, within) = (desk.now.mono, Settings::default().sse.unacked_for);
    let closed = desk.wait_by(interval, within.mul_f64(1.5));
    assert_eq!(closed, Some(CloseCode::Unacked));
    assert!(desk.now.mono - begun >= within / 2);
}

#[test]
fn a_heartbeat_is_all_that_it_is_pinged_with() {
    let mut desk = live(64);
    let interval = Settings::default().socket.ping_interval;
    for _ in 0..20 {
        let said = desk.wait(interval);
        assert_eq!(said.pings, [""]);
        assert_eq!(said.closed, None, "nobody answers a heartbeat");
    }
}

#[test]
fn one_channel_that_is_refused_keeps_no_other_out() {
    let mut desk = opened(64, None, &["private:else", "orders", "a b"]);
    let said = desk.event(registered_at(empty_page(10), 500));
    assert_eq!(said.types(), ["welcome", "error", "error", "replayed"]);
    assert_eq!(said.written[1]["code"], "channel_forbidden");
    assert_eq!(said.written[2]["code"], "invalid_channel");
    let joins = said
        .calls
        .iter()
        .filter(|call| matches!(call, Call::Join(_)));
    assert_eq!(joins.count(), 1);
    let orders = ChannelName::new("orders").unwrap();
    let said = desk.event(Event::Joined(orders.clone(), Ok(cursor(70))));
    assert_eq!(said.types(), ["subscribed"]);
    assert_eq!(said.event_ids(), ["10-7.500-7.325e96ec:70-7"]);
    let said = desk.channel_push(&orders, 71);
    assert_eq!(said.event_ids(), ["10-7.500-7.325e96ec:71-7"]);
    assert!(
        desk.session
            .close(false, false)
            .departure
            .unwrap()
            .restorable
            .is_empty()
    );
}

#[test]
fn a_channel_goes_on_from_where_its_client_is() {
    let mut desk = opened(64, Some("10-7.500-7.325e96ec:70-7"), &["orders"]);
    let said = desk.event(registered_at(empty_page(10), 500));
    // Before it is joined: who breaks off now must not lose its place.
    assert_eq!(said.event_ids()[0], "10-7.500-7.325e96ec:70-7");
    let orders = ChannelName::new("orders").unwrap();
    let said = desk.event(Event::Joined(orders.clone(), Ok(cursor(72))));
    let asked = |call: &Call| matches!(call, Call::History(_, after) if *after == cursor(70));
    assert!(said.calls.iter().any(asked), "{said:?}");
    let said = desk.event(Event::History(orders, page(70, 71..=72, false)));
    assert_eq!(said.marked(), ["subscribed", "71", "72"]);
    assert_eq!(said.event_ids().last(), Some(&"10-7.500-7.325e96ec:72-7"));
}

#[test]
fn a_channel_that_cannot_be_followed_ends_the_stream_with_its_place() {
    let mut desk = opened(64, Some("10-7.500-7.325e96ec:70-7"), &["orders"]);
    desk.event(registered_at(empty_page(10), 500));
    let orders = ChannelName::new("orders").unwrap();
    let lost = Err(BackendError::Unavailable("away".to_owned()));
    let said = desk.event(Event::Joined(orders, lost));
    assert_eq!(said.closed, Some(CloseCode::Overloaded));
    assert_eq!(said.types(), [""; 0]);
}

#[test]
fn a_gap_moves_the_client_past_it() {
    let mut desk = live(64);
    let mut told = empty_page(20);
    told.gap = Some(Gap::TooMany);
    let said = desk.event(Event::Page(told));
    assert_eq!(said.types()[0], "gap");
    assert_eq!(said.event_ids()[0], "20-7.500-7");
}

#[test]
fn a_planned_close_and_a_tokens_end_are_told() {
    let mut desk = live(64);
    let said = desk.event(Event::Drain {
        close_in: Duration::from_secs(20),
        code: CloseCode::Draining,
    });
    assert_eq!(said.types(), ["reconnect"]);
    assert_eq!(
        desk.wait(Duration::from_secs(20)).closed,
        Some(CloseCode::Draining)
    );

    let mut desk = live(64);
    let minute = Duration::from_secs(60);
    assert_eq!(desk.wait_by(minute / 2, minute * 8), None);
    let said = desk.wait(minute + Duration::from_secs(1));
    assert!(said.types().contains(&"token_expiring"), "{said:?}");
    let leeway = Settings::default().auth.leeway;
    let said = desk.wait(minute + leeway);
    assert_eq!(said.closed, Some(CloseCode::TokenExpired));
}
