//! The schemas of frames, held against what the code writes and reads.

use std::collections::BTreeSet;

use bytes::Bytes;
use carillon_common::backend::{Gap, ReadChange};
use carillon_common::ids::{ChannelName, Cursor, DeviceId, NotificationId, SessionId, UserId};
use carillon_common::notification::{Frame, Notification, rfc3339};
use carillon_common::protocol::{
    ClientFrame, ErrorCode, Ref, ServerFrame, SocketLimits, notification_simple, notification_v1,
    schema,
};
use carillon_tests::client::schemas::{By, Dialect, fault, kinds};
use carillon_tests::generate::{Generator, Wrong};
use serde_json::{Value, json, value::RawValue};

/// The kind of a frame as its type says; a new one does not compile until it is here.
fn kind(frame: &ServerFrame<'_>) -> &'static str {
    match frame {
        ServerFrame::Pong { .. } => "pong",
        ServerFrame::Subscribed { .. } => "subscribed",
        ServerFrame::Unsubscribed { .. } => "unsubscribed",
        ServerFrame::Welcome { .. } => "welcome",
        ServerFrame::Authenticated { .. } => "authenticated",
        ServerFrame::TokenExpiring { .. } => "token_expiring",
        ServerFrame::Replayed { .. } => "replayed",
        ServerFrame::Gap { .. } => "gap",
        ServerFrame::Error { .. } => "error",
        ServerFrame::Retracted { .. } => "retracted",
        ServerFrame::Changed { .. } => "changed",
        ServerFrame::Reconnect { .. } => "reconnect",
        ServerFrame::Disconnect { .. } => "disconnect",
    }
}

/// A mark as a client wrote it.
fn mark(text: &str) -> Ref {
    let frame = ClientFrame::parse(&format!(r#"{{"type":"ping","ref":{text}}}"#));
    frame.unwrap().reference.unwrap()
}

/// Everything that a frame's fields hold.
struct Parts {
    mark: Ref,
    channel: ChannelName,
    everyone: ChannelName,
    user: UserId,
    device: DeviceId,
    session: SessionId,
}

const IDS: [NotificationId; 1] = [NotificationId::nil()];

const CURSOR: Cursor = Cursor {
    seq: (1 << 53) - 1,
    nonce: u32::MAX,
};

/// Each kind with every field, and with those alone that it always has.
fn all(parts: &Parts) -> Vec<ServerFrame<'_>> {
    let (channel, time) = (&parts.channel, || rfc3339(0));
    let mut frames = Vec::new();
    for reference in [None, Some(&parts.mark)] {
        let is_full = reference.is_some();
        frames.extend([
            ServerFrame::Pong {
                timestamp: time(),
                reference,
            },
            ServerFrame::Authenticated {
                reference,
                expires_at: time(),
            },
            ServerFrame::Subscribed {
                channel,
                reference,
                cursor: Some(CURSOR),
                recovered: Some(is_full),
            },
            ServerFrame::Welcome {
                protocol: ServerFrame::PROTOCOL,
                session: &parts.session,
                user: &parts.user,
                device: is_full.then_some(&parts.device),
                cursor: Cursor::ZERO,
                recovered: is_full,
                ping_interval_ms: 25_000,
                token_expires_at: time(),
                limits: SocketLimits {
                    frame_bytes: 1,
                    channels: 1,
                    frames_per_second: 1,
                    inbox: 1,
                },
            },
        ]);
        let leavings = [
            None,
            Some(ErrorCode::ChannelForbidden),
            Some(ErrorCode::Removed),
            Some(ErrorCode::TooManyChannels),
        ];
        frames.extend(leavings.map(|code| ServerFrame::Unsubscribed {
            channel,
            reference,
            code,
        }));
        frames.extend(ErrorCode::ALL.iter().map(|code| ServerFrame::Error {
            reference,
            code: *code,
            message: "",
            retryable: code.is_retryable(),
            channel: is_full.then_some(channel),
        }));
    }
    frames.extend([
        ServerFrame::TokenExpiring { expires_at: time() },
        ServerFrame::Retracted { ids: &IDS },
        ReadChange::UpTo(CURSOR).into(),
        ReadChange::One {
            cursor: CURSOR,
            id: IDS[0],
        }
        .into(),
        ServerFrame::Replayed {
            cursor: CURSOR,
            count: 0,
        },
    ]);
    frames.extend(
        ["draining", "rebalance"].map(|reason| ServerFrame::Reconnect {
            reason,
            after_ms: 0,
            spread_ms: 0,
            deadline_ms: 0,
        }),
    );
    for place in [None, Some(channel), Some(&parts.everyone)] {
        let reasons = [Gap::Expired, Gap::Rewound, Gap::TooMany];
        frames.extend(reasons.map(|reason| ServerFrame::Gap {
            channel: place,
            reason,
            resume: CURSOR,
        }));
    }
    frames
}

fn parts() -> Parts {
    Parts {
        mark: mark("\"m\""),
        channel: ChannelName::new("private:team-7.eu").unwrap(),
        everyone: ChannelName::broadcast(),
        user: UserId::new("Ålice").unwrap(),
        device: DeviceId::new("phone").unwrap(),
        session: SessionId::new("tab").unwrap(),
    }
}

#[test]
fn what_gateways_write_is_described_and_what_is_described_is_written() {
    let parts = parts();
    let mut written = BTreeSet::from(["notification"]);
    for frame in all(&parts) {
        let value: Value = serde_json::from_str(&frame.encode()).unwrap();
        assert_eq!(value["type"], kind(&frame));
        assert_eq!(fault(Dialect::V1, By::Gateway, &value), None, "{value}");
        written.insert(kind(&frame));
    }
    let described: BTreeSet<_> = kinds(Dialect::V1, By::Gateway).into_iter().collect();
    assert_eq!(described, written);
    let last = ServerFrame::Disconnect {
        code: 4204,
        reason: "unacked",
        retry_ms: 0,
    };
    let value: Value = serde_json::from_str(&last.encode()).unwrap();
    assert_eq!(fault(Dialect::Events, By::Gateway, &value), None, "{value}");
    written.insert(kind(&last));
    let streamed: BTreeSet<_> = kinds(Dialect::Events, By::Gateway).into_iter().collect();
    assert!(streamed.contains("disconnect") && streamed.is_subset(&written));
    // The simple protocol's own, to the letter.
    let channel = &parts.channel;
    for frame in [
        ServerFrame::Pong {
            timestamp: rfc3339(0),
            reference: None,
        },
        ServerFrame::Subscribed {
            channel,
            reference: None,
            cursor: None,
            recovered: None,
        },
    ] {
        let value: Value = serde_json::from_str(&frame.encode()).unwrap();
        assert_eq!(fault(Dialect::Simple, By::Gateway, &value), None, "{value}");
        assert!(kinds(Dialect::Simple, By::Gateway).contains(&kind(&frame)));
    }
}

#[test]
fn notifications_are_described_in_both_dialects() {
    let parts = parts();
    let data = RawValue::from_string(r#"{"n":1.50}"#.to_owned()).unwrap();
    for (target_user, channel) in [
        (Some(&parts.user), None),
        (Some(&parts.user), Some(&parts.channel)),
        (None, Some(&parts.channel)),
        (None, None),
    ] {
        let notification = Notification {
            id: NotificationId::now_v7(),
            kind: "order.shipped",
            content: "",
            data: &data,
            timestamp: rfc3339(0),
            target_user,
            channel,
        };
        let body = notification.encode().unwrap();
        for cursor in [CURSOR, Cursor::ZERO] {
            let frame = Frame {
                cursor,
                id: notification.id,
                stored_at: 0,
                expires_at: 1,
                tombstone: false,
                trace: None,
                body: body.clone(),
            };
            let read = |text: Bytes| -> Value { serde_json::from_slice(&text).unwrap() };
            for replayed in [false, true] {
                let simple = read(notification_simple(&frame, replayed));
                let v1 = read(notification_v1(&frame, replayed));
                assert_eq!(
                    fault(Dialect::Simple, By::Gateway, &simple),
                    None,
                    "{simple}"
                );
                assert_eq!(fault(Dialect::V1, By::Gateway, &v1), None, "{v1}");
            }
        }
    }
}

/// What the schema takes is understood; what it refuses is refused, but for fields that are not known, which a later
/// version's clients may send.
#[test]
fn what_clients_may_send_is_what_is_read() {
    for dialect in [Dialect::Simple, Dialect::V1] {
        for described in schema::requests(dialect) {
            let document = json!({ "frame": described.schema });
            let mut generator = Generator::new(&document, 11);
            for _ in 0..100 {
                let frame = generator.right(&document["frame"]);
                assert_eq!(fault(dialect, By::Client, &frame), None, "{frame}");
                let read = ClientFrame::parse(&frame.to_string());
                assert!(read.is_ok(), "{frame}: {read:?}");
            }
            for Wrong { why, value } in generator.wrong(&document["frame"]) {
                assert!(
                    fault(dialect, By::Client, &value).is_some(),
                    "{why}: {value}"
                );
                let is_read = ClientFrame::parse(&value.to_string()).is_ok();
                assert_eq!(is_read, why == "an unknown field", "{why}: {value}");
            }
        }
    }
}
