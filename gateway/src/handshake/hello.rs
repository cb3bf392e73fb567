//! What a client says of itself in the upgrade request: pure reading, no IO.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_common::{
    auth::{TokenError, bearer},
    backend::Device,
    ids::{ChannelName, Cursor, DeviceId, SessionId},
    protocol::{BEARER_ITEM, CloseCode, Dialect, SUBPROTOCOL},
    settings::GatewaySettings,
};
use http::{HeaderMap, HeaderValue, Uri, header};

use super::request::LAST_EVENT_ID;
use crate::session::{EventId, Wanted};

/// The upgrade request, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Which frames are spoken.
    pub dialect: Dialect,
    /// From the header, the subprotocol item, or the query.
    pub token: Option<String>,
    /// The device it names.
    pub device: Device,
    /// The session it continues.
    pub session: Option<SessionId>,
    /// Its position; an unreadable one is told and ignored.
    pub since: Since,
    /// What it wants besides; of an event stream.
    pub wanted: Option<Wanted>,
}

/// A client's `since`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// It gave none.
    None,
    /// A position.
    At(Cursor),
    /// Not one that we ever gave out.
    Unreadable,
}

/// A handshake that is completed and then closed, because browsers hide the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    /// The close code.
    pub code: CloseCode,
    /// Its reason.
    pub reason: &'static str,
}

impl TurnedAway {
    /// For its token, or for want of one. Where the token's keys are still to come, the client may come
    /// again with it.
    pub(crate) fn by_token(reason: &'static str) -> Self {
        let code = match reason {
            TokenError::KEYS_AWAITED => CloseCode::Overloaded,
            _ => CloseCode::Unauthenticated,
        };
        Self { code, reason }
    }
}

impl From<CloseCode> for TurnedAway {
    fn from(code: CloseCode) -> Self {
        Self {
            code,
            reason: code.reason(),
        }
    }
}

impl Hello {
    /// Reads the request.
    ///
    /// # Errors
    /// What the connection is closed with: a foreign origin, an unknown protocol version, a device
    /// or session that breaks the rule for names.
    pub(crate) fn read(
        uri: &Uri,
        headers: &HeaderMap,
        settings: &GatewaySettings,
    ) -> Result<Self, TurnedAway> {
        let away = |code, reason| TurnedAway { code, reason };
        if let Some(origin) = headers.get(header::ORIGIN)
            && !origin
                .to_str()
                .is_ok_and(|origin| settings.allows_origin(origin))
        {
            return Err(away(CloseCode::Forbidden, "origin_not_allowed"));
        }
        let offered: Vec<&str> = offered(headers).collect();
        let dialect = if offered.contains(&SUBPROTOCOL) {
            Dialect::V1
        } else if offered.iter().any(|item| item.starts_with("carillon.")) {
            return Err(away(CloseCode::Version, "unsupported_version"));
        } else {
            Dialect::Simple
        };

        let mut hello = Self {
            dialect,
            token: None,
            device: Device::Anonymous,
            session: None,
            since: Since::None,
            wanted: None,
        };
        for (name, value) in query(uri.query().unwrap_or_default()) {
            match &*name {
                "token" if settings.query_token => hello.token = Some(value.into_owned()),
                "device" if !value.is_empty() => {
                    hello.device = DeviceId::new(&value)
                        .map(Device::Named)
                        .map_err(|_| away(CloseCode::Forbidden, "invalid_device"))?;
                }
                "session" if !value.is_empty() => {
                    let session = SessionId::new(&value)
                        .map_err(|_| away(CloseCode::Forbidden, "invalid_session"))?;
                    hello.session = Some(session);
                }
                "since" if !value.is_empty() => {
                    hello.since = value.parse().map_or(Since::Unreadable, Since::At);
                }
                _ => {}
            }
        }
        let item = offered
            .iter()
            .find_map(|item| item.strip_prefix(BEARER_ITEM));
        if let Some(token) = item.and_then(|item| URL_SAFE_NO_PAD.decode(item).ok()) {
            hello.token = String::from_utf8(token).ok();
        }
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|it| it.to_str().ok());
        if let Some(token) = authorization.and_then(bearer) {
            hello.token = Some(token.to_owned());
        }
        Ok(hello)
    }

    /// Reads the request of an event stream, which says in it what a socket's client says in frames.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn of_stream(
        uri: &Uri,
        headers: &HeaderMap,
        settings: &GatewaySettings,
    ) -> Result<Self, TurnedAway> {
        let mut hello = Self::read(uri, headers, settings)?;
        hello.dialect = Dialect::Events;
        let mut wanted = Wanted::default();
        // A browser repeats the address with which it began, and knows better by now.
        let mut came_with = headers
            .get(LAST_EVENT_ID)
            .map(|id| String::from_utf8_lossy(id.as_bytes()));
        for (name, value) in query(uri.query().unwrap_or_default()) {
            match &*name {
                "channel" => wanted.channels.push(channel(&value)),
                "last_event_id" | "since" if came_with.as_ref().is_none_or(|id| id.is_empty()) => {
                    came_with = Some(value);
                }
                _ => {}
            }
        }
        let came_with = came_with.filter(|id| !id.is_empty());
        hello.since = match came_with.map(|id| id.parse::<EventId>()) {
            None => Since::None,
            Some(Err(_)) => Since::Unreadable,
            Some(Ok(id)) => {
                let inbox = id.inbox;
                wanted.came_with = Some(id);
                Since::At(inbox)
            }
        };
        hello.wanted = Some(wanted);
        Ok(hello)
    }
}

