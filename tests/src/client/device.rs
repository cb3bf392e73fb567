//! The device's side of `carillon.v1`: what it remembers, says and does about the end of a
//! connection. Pure: no sockets here.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use carillon_common::retry;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::{Dialect, Next, Reaction};
use super::record::{Received, Record};
use super::socket::{Handshake, TokenIn};
use super::v1::{Acks, V1Options};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The device's side of the protocol.
pub(super) struct Device {
    options: V1Options,
    /// Ends and attempts in a row since a connection opened.
    failures: usize,
    known: HashSet<String>,
    session: Option<String>,
    /// The position in the inbox.
    cursor: Option<String>,
    /// The channels joined and the position in each; durable ones are the server's to remember.
    channels: BTreeMap<String, Option<String>>,
    unacked: Unacked,
}

/// What this connection has written and the client has not acked, of the inbox and each log.
#[derive(Default)]
struct Unacked {
    count: usize,
    /// The newest of each: of whose inbox, or which channel.
    cursors: BTreeMap<(bool, Option<String>), String>,
    due: Option<Instant>,
}

impl Device {
    pub(super) fn new(options: V1Options) -> Self {
        Self {
            failures: 0,
            known: HashSet::new(),
            session: None,
            cursor: options.since.clone(),
            channels: BTreeMap::new(),
            unacked: Unacked::default(),
            options,
        }
    }

    fn on_notification(&mut self, received: Received, record: &mut Record) -> Vec<Value> {
        let cursor = received.cursor.clone();
        if let Some(cursor) = cursor.clone() {
            let personal = received.target_user.is_some();
            let log = (personal, received.channel.clone().filter(|_| !personal));
            self.note_unacked(log, cursor);
        }
        if received.target_user.is_some() {
            self.cursor = cursor.or(self.cursor.take());
        } else if let Some(channel) = received.channel.as_ref()
            && let Some(position) = self.channels.get_mut(channel)
        {
            *position = cursor.or(position.take());
        }
        if self.known.insert(received.id.clone()) {
            record.notifications.push(received);
        } else {
            record.duplicates += 1;
        }
        match self.options.acks {
            Acks::Coalesced { count, .. } if self.unacked.count >= count => self.ack(),
            _ => Vec::new(),
        }
    }

    fn note_unacked(&mut self, log: (bool, Option<String>), cursor: String) {
        if let Acks::Coalesced { within, .. } = self.options.acks {
            self.unacked.count += 1;
            self.unacked.cursors.insert(log, cursor);
            self.unacked
                .due
                .get_or_insert_with(|| Instant::now() + within);
        }
    }

    fn ack(&mut self) -> Vec<Value> {
        let cursors = std::mem::take(&mut self.unacked).cursors.into_values();
        cursors
            .map(|cursor| json!({ "type": "ack", "cursor": cursor }))
            .collect()
    }

    fn on_control(&mut self, frame: &Value) -> Reaction {
        let text = |field: &str| frame[field].as_str().map(str::to_owned);
        match frame["type"].as_str() {
            Some("welcome") => {
                self.session = text("session");
                self.cursor = self.cursor.take().or(text("cursor"));
            }
            Some("subscribed") => {
                let position = text("channel").and_then(|name| self.channels.get_mut(&name));
                if let Some(position) = position {
                    *position = position.take().or(text("cursor"));
                }
            }
            Some("gap") => self.on_gap(text("channel"), text("resume")),
            Some("token_expiring") => {
                let token = (self.options.token)();
                let send = vec![json!({ "type": "auth", "token": token })];
                return Reaction {
                    send,
                    leave_in: None,
                };
            }
            Some("reconnect") => {
                let after = frame["after_ms"].as_f64().unwrap_or(0.0);
                let spread = frame["spread_ms"].as_f64().unwrap_or(0.0) * rand::random::<f64>();
                let wait = (after + spread) / 1_000.0 * self.options.time_factor;
                let leave_in = Some(Duration::from_secs_f64(wait));
                return Reaction {
                    send: Vec::new(),
                    leave_in,
                };
            }
            _ => {}
        }
        Reaction::default()
    }

    fn pause(&mut self) -> Duration {
        let scaled = |pause: Duration| pause.mul_f64(self.options.time_factor);
        let mut pauses = retry::pauses(scaled(FIRST_PAUSE), scaled(LONGEST_PAUSE));
        let pause = pauses.nth(self.failures);
        self.failures += 1;
        pause.unwrap_or_default()
    }

    fn on_gap(&mut self, channel: Option<String>, resume: Option<String>) {
        match channel {
            None => self.cursor = resume,
            Some(name) => {
                if let Some(position) = self.channels.get_mut(&name) {
                    *position = resume;
                }
            }
        }
    }
}

impl Dialect for Device {
    fn handshake(&mut self, gateway: &str) -> Handshake {
        Handshake::to(gateway)
            .protocol("carillon.v1")
            .token(self.options.token_in, &(self.options.token)())
            .query("device", &self.options.device)
            .query_opt("session", self.session.as_deref())
            .query_opt("since", self.cursor.as_deref())
    }

    fn on_open(&mut self) -> Vec<Value> {
        self.failures = 0;
        // Only positions written on this connection may be acked on it.
        self.unacked = Unacked::default();
        let auth = (self.options.token_in == TokenIn::FirstFrame)
            .then(|| json!({ "type": "auth", "token": (self.options.token)() }));
        let again = self.channels.iter().map(|(channel, since)| match since {
            Some(since) => json!({ "type": "subscribe", "channel": channel, "since": since }),
            None => json!({ "type": "subscribe", "channel": channel }),
        });
        auth.into_iter().chain(again).collect()
    }

