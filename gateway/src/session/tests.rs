//! The rules of delivery, without a socket, a store or a clock.

use std::time::Duration;

use bytes::Bytes;
use carillon_common::{
    auth::Keyring,
    backend::{BackendError, Claimed, Device, Gap, Page, Registered, Subscription},
    ids::{ChannelName, DeviceId, NotificationId, SessionId, UserId},
    notification::Frame,
    protocol::CloseCode,
    settings::{IssuerSettings, Settings},
};

use super::*;
use crate::push::{ChannelPush, Push};

mod assigned;
mod confirming;
mod delivery;
mod disconnected;
mod giving_way;
mod planned;
mod revoked;
mod streaming;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const WALL: Millis = 1_767_225_600_000;

/// A session and the time it lives in.
struct Desk {
    session: Session,
    now: Now,
    out: Out,
}

fn cursor(seq: u64) -> Cursor {
    Cursor { seq, nonce: 7 }
}

fn frame(seq: u64) -> Frame {
    Frame {
        cursor: cursor(seq),
        id: NotificationId::from_u128(seq.into()),
        stored_at: WALL,
        expires_at: WALL + 3_600_000,
        tombstone: false,
        trace: None,
        body: Bytes::from(format!("{{\"id\":\"{seq}\"}}")),
    }
}

fn push(prev: u64, seq: u64) -> Arc<Push> {
    Push::new(cursor(prev), frame(seq), None)
}

fn page(start: u64, seqs: std::ops::RangeInclusive<u64>, more: bool) -> Page {
    let frames: Vec<Frame> = seqs.map(frame).collect();
    let end = frames.last().map_or(cursor(start), |frame| frame.cursor);
    Page {
        start: cursor(start),
        frames,
        end,
        more,
        gap: None,
    }
}

fn empty_page(start: u64) -> Page {
    Page {
        start: cursor(start),
        frames: Vec::new(),
        end: cursor(start),
        more: false,
        gap: None,
    }
}

fn registered(page: Page) -> Event {
    let broadcast = Cursor::ZERO;
    Event::Registered(Ok(Registered {
        fence: 1,
        page,
        broadcast,
        subscriptions: Vec::new(),
        claimable: false,
        assigned: Vec::new(),
        forgotten: 0,
    }))
}

impl Desk {
    fn open(dialect: Dialect) -> Self {
        Self::with(dialect, Settings::default())
    }

    fn with(dialect: Dialect, settings: Settings) -> Self {
        Self::starting(dialect, settings, Start::default())
    }

    fn starting(dialect: Dialect, mut settings: Settings, start: Start) -> Self {
        settings.auth.issuers = vec![IssuerSettings::hs256("test", SECRET)];
        let keyring = Keyring::new(settings.auth.credentials().unwrap());
        let rules = Arc::new(Rules::new(settings, keyring.clone()));
        let claims = keyring
            .current()
            .verifier
            .verify(&token("alice", &["private:team"]), WALL)
            .unwrap();
        let identity = Identity {
            user: UserId::new("alice").unwrap(),
            device: Device::Named(DeviceId::new("phone").unwrap()),
            session: SessionId::new("s1").unwrap(),
            dialect,
            opened: WALL,
        };
        let now = Now {
            mono: Instant::now(),
            wall: WALL,
        };
        let mut out = Out::default();
        let session = Session::open(rules, identity, claims, start, now, &mut out);
        let asked: Vec<_> = std::mem::take(&mut out).into_iter().collect();
        assert!(matches!(&asked[..], [Effect::Ask(call)] if matches!(**call, Call::Register(_))));
        Self { session, now, out }
    }

    /// Registered with an empty page at position 10.
    fn live(dialect: Dialect) -> Self {
        let mut desk = Self::open(dialect);
        desk.event(registered(empty_page(10)));
        desk
    }

    fn event(&mut self, event: Event) -> Said {
        self.session.on_event(event, self.now, &mut self.out);
        self.said()
    }