/// The name of a channel, or what is wrong with it.
fn channel(name: &str) -> Result<ChannelName, String> {
    let channel =
        ChannelName::new(name).map_err(|error| format!("the query's \"channel\": {error}"))?;
    if channel.is_broadcast() {
        let message = "the query's \"channel\": everyone is on the broadcast channel already";
        return Err(message.to_owned());
    }
    Ok(channel)
}

/// The subprotocols of a request, in their order.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// The subprotocol to answer with. A version that is not served is accepted as well: browsers drop
/// a connection without an answer to what they offered, and would not see the close code.
pub(crate) fn answered(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut ours = offered(headers).filter(|item| item.starts_with("carillon."));
    let first = ours.next()?;
    let answer = std::iter::once(first)
        .chain(ours)
        .find(|item| *item == SUBPROTOCOL);
    HeaderValue::from_str(answer.unwrap_or(first)).ok()
}

/// The pairs of a query, percent-decoded (WHATWG URL, application/x-www-form-urlencoded).
fn query(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use carillon_common::settings::Settings;

    use super::*;

    fn read(uri: &str, headers: &[(&'static str, &str)]) -> Result<Hello, TurnedAway> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut settings = Settings::default().gateway;
        settings.origins = vec!["https://app.example.com".to_owned()];
        Hello::read(&uri.parse().unwrap(), &headers, &settings)
    }

    #[test]
    fn the_simple_protocol_needs_only_a_token() {
        let hello = read("/ws/notifications?token=a.b%2Dc", &[]).unwrap();
        assert_eq!(hello.dialect, Dialect::Simple);
        assert_eq!(hello.token.as_deref(), Some("a.b-c"));
        assert_eq!(
            (hello.device, hello.session, hello.since),
            (Device::Anonymous, None, Since::None)
        );
    }

    #[test]
    fn tokens_come_from_header_then_subprotocol_then_query() {
        let item = format!(
            "carillon.v1, bearer.{}",
            URL_SAFE_NO_PAD.encode("from-item")
        );
        let protocol = ("sec-websocket-protocol", item.as_str());
        let hello = read("/?token=from-query", &[protocol]).unwrap();
        assert_eq!(
            (hello.dialect, hello.token.as_deref()),
            (Dialect::V1, Some("from-item"))
        );
        let header = ("authorization", "Bearer from-header");
        let hello = read("/?token=from-query", &[protocol, header]).unwrap();
        assert_eq!(hello.token.as_deref(), Some("from-header"));
    }

    fn of_stream(uri: &str, last_event_id: Option<&str>) -> Hello {
        let mut headers = HeaderMap::new();
        if let Some(id) = last_event_id {
            headers.insert(LAST_EVENT_ID, id.parse().unwrap());
        }
        let settings = Settings::default().gateway;
        Hello::of_stream(&uri.parse().unwrap(), &headers, &settings).unwrap()
    }

    #[test]
    fn a_stream_says_all_in_its_request() {
        let hello = of_stream(
            "/?token=t&channel=orders&channel=*&channel=a%20b&device=d",
            None,
        );
        assert_eq!(hello.dialect, Dialect::Events);
        let channels = hello.wanted.unwrap().channels;
        assert_eq!(channels[0], Ok(ChannelName::new("orders").unwrap()));
        assert!(channels[1].as_ref().unwrap_err().contains("everyone"));
        assert!(channels[2].as_ref().unwrap_err().contains("a channel must"));
    }

    #[test]
    fn the_header_counts_before_the_address_with_which_a_browser_began() {
        let at = |seq| Since::At(Cursor { seq, nonce: 3 });
        for (uri, header, since) in [
            ("/", None, Since::None),
            ("/?since=5-3", None, at(5)),
            ("/?last_event_id=6-3.9-9", None, at(6)),
            ("/?since=&last_event_id=6-3", None, at(6)),
            ("/?last_event_id=6-3", Some("7-3.9-9.ab:1-1"), at(7)),
            ("/?last_event_id=6-3", Some(""), at(6)),
            ("/?last_event_id=6-3", Some("seven"), Since::Unreadable),
            ("/?since=nonsense", None, Since::Unreadable),
        ] {
            assert_eq!(of_stream(uri, header).since, since, "{uri} {header:?}");
        }
    }

    #[test]
    fn names_and_positions_are_checked() {
        let hello = read("/?device=phone&session=s1&since=12-3", &[]).unwrap();
        assert_eq!(hello.device, Device::Named(DeviceId::new("phone").unwrap()));
        assert_eq!(hello.since, Since::At(Cursor { seq: 12, nonce: 3 }));
        assert_eq!(
            read("/?since=nonsense", &[]).unwrap().since,
            Since::Unreadable
        );
        assert_eq!(
            read("/?device=a%20b", &[]).unwrap_err().reason,
            "invalid_device"
        );
        assert_eq!(
            read("/?session=a/b", &[]).unwrap_err().reason,
            "invalid_session"
        );
        let other = ("sec-websocket-protocol", "carillon.v9");
        assert_eq!(read("/", &[other]).unwrap_err().code, CloseCode::Version);
        let origin = ("origin", "https://evil.example");
        assert_eq!(
            read("/", &[origin]).unwrap_err().reason,
            "origin_not_allowed"
        );
    }
}
