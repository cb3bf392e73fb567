//! What a client says of itself in the upgrade request: pure reading, no IO.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_common::{
    auth::{Secret, TokenError, bearer},
    backend::Device,
    ids::{ChannelName, Cursor, DeviceId, SessionId},
    protocol::{BEARER_ITEM, CloseCode, Dialect, SUBPROTOCOL},
    settings::Settings,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{
    cookie::{self, Unclear},
    request::LAST_EVENT_ID,
};
use crate::session::{EventId, Wanted};

/// Where a request comes from, as browsers tell it even where there is no `Origin` (Fetch Metadata, section 2.3).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The upgrade request, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Which frames are spoken.
    pub dialect: Dialect,
    /// From the header, the subprotocol item, the query, or the cookie.
    pub shown: Option<Shown>,
    /// The device it names.
    pub device: Device,
    /// The session it continues.
    pub session: Option<SessionId>,
    /// Its position; an unreadable one is told and ignored.
    pub since: Since,
    /// What it wants besides; of an event stream.
    pub wanted: Option<Wanted>,
}

/// What a client shows to say who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A token.
    Token(Secret<String>),
    /// A ticket, which stands for one.
    Ticket(Secret<String>),
}

impl Shown {
    fn token(text: impl Into<String>) -> Self {
        Self::Token(Secret::new(text.into()))
    }

    /// Its text, to know again one that was refused.
    pub(crate) fn expose(&self) -> &str {
        match self {
            Self::Token(text) | Self::Ticket(text) => text.expose(),
        }
    }
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
    /// For a page of another origin than those that may.
    pub(crate) const ORIGIN: &'static str = "origin_not_allowed";
    /// For a ticket that was used, has lapsed, or never was one: which of these is nobody's business.
    pub(crate) const TICKET: &'static str = "ticket_refused";
    /// For a ticket that the store cannot be asked about, as it is counted.
    pub(crate) const STORE_AWAY: &'static str = "store";

