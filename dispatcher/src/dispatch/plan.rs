//! Turns a request into the order that the store is given, as often as it takes. No IO, no clock.

use carillon_common::{
    backend::{Former, Idempotency, PublishOrder, SendOrder},
    ids::{ChannelName, Millis, NotificationId, UserId},
    notification::{Notification, rfc3339},
    settings::IdempotencySettings,
};
use uuid::{Uuid, uuid};

use super::request::{BroadcastRequest, SendRequest};
use crate::{error::ApiError, extract::IdempotencyKey};

/// Namespaces (RFC 9562, section 5.5) of the ids that come from a caller's key. They never change:
/// a repetition must get the id it had, whichever version answers.
const PERSONAL: Uuid = uuid!("5b0b3f6e-4d55-4c8a-9f0e-0d2c2b6f8a11");
const CHANNEL: Uuid = uuid!("e1f4a1d2-7a63-4b0f-8c35-6b9be0d4c7f3");

/// What every request is given on arrival.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The store's time.
    pub(crate) now: Millis,
    /// The id of a notification without an idempotency key.
    pub(crate) fresh_id: NotificationId,
}

/// Whose key it is, and what its request was.
#[derive(Debug, Clone)]
pub(crate) struct Repeatable<'a> {
    /// The name of the caller: its next API key has the same.
    pub(crate) caller: &'a str,
    pub(crate) key: IdempotencyKey<'a>,
    pub(crate) fingerprint: String,
}

/// The order for a personal notification to one of its receivers.
pub(crate) fn send_order<To>(
    user: &UserId,
    request: &SendRequest<'_, To>,
    stamp: Stamp,
    repeatable: Option<Repeatable<'_>>,
    settings: &IdempotencySettings,
) -> Result<SendOrder, ApiError> {
    let (id, mut idempotency) = identity((PERSONAL, user.as_str()), stamp, repeatable, settings);
    if request.ttl.is_zero() && request.deliver_at.is_none() {
        // Nothing is kept of it, nor is a key: who repeats it wants it to be sent. To clients it is still the same one.
        idempotency = own(stamp, settings);
    }
    let body = encode(&Notification {
        id,
        kind: &request.message.kind,
        content: &request.message.content,
        data: request.message.data,
        // Whoever reads it is to see when it came, not when it was planned.
        timestamp: rfc3339(request.deliver_at.unwrap_or(stamp.now)),
        target_user: Some(user),
        channel: request.label.as_ref(),
    })?;
    Ok(SendOrder {
        user: user.clone(),
        id,
        body,
        ttl: request.ttl,
        collapse_key: request.collapse_key.clone(),
        due: request.deliver_at,
        idempotency,
        trace: None,
    })
}

/// The order for a channel's notification.
pub(crate) fn publish_order(
    request: &BroadcastRequest<'_>,
    stamp: Stamp,
    repeatable: Option<Repeatable<'_>>,
    settings: &IdempotencySettings,
) -> Result<PublishOrder, ApiError> {
    let channel = request
        .channel
        .clone()
        .unwrap_or_else(ChannelName::broadcast);
    let (id, idempotency) = identity((CHANNEL, channel.as_str()), stamp, repeatable, settings);
    let body = encode(&Notification {
        id,
        kind: &request.message.kind,
        content: &request.message.content,
        data: request.message.data,
        timestamp: rfc3339(stamp.now),
        target_user: None,
        channel: request.channel.as_ref(),
    })?;
    Ok(PublishOrder {
        channel,
        id,
        body,
        ttl: request.ttl,
        history: u32::try_from(request.log.history).unwrap_or(u32::MAX),
        retention: request.log.age,
        idempotency,
        trace: None,
    })
}

/// Who a notification is, and how its repetitions are recognised. A key's id is the same at every one of them,
/// also after the store forgot the first (a failover that lost it, a key older than `idempotency.ttl`), so that
/// clients still see one notification. Without a key of the caller's only the dispatcher itself repeats, and its
/// order is then the same.
fn identity(
    (namespace, receiver): (Uuid, &str),
    stamp: Stamp,
    repeatable: Option<Repeatable<'_>>,
    settings: &IdempotencySettings,
) -> (NotificationId, Idempotency) {
    let Some(Repeatable {
        caller,
        key,
        fingerprint,
    }) = repeatable
    else {
        return (stamp.fresh_id, own(stamp, settings));
    };
    let key = key.as_str();
    // Neither receivers nor keys have a NUL, so the parts cannot be taken for others.
    let named = |parts: &[&str]| Uuid::new_v5(&namespace, parts.join("\0").as_bytes());
    let idempotency = Idempotency {
        // A key has no tab: neither are two callers' the same, nor one's and a former one.
        key: format!("{caller}\t{key}"),
        former: Some(Former {
            key: key.to_owned(),
            id: named(&[receiver, key]),
        }),
        body_hash: fingerprint,
        ttl: settings.ttl,
    };
    (named(&[receiver, caller, key]), idempotency)
}

