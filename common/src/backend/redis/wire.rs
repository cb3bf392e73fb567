//! The text of frames in an inbox and of hints on the bus, as carillon_3 writes them.

use bytes::Bytes;

use super::version;
use crate::{
    backend::{BusEvent, Device, Presence, ReadChange, Subscription},
    ids::{ChannelName, Cursor, DeviceId, GatewayId, SessionId, UserId},
    notification::Frame,
};

/// Published to a gateway after a control message was left for it.
pub(super) const CONTROL_HINT: &str = "X1|0|0|";

/// Reads `1|cursor|id|stored|expires|flag|body`. The flag of what is to be delivered is `n`, and the span of
/// its sender where that is traced; one that cannot be read is none.
pub fn frame(text: &Bytes) -> Option<Frame> {
    let mut at = 0;
    let mut field = || {
        let length = text[at..].iter().position(|byte| *byte == b'|')?;
        let field = std::str::from_utf8(&text[at..at + length]).ok()?;
        at += length + 1;
        Some(field)
    };
    if !version::is_readable(field()?) {
        return None;
    }
    let cursor = field()?.parse().ok()?;
    let id = field()?.parse().ok()?;
    let stored_at = field()?.parse().ok()?;
    let expires_at = field()?.parse().ok()?;
    let flag = field()?;
    let tombstone = flag == "t";
    let traced = flag.strip_prefix('n').filter(|it| !it.is_empty());
    let trace = traced.and_then(|it| it.parse().ok()).map(Box::new);
    let body = text.slice(at..);
    std::str::from_utf8(&body).ok()?;
    Some(Frame {
        cursor,
        id,
        stored_at,
        expires_at,
        tombstone,
        trace,
        body,
    })
}

/// Reads a hint: its kind and version, a position, a name with its length before it, the rest.
pub fn hint(text: &Bytes) -> Option<BusEvent> {
    let mut parts = text.splitn(4, |byte| *byte == b'|');
    let (kind, layout) = std::str::from_utf8(parts.next()?)
        .ok()?
        .split_at_checked(1)?;
    if !version::is_readable(layout) {
        return None;
    }
    let position = std::str::from_utf8(parts.next()?).ok()?;
    let length: usize = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let rest = text.slice_ref(parts.next()?);
    if length > rest.len() {
        return None;
    }
    let name = std::str::from_utf8(&rest[..length]).ok()?;
    let rest = rest.slice(length..);
    match kind {
        "I" => Some(BusEvent::Inbox {
            user: UserId::new(name).ok()?,
            prev: position.parse::<Cursor>().ok()?,
            frame: frame(&rest)?,
        }),
        "F" => Some(BusEvent::Ephemeral {
            user: UserId::new(name).ok()?,
            frame: frame(&rest)?,
        }),
        "T" => Some(BusEvent::Retracted {
            user: UserId::new(name).ok()?,
            cursor: position.parse().ok()?,
            id: std::str::from_utf8(&rest).ok()?.parse().ok()?,
        }),
        "M" => Some(BusEvent::Read {
            user: UserId::new(name).ok()?,
            change: read_change(position.parse().ok()?, &rest)?,
        }),
        "A" => Some(BusEvent::Assigned {
            user: UserId::new(name).ok()?,
            subscription: Subscription {
                channel: channel(&rest)?,
                cursor: position.parse().ok()?,
            },
        }),
        "U" => Some(BusEvent::Unassigned {
            user: UserId::new(name).ok()?,
            channel: channel(&rest)?,
        }),
        "C" => Some(BusEvent::Channel {
            channel: ChannelName::new(name).ok()?,
            prev: position.parse().ok()?,
            frame: frame(&rest)?,
        }),
        "R" => Some(BusEvent::Replaced {
            user: UserId::new(name).ok()?,
            session: SessionId::new(std::str::from_utf8(&rest).ok()?).ok()?,
            fence: position.parse().ok()?,
        }),
        _ => None,
    }
}

fn channel(name: &[u8]) -> Option<ChannelName> {
    ChannelName::new(std::str::from_utf8(name).ok()?).ok()
}

/// One notification has its id, all up to a position has nothing.
fn read_change(cursor: Cursor, id: &[u8]) -> Option<ReadChange> {
    if id.is_empty() {
        return Some(ReadChange::UpTo(cursor));
    }
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    Some(ReadChange::One { cursor, id })
}