    /// For its token, or for want of one. Where the token's keys are still to come, the client may come
    /// again with it; where the store is away, with another ticket.
    pub(crate) fn by_token(reason: &'static str) -> Self {
        let code = match reason {
            Self::STORE_AWAY => return CloseCode::Overloaded.into(),
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
    /// or session that breaks the rule for names, a cookie that is there twice.
    pub(crate) fn read(
        uri: &Uri,
        headers: &HeaderMap,
        settings: &Settings,
    ) -> Result<Self, TurnedAway> {
        let away = |code, reason| TurnedAway { code, reason };
        if let Some(origin) = headers.get(header::ORIGIN)
            && !origin
                .to_str()
                .is_ok_and(|origin| settings.gateway.allows_origin(origin))
        {
            return Err(away(CloseCode::Forbidden, TurnedAway::ORIGIN));
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
            shown: None,
            device: Device::Anonymous,
            session: None,
            since: Since::None,
            wanted: None,
        };
        for (name, value) in query(uri.query().unwrap_or_default()) {
            match &*name {
                "token" if settings.gateway.query_token => {
                    hello.shown = Some(Shown::token(value));
                }
                "ticket" => hello.shown = Some(Shown::Ticket(Secret::new(value.into_owned()))),
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
            hello.shown = String::from_utf8(token).ok().map(Shown::token);
        }
        let authorization = headers
            .get(header::AUTHORIZATION)
            .and_then(|it| it.to_str().ok());
        if let Some(token) = authorization.and_then(bearer) {
            hello.shown = Some(Shown::token(token));
        }
        if hello.shown.is_none()
            && let Some(name) = &settings.auth.cookie
        {
            hello.shown = by_cookie(headers, name, settings)?;
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
        settings: &Settings,
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

/// The token in the cookie, if that is there. A browser sends it whichever page asks, so that it counts for a page of a
/// listed origin alone: one that says so, or one that asks its own host, of which a browser says that instead.
fn by_cookie(
    headers: &HeaderMap,
    name: &str,
    settings: &Settings,
) -> Result<Option<Shown>, TurnedAway> {
    let unclear = |why| TurnedAway {
        code: CloseCode::Unauthenticated,
        reason: match why {
            Unclear::Repeated => "cookie_repeated",
            Unclear::NotText => "token_malformed",
        },
    };
    let Some(token) = cookie::value(headers, name).map_err(unclear)? else {
        return Ok(None);
    };
    let origin = headers.get(header::ORIGIN).map(HeaderValue::to_str);
    let is_listed = match origin {
        Some(origin) => origin.is_ok_and(|origin| settings.gateway.lists_origin(origin)),
        None => headers
            .get(FETCH_SITE)
            .is_some_and(|site| site == "same-origin"),
    };
    match is_listed {
        true => Ok(Some(Shown::token(token))),
        false => Err(TurnedAway {
            code: CloseCode::Forbidden,
            reason: TurnedAway::ORIGIN,
        }),
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
    use super::*;

    fn read(uri: &str, headers: &[(&'static str, &str)]) -> Result<Hello, TurnedAway> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut settings = Settings::default();
        settings.gateway.origins = vec!["https://app.example.com".to_owned()];
        Hello::read(&uri.parse().unwrap(), &headers, &settings)
    }

    fn token(hello: &Hello) -> Option<&str> {
        match hello.shown.as_ref()? {
            Shown::Token(token) => Some(token.expose()),
            Shown::Ticket(_) => None,
        }
    }

    #[test]
    fn the_simple_protocol_needs_only_a_token() {
        let hello = read("/ws/notifications?token=a.b%2Dc", &[]).unwrap();
        assert_eq!(hello.dialect, Dialect::Simple);
        assert_eq!(token(&hello), Some("a.b-c"));
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
            (hello.dialect, token(&hello)),
            (Dialect::V1, Some("from-item"))
        );
        let header = ("authorization", "Bearer from-header");
        let hello = read("/?token=from-query", &[protocol, header]).unwrap();
        assert_eq!(token(&hello), Some("from-header"));
    }

    fn of_stream(uri: &str, last_event_id: Option<&str>) -> Hello {
        let mut headers = HeaderMap::new();
        if let Some(id) = last_event_id {
            headers.insert(LAST_EVENT_ID, id.parse().unwrap());
        }
        let settings = Settings::default();
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

    #[test]
    fn a_ticket_stands_in_the_query_and_nothing_shown_is_told() {
        let hello = read("/?ticket=ct_secret", &[]).unwrap();
        let ticket = Shown::Ticket(Secret::new("ct_secret".to_owned()));
        assert_eq!(hello.shown, Some(ticket));
        let header = ("authorization", "Bearer secret.secret.secret");
        for hello in [hello, read("/", &[header]).unwrap()] {
            let told = format!("{hello:?}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    const APP: (&str, &str) = ("origin", "https://app.example.com");
    const COOKIE: (&str, &str) = ("cookie", "a=1; c=from-cookie");

    /// What a request comes to where the cookie `c` may hold the token: that, or why it is turned away.
    fn with_cookie(
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<String>, &'static str> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut settings = Settings::default();
        settings.auth.cookie = Some("c".to_owned());
        settings.gateway.origins = vec![APP.1.to_owned(), "https://*.example.org".to_owned()];
        let hello = Hello::read(&uri.parse().unwrap(), &headers, &settings);
        match hello {
            Ok(hello) => Ok(token(&hello).map(str::to_owned)),
            Err(away) => Err(away.reason),
        }
    }

    #[test]
    fn a_cookie_counts_for_listed_origins_alone() {
        let foreign = Err("origin_not_allowed");
        let found = || Ok(Some("from-cookie".to_owned()));
        for (headers, shown) in [
            (&[APP, COOKIE][..], found()),
            (&[("origin", "https://a.b.example.org"), COOKIE], found()),
            (
                &[("origin", "https://example.org"), COOKIE],
                foreign.clone(),
            ),
            (
                &[("origin", "https://evil.example"), COOKIE],
                foreign.clone(),
            ),
            (&[("origin", "null"), COOKIE], foreign.clone()),
            (&[COOKIE], foreign.clone()),
            (&[("sec-fetch-site", "same-origin"), COOKIE], found()),
            (&[("sec-fetch-site", "same-site"), COOKIE], foreign.clone()),
            (&[("sec-fetch-site", "cross-site"), COOKIE], foreign.clone()),
            (&[("sec-fetch-site", "none"), COOKIE], foreign.clone()),
            (&[APP, ("cookie", "c=a; c=b")], Err("cookie_repeated")),
            (&[APP, ("cookie", "d=a")], Ok(None)),
            (&[APP], Ok(None)),
            (&[], Ok(None)),
        ] {
            assert_eq!(with_cookie("/", headers), shown, "{headers:?}");
        }
        // What is shown on purpose counts before what a browser adds.
        let header = ("authorization", "Bearer from-header");
        let shown = with_cookie("/", &[COOKIE, header]);
        assert_eq!(shown, Ok(Some("from-header".to_owned())));
        let shown = with_cookie("/?token=from-query", &[APP, COOKIE]);
        assert_eq!(shown, Ok(Some("from-query".to_owned())));
        assert_eq!(
            read("/", &[APP, COOKIE]).unwrap().shown,
            None,
            "none is configured"
        );
    }
}