/// Of what only the dispatcher itself repeats.
fn own(stamp: Stamp, settings: &IdempotencySettings) -> Idempotency {
    Idempotency {
        key: stamp.fresh_id.to_string(),
        former: None,
        body_hash: "-".to_owned(),
        ttl: settings.retry,
    }
}

fn encode(notification: &Notification<'_>) -> Result<bytes::Bytes, ApiError> {
    notification
        .encode()
        .map_err(|error| ApiError::Internal(error.to_string().into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_common::settings::Settings;

    use super::*;
    use crate::{dispatch::Receivers, extract::Fields};

    const STAMP: Stamp = Stamp {
        now: 1_767_225_600_000,
        fresh_id: Uuid::nil(),
    };

    fn send(body: &str, key: Option<&str>) -> SendOrder {
        let settings = Settings::default();
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        let request = SendRequest::read(&fields, &settings).unwrap();
        let key = key.map(repeatable);
        send_order(only(&request), &request, STAMP, key, &settings.idempotency).unwrap()
    }

    fn only<'a>(request: &'a SendRequest<'_>) -> &'a UserId {
        match &request.to {
            Receivers::One(user) => user,
            Receivers::Several(users) => panic!("{users:?}"),
        }
    }

    fn broadcast(query: &str, key: Option<&str>) -> PublishOrder {
        let settings = Settings::default();
        let fields = Fields::from_query(query).unwrap();
        let request = BroadcastRequest::read(&fields, &settings).unwrap();
        publish_order(&request, STAMP, key.map(repeatable), &settings.idempotency).unwrap()
    }

    fn repeatable(key: &str) -> Repeatable<'_> {
        Repeatable {
            caller: "shop",
            key: IdempotencyKey::of_text(key),
            fingerprint: "f".to_owned(),
        }
    }

    #[test]
    fn a_send_is_encoded_as_clients_read_it_and_its_data_verbatim() {
        let order = send(
            r#"{"target_user":"al\u00efce","notification_type":"t","content":"a\nb",
                "data":{"n": 1.50, "big":12345678901234567890123},"channel":"orders"}"#,
            None,
        );
        assert_eq!(
            order.body,
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000000","type":"t","content":"a\nb","#,
                r#""data":{"n": 1.50, "big":12345678901234567890123},"#,
                r#""timestamp":"2026-01-01T00:00:00.000Z","target_user":"alïce","channel":"orders"}"#
            )
        );
        assert_eq!(order.user.as_str(), "alïce");
        assert_eq!(order.ttl, Duration::from_secs(7 * 86_400));
    }

    #[test]
    fn a_ttl_is_seconds_or_a_text() {
        for (ttl, millis) in [
            ("0", 0),
            ("600", 600_000),
            ("1.5", 1500),
            ("0.0001", 1),
            (r#""10m""#, 600_000),
            (r#""2h 30m""#, 9_000_000),
            (r#""60""#, 60_000),
            ("null", 604_800_000),
            (r#""7d""#, 604_800_000),
        ] {
            let order = send(
                &format!(
                    r#"{{"target_user":"a","notification_type":"t","content":"","ttl":{ttl}}}"#
                ),
                None,
            );
            assert_eq!(order.ttl, Duration::from_millis(millis), "{ttl}");
        }
    }

    #[test]
    fn what_is_for_later_says_when_and_reads_as_if_it_had_been_sent_then() {
        for at in [r#""2026-03-01T10:00:00+01:00""#, "1772355600"] {
            let order = send(
                &format!(
                    r#"{{"target_user":"a","notification_type":"t","content":"","ttl":60,"deliver_at":{at}}}"#
                ),
                None,
            );
            assert_eq!(order.due, Some(1_772_355_600_000), "{at}");
            assert_eq!(order.ttl, Duration::from_secs(60));
            let body = std::str::from_utf8(&order.body).unwrap();
            assert!(
                body.contains(r#""timestamp":"2026-03-01T09:00:00.000Z""#),
                "{body}"
            );
        }
    }

    #[test]
    fn of_what_nothing_is_kept_no_key_is() {
        let keyed = |ttl: &str| {
            let body = format!(
                r#"{{"target_user":"a","notification_type":"t","content":"","ttl":{ttl}}}"#
            );
            send(&body, Some("k"))
        };
        let (kept, gone) = (keyed("1"), keyed("0"));
        assert_eq!(kept.id, gone.id, "to clients it is the same");
        assert_ne!(kept.idempotency.key, gone.idempotency.key);
        assert_eq!(gone.idempotency.key, Uuid::nil().to_string());
        assert!(gone.idempotency.former.is_none());
    }

    #[test]
    fn absent_and_null_data_are_an_empty_object() {
        for data in ["", r#","data":null"#, r#","data":{}"#] {
            let order = send(
                &format!(r#"{{"target_user":"a","notification_type":"t","content":""{data}}}"#),
                None,
            );
            let body = std::str::from_utf8(&order.body).unwrap();
            assert!(body.contains(r#""data":{},"#), "{body}");
        }
    }

    #[test]
    fn a_key_decides_the_id_for_its_receiver_alone() {
        let to = |user: &str, key| {
            let body =
                format!(r#"{{"target_user":"{user}","notification_type":"t","content":""}}"#);
            send(&body, Some(key)).id
        };
        assert_eq!(to("alice", "k"), to("alice", "k"));
        assert_ne!(to("alice", "k"), to("bob", "k"));
        assert_ne!(to("alice", "k"), to("alice", "l"));
        assert_ne!(
            to("a", "k"),
            broadcast("notification_type=t&content=&channel=a", Some("k")).id
        );
        // Recorded: another version must not give another id to a repetition.
        assert_eq!(
            to("alice", "k").to_string(),
            "adba42fb-9086-5de7-b336-b6519f5059a1"
        );
        let body = r#"{"target_user":"alice","notification_type":"t","content":""}"#;
        let former = send(body, Some("k")).idempotency.former.unwrap();
        assert_eq!(former.key, "k");
        assert_eq!(
            former.id.to_string(),
            "0223b823-23c2-504e-bf52-a338555c6645"
        );
    }

    #[test]
    fn a_key_is_its_callers_own() {
        let settings = Settings::default();
        let body = r#"{"target_user":"alice","notification_type":"t","content":""}"#;
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        let request = SendRequest::read(&fields, &settings).unwrap();
        let by = |caller| {
            let repeatable = Repeatable {
                caller,
                ..repeatable("k")
            };
            let user = only(&request);
            send_order(
                user,
                &request,
                STAMP,
                Some(repeatable),
                &settings.idempotency,
            )
            .unwrap()
        };
        let (shop, desk) = (by("shop"), by("desk"));
        assert_ne!(shop.id, desk.id);
        assert_ne!(shop.idempotency.key, desk.idempotency.key);
    }

    #[test]
    fn a_key_is_remembered_for_longer_than_the_dispatchers_own_retry() {
        let body = r#"{"target_user":"a","notification_type":"t","content":""}"#;
        let keyed = send(body, Some("k")).idempotency;
        assert_eq!((&*keyed.key, &*keyed.body_hash), ("shop\tk", "f"));
        assert_eq!(keyed.ttl, Duration::from_secs(900));
        let own = send(body, None).idempotency;
        assert_eq!(own.key, Uuid::nil().to_string());
        assert_eq!(own.ttl, Duration::from_secs(60));
    }

    #[test]
    fn a_broadcast_takes_its_logs_bounds() {
        let everyone = broadcast("notification_type=t&content=hi+all&data=%5B1%5D", None);
        assert!(everyone.channel.is_broadcast());
        assert_eq!(everyone.retention, Duration::from_secs(600));
        assert_eq!(everyone.ttl, everyone.retention);
        assert_eq!(
            everyone.body,
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000000","type":"t","content":"hi all","#,
                r#""data":[1],"timestamp":"2026-01-01T00:00:00.000Z","target_user":null,"#,
                r#""channel":null}"#
            )
        );
        let orders = broadcast("notification_type=t&content=&channel=orders&ttl=1h", None);
        assert_eq!(orders.channel.as_str(), "orders");
        assert_eq!(orders.retention, Duration::from_secs(86_400));
        assert_eq!(
            (orders.ttl, orders.history),
            (Duration::from_secs(3600), 1000)
        );
        let body = std::str::from_utf8(&orders.body).unwrap();
        assert!(
            body.ends_with(r#""target_user":null,"channel":"orders"}"#),
            "{body}"
        );
    }
}