    fn on_frame(&mut self, frame: Value, record: &mut Record) -> Reaction {
        if let Some(received) = Received::read(&frame) {
            let send = self.on_notification(received, record);
            return Reaction {
                send,
                leave_in: None,
            };
        }
        let reaction = self.on_control(&frame);
        if frame["type"] != "pong" {
            record.control.push(frame);
        }
        reaction
    }

    fn on_order(&mut self, frame: &Value) {
        let Some(channel) = frame["channel"].as_str() else {
            return;
        };
        match frame["type"].as_str() {
            Some("subscribe") if frame["durable"] != true => {
                self.channels.insert(channel.to_owned(), None);
            }
            Some("unsubscribe") => drop(self.channels.remove(channel)),
            _ => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        self.unacked.due
    }

    fn on_due(&mut self) -> Vec<Value> {
        self.ack()
    }

    fn on_end(&mut self, code: Option<u16>) -> Next {
        match code {
            // Who can read 4008 is there again.
            Some(code @ 4000..=4099) if code != 4008 => Next::GiveUp,
            Some(4200..=4299) => {
                let jitter = Duration::from_millis(rand::random_range(0..1_000));
                Next::Retry(jitter.mul_f64(self.options.time_factor))
            }
            _ => Next::Retry(self.pause()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> (Device, Record) {
        let mut options = V1Options::new("t", "phone");
        options.acks = Acks::Coalesced {
            count: 2,
            within: Duration::from_secs(1),
        };
        (Device::new(options), Record::default())
    }

    fn personal(n: u32) -> Value {
        let cursor = format!("{n}-x");
        json!({ "id": format!("id{n}"), "type": "t", "target_user": "u", "cursor": cursor })
    }

    fn in_channel(n: u32) -> Value {
        let (id, cursor) = (format!("c{n}"), format!("{n}-c"));
        json!({ "id": id, "type": "t", "target_user": null, "channel": "news", "cursor": cursor })
    }

    #[tokio::test]
    async fn acks_by_count_or_when_due() {
        let (mut device, mut record) = device();
        assert_eq!(
            device.on_frame(personal(1), &mut record),
            Reaction::default()
        );
        assert!(device.due().is_some());
        let ack = |n: &str| vec![json!({ "type": "ack", "cursor": n })];
        assert_eq!(device.on_frame(personal(2), &mut record).send, ack("2-x"));
        assert_eq!((device.due(), device.on_due()), (None, vec![]));
        device.on_frame(personal(3), &mut record);
        assert_eq!(device.on_due(), ack("3-x"));

        device.on_frame(personal(4), &mut record);
        device.on_open();
        assert_eq!(
            device.on_due(),
            Vec::<Value>::new(),
            "an ack of another connection's"
        );
    }

    #[tokio::test]
    async fn acks_each_log_by_its_newest() {
        let (mut device, mut record) = device();
        device.on_frame(in_channel(7), &mut record);
        let acks = ["7-c", "1-x"].map(|cursor| json!({ "type": "ack", "cursor": cursor }));
        assert_eq!(device.on_frame(personal(1), &mut record).send, acks);
        device.on_frame(in_channel(7), &mut record);
        assert_eq!(device.on_due(), acks[..1]);
    }

    #[tokio::test]
    async fn gives_each_notification_to_the_application_once() {
        let (mut device, mut record) = device();
        for n in [1, 2, 1, 2, 3] {
            device.on_frame(personal(n), &mut record);
        }
        assert_eq!(record.ids().collect::<Vec<_>>(), ["id1", "id2", "id3"]);
        assert_eq!(record.duplicates, 2);
    }

    #[tokio::test]
    async fn resumes_inbox_and_channels_where_it_was() {
        let (mut device, mut record) = device();
        let subscribe = json!({ "type": "subscribe", "channel": "news" });
        device.on_order(&subscribe);
        assert_eq!(device.on_open(), [subscribe]);
        device.on_frame(
            json!({ "type": "subscribed", "channel": "news", "cursor": "5-c" }),
            &mut record,
        );
        device.on_frame(in_channel(6), &mut record);
        device.on_frame(personal(1), &mut record);
        let since = json!({ "type": "subscribe", "channel": "news", "since": "6-c" });
        assert_eq!(device.on_open(), [since]);
        let asked = format!("{:?}", device.handshake("ws://x"));
        assert!(asked.contains(r#"("since", "1-x")"#), "{asked}");

        device.on_frame(
            json!({ "type": "gap", "channel": null, "resume": "9-y" }),
            &mut record,
        );
        let asked = format!("{:?}", device.handshake("ws://x"));
        assert!(asked.contains(r#"("since", "9-y")"#), "{asked}");
    }

    #[test]
    fn close_codes_say_whether_to_come_back() {
        let (mut device, _) = device();
        assert_eq!(device.on_end(Some(4001)), Next::GiveUp);
        for (code, pauses) in [
            (4100, 0.5..=1.0),
            (1006, 1.0..=2.0),
            (4008, 2.0..=4.0),
            (4200, 0.0..=1.0),
        ] {
            let Next::Retry(pause) = device.on_end(Some(code)) else {
                panic!("gave up")
            };
            assert!(pauses.contains(&pause.as_secs_f64()), "{code}: {pause:?}");
        }
    }

    #[test]
    fn a_reconnect_frame_is_followed_within_its_spread() {
        let (mut device, mut record) = device();
        let frame = json!({ "type": "reconnect", "after_ms": 1_000, "spread_ms": 2_000 });
        let leave_in = device.on_frame(frame, &mut record).leave_in.unwrap();
        assert!(
            (1.0..=3.0).contains(&leave_in.as_secs_f64()),
            "{leave_in:?}"
        );
    }
}