    fn push(&mut self, prev: u64, seq: u64) -> Said {
        self.session
            .on_push(&push(prev, seq), self.now, &mut self.out);
        self.said()
    }

    /// A notification to everyone, or on a channel.
    fn channel_push(&mut self, channel: &ChannelName, seq: u64) -> Said {
        let push = Arc::new(ChannelPush {
            channel: channel.clone(),
            push: push(seq - 1, seq),
        });
        self.session.on_channel_push(&push, self.now, &mut self.out);
        self.said()
    }

    fn ack(&mut self, seq: u64) -> Said {
        self.client(&format!("{{\"type\":\"ack\",\"cursor\":\"{seq}-7\"}}"))
    }

    fn pong(&mut self, payload: &str) -> Said {
        self.session
            .on_pong(payload.as_bytes(), self.now, &mut self.out);
        self.said()
    }

    fn client(&mut self, text: &str) -> Said {
        self.session.on_client(text, self.now, &mut self.out);
        self.said()
    }

    fn wait(&mut self, duration: Duration) -> Said {
        self.now.mono += duration;
        self.now.wall += i64::try_from(duration.as_millis()).unwrap();
        self.session.on_deadline(self.now, &mut self.out);
        self.said()
    }

    fn said(&mut self) -> Said {
        self.session.after_writing(self.now, &mut self.out);
        self.said_before()
    }

    /// Without what follows all that a wake-up brings.
    fn said_before(&mut self) -> Said {
        let mut said = Said::default();
        for effect in std::mem::take(&mut self.out) {
            match effect {
                Effect::Write(text) => said.written.push(serde_json::from_str(&text).unwrap()),
                Effect::Control(kind, text) => {
                    let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(frame["type"], kind);
                    said.written.push(frame);
                }
                Effect::Position(id) => said.marks.push((said.written.len(), id.into())),
                Effect::Ping(payload) => said.pings.push(payload),
                Effect::Ask(call) => said.calls.push(*call),
                Effect::Reason(reason) => panic!("nobody was disconnected here: {reason}"),
                Effect::Close(code) => said.closed = Some(code),
                Effect::Note(note) => said.notes.push(note),
                Effect::Traced(traced) => panic!("nothing is traced here: {traced:?}"),
            }
        }
        said
    }
}

/// What came out of a session.
#[derive(Debug, Default)]
struct Said {
    written: Vec<serde_json::Value>,
    /// Which of them have an id, and what it is.
    marks: Vec<(usize, String)>,
    pings: Vec<String>,
    calls: Vec<Call>,
    closed: Option<CloseCode>,
    notes: Vec<Note>,
}

impl Said {
    /// The notifications written, by id.
    fn ids(&self) -> Vec<&str> {
        self.written
            .iter()
            .filter_map(|frame| frame["id"].as_str())
            .collect()
    }

    /// The control frames written, by type.
    fn types(&self) -> Vec<&str> {
        self.written
            .iter()
            .filter_map(|frame| frame["type"].as_str())
            .collect()
    }

    fn reads_after(&self) -> Option<Cursor> {
        self.calls.iter().find_map(|call| match call {
            Call::Read(after) => Some(*after),
            _ => None,
        })
    }

    /// Where it is reported that the device stands in the broadcasts.
    fn reported(&self) -> Option<Cursor> {
        self.calls.iter().find_map(|call| match call {
            Call::Ack(ack) => ack.broadcast,
            _ => None,
        })
    }

    fn acked(&self) -> Option<Cursor> {
        self.calls.iter().find_map(|call| match call {
            Call::Ack(ack) => Some(ack.cursor),
            _ => None,
        })
    }
}

fn token(user: &str, channels: &[&str]) -> String {
    let issuer = IssuerSettings::hs256("test", SECRET);
    let exp = WALL / 1_000 + 600;
    let new = carillon_common::auth::NewToken {
        sub: user,
        exp,
        iat: None,
        nbf: None,
        jti: None,
        channels,
    };
    carillon_common::auth::mint(&issuer, &new).unwrap()
}