/// Reads a connection: `<device>/<session>` → `gateway|generation|fence|since`.
pub fn presence(field: &str, place: &str) -> Option<Presence> {
    let (device, session) = field.split_once('/')?;
    let device = match device.strip_prefix('=') {
        Some(name) => Device::Named(DeviceId::new(name).ok()?),
        None => Device::Anonymous,
    };
    let mut parts = place.split('|');
    let gateway = GatewayId::new(parts.next()?).ok()?;
    let generation = parts.next()?.parse().ok()?;
    parts.next()?;
    let since = parts.next()?.parse().ok()?;
    Some(Presence {
        device,
        session: SessionId::new(session).ok()?,
        gateway,
        generation,
        since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_with_a_wild_user_name_is_read_whole() {
        let user = "a|b\n{é}";
        let id = "018f4e6e-0000-7000-8000-000000000001";
        let text = format!(
            "I1|4-9|{}|{user}1|5-8|{id}|10|20|n|{{\"a\":\"|\"}}",
            user.len()
        );
        let Some(BusEvent::Inbox {
            user: read,
            prev,
            frame,
        }) = hint(&Bytes::from(text))
        else {
            panic!("not an inbox hint")
        };
        assert_eq!(read.as_str(), user);
        assert_eq!(prev, Cursor { seq: 4, nonce: 9 });
        assert_eq!(frame.cursor, Cursor { seq: 5, nonce: 8 });
        assert_eq!(
            (frame.stored_at, frame.expires_at, frame.tombstone),
            (10, 20, false)
        );
        assert_eq!(frame.body, "{\"a\":\"|\"}");
    }

    #[test]
    fn the_span_of_a_sender_is_a_part_of_the_flag() {
        let id = "018f4e6e-0000-7000-8000-000000000001";
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (flag, trace) in [
            ("n", None),
            (&format!("n{parent}"), Some(parent)),
            ("n00-1", None),
        ] {
            let frame = frame(&Bytes::from(format!("1|5-8|{id}|10|20|{flag}|{{}}"))).unwrap();
            let read = frame.trace.map(|it| it.to_string());
            assert_eq!((read.as_deref(), frame.tombstone), (trace, false));
            assert_eq!(frame.body, "{}");
        }
    }

    #[test]
    fn what_is_taken_back_is_named_by_position_and_id() {
        let id = "018f4e6e-0000-7000-8000-000000000001";
        let Some(BusEvent::Retracted {
            user,
            cursor,
            id: read,
        }) = hint(&Bytes::from(format!("T1|5-8|5|alice{id}")))
        else {
            panic!("not a retraction")
        };
        assert_eq!(
            (user.as_str(), cursor),
            ("alice", Cursor { seq: 5, nonce: 8 })
        );
        assert_eq!(read.to_string(), id);
        assert!(hint(&Bytes::from_static(b"T1|5-8|5|alicenobody")).is_none());
    }

    #[test]
    fn a_user_is_put_on_a_channel_from_a_position_on_and_taken_off_it() {
        let text = Bytes::from_static(b"A1|5-8|5|alicenews:eu");
        let Some(BusEvent::Assigned { user, subscription }) = hint(&text) else {
            panic!("not an assignment")
        };
        let channel = ChannelName::new("news:eu").unwrap();
        let expected = Subscription {
            channel: channel.clone(),
            cursor: Cursor { seq: 5, nonce: 8 },
        };
        assert_eq!((user.as_str(), subscription), ("alice", expected));
        let text = Bytes::from_static(b"U1|0-0|5|alicenews:eu");
        let Some(BusEvent::Unassigned { user, channel: off }) = hint(&text) else {
            panic!("not the end of one")
        };
        assert_eq!((user.as_str(), off), ("alice", channel));
        assert!(hint(&Bytes::from_static(b"A1|5-8|5|alice")).is_none());
    }

    #[test]
    fn what_was_read_is_one_with_its_id_or_all_up_to_a_position() {
        let cursor = Cursor { seq: 5, nonce: 8 };
        let id = "018f4e6e-0000-7000-8000-000000000001";
        let one = ReadChange::One {
            cursor,
            id: id.parse().unwrap(),
        };
        for (rest, expected) in [(id, one), ("", ReadChange::UpTo(cursor))] {
            let text = Bytes::from(format!("M1|5-8|5|alice{rest}"));
            let Some(BusEvent::Read { user, change }) = hint(&text) else {
                panic!("{rest:?} is not taken")
            };
            assert_eq!((user.as_str(), change), ("alice", expected));
        }
        assert!(hint(&Bytes::from_static(b"M1|5-8|5|alicenobody")).is_none());
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in [
            "",
            "I1",
            "I1|1-1|9|x",
            "Z1|0|1|a",
            "I9|0|1|a",
            "é|0|1|a",
            "I1|1-1|1|a2|1-1|",
            "I1|1-1|18446744073709551615|a",
        ] {
            assert!(hint(&Bytes::from(text)).is_none(), "{text}");
        }
    }
}
