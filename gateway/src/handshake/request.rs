//! The upgrade request by the letter (RFC 6455, RFC 9110, RFC 9112): pure reading, no IO.

use carillon_common::{http::Problem, protocol::BEARER_ITEM, settings::GatewaySettings};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::form_urlencoded;

/// As many header fields as a request may have.
const FIELDS: usize = 100;
const VERSION: &str = "13";
/// Fields of which a request has one at most, and what they say here.
const ONCE: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    LAST_EVENT_ID,
];
/// Parameters of the query of which there is one at most.
const ONE_PARAMETER: [&str; 6] = [
    "token",
    "ticket",
    "device",
    "session",
    "since",
    "last_event_id",
];
/// The id of the last event that a client has read (HTML standard, section 9.2.4).
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A handshake that can be answered with 101.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub uri: Uri,
    pub headers: HeaderMap,
    /// `Sec-WebSocket-Accept`.
    accept: String,
}

impl Upgrade {
    /// The 101 (RFC 6455, section 4.2.2).
    pub(crate) fn answer(&self, protocol: Option<&HeaderValue>) -> Vec<u8> {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            self.accept
        )
        .into_bytes();
        if let Some(protocol) = protocol {
            answer.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            answer.extend_from_slice(protocol.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"\r\n");
        answer
    }
}

/// A request that is answered with a problem.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub problem: Box<Problem>,
    /// What the answer has to say besides.
    pub fields: &'static str,
}

/// 400, with what is wrong and what would be right.
pub(crate) fn bad_request(detail: impl Into<String>) -> Refusal {
    Refusal {
        problem: Box::new(Problem::new(400, "bad_handshake", "Bad handshake").detail(detail)),
        fields: "",
    }
}

/// RFC 6585, section 5.
pub(crate) fn too_large(detail: &str) -> Refusal {
    Refusal {
        problem: Box::new(Problem::new(431, "head_too_large", "Head too large").detail(detail)),
        fields: "",
    }
}

/// RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
fn upgrade_required(detail: &str) -> Refusal {
    Refusal {
        problem: Box::new(Problem::new(426, "upgrade_required", "Upgrade Required").detail(detail)),
        fields: "upgrade: websocket\r\nsec-websocket-version: 13\r\n",
    }
}

/// Reads a whole head, up to the empty line. `None`: it asks for another path, which is the HTTP server's.
///
/// # Errors
/// What it is answered with instead.
pub(crate) fn read(head: &[u8], settings: &GatewaySettings) -> Result<Option<Upgrade>, Refusal> {
    lines_end_right(head)?;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    request
        .parse(head)
        .map_err(|error| malformed(head, error))?;
    let target = request.path.unwrap_or_default();
    let uri: Uri = target
        .parse()
        .map_err(|_| bad_request("the request's target is not a URI"))?;
    if uri.path() != settings.path {
        return Ok(None);
    }
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::try_from(field.name);
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad_request(format!(
                "the value of the header {} has a control character",
                field.name
            )));
        };
        headers.append(name, value);
    }
    is_a_get(&request)?;
    has_one_host(&headers)?;
    has_no_body(&headers)?;
    asks_for_websocket(&headers)?;
    says_each_thing_once(&uri, &headers)?;
    let accept = accept(&headers)?;
    Ok(Some(Upgrade {
        uri,
        headers,
        accept,
    }))
}

/// RFC 9112, section 2.2: a bare LF may be taken for a line's end, and need not. Who reads it one way while
/// a proxy before reads it the other is told two requests.
fn lines_end_right(head: &[u8]) -> Result<(), Refusal> {
    let mut before = 0;
    for byte in head {
        if *byte == b'\n' && before != b'\r' {
            return Err(bad_request(
                "lines end with CR LF; here one ends with LF alone",
            ));
        }
        before = *byte;
    }
    Ok(())
}

fn malformed(head: &[u8], error: httparse::Error) -> Refusal {
    if head.starts_with(b"PRI * HTTP/2") {
        return bad_request("HTTP/2 is not spoken here: use HTTP/1.1");
    }
    if error == httparse::Error::TooManyHeaders {
        return too_large("the request has more than 100 headers");
    }
    bad_request(match error {
        httparse::Error::HeaderName => "a header's name has a character that it may not have",
        httparse::Error::HeaderValue => "a header's value has a control character",
        httparse::Error::Version => "the version in the request line is not HTTP/1.1",
        httparse::Error::NewLine => "lines end with CR LF",
        _ => "the request line is not one of HTTP/1.1, such as `GET /path HTTP/1.1`",
    })
}

/// RFC 6455, section 4.2.1, 1.
fn is_a_get(request: &httparse::Request<'_, '_>) -> Result<(), Refusal> {
    if request.method != Some("GET") {
        let problem = Problem::new(405, "method_not_allowed", "Method not allowed")
            .detail("a WebSocket is opened with GET");
        return Err(Refusal {
            problem: Box::new(problem),
            fields: "allow: GET\r\n",
        });
    }
    if request.version != Some(1) {
        return Err(bad_request(
            "a WebSocket is opened with HTTP/1.1, not with HTTP/1.0",
        ));
    }
    Ok(())
}

/// RFC 9112, section 3.2.
pub(super) fn has_one_host(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Err(bad_request("the header Host is missing")),
        (Some(_), Some(_)) => Err(bad_request("the header Host is there more than once")),
        (Some(host), None) => {
            let legal = host.is_empty() || http::uri::Authority::try_from(host.as_bytes()).is_ok();
            let plain = !host.as_bytes().contains(&b'@');
            (legal && plain)
                .then_some(())
                .ok_or_else(|| bad_request("the header Host is not a host, or a host and a port"))
        }
    }
}

/// What follows is frames: a body before them could be taken for some (RFC 9112, section 6).
pub(super) fn has_no_body(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(bad_request(
            "this request has no body: leave Transfer-Encoding away",
        ));
    }
    let none = |length: &HeaderValue| length == "0";
    if headers.get_all(header::CONTENT_LENGTH).iter().all(none) {
        return Ok(());
    }
    Err(bad_request(
        "this request has no body: leave Content-Length away",
    ))
}

/// RFC 6455, section 4.2.1, 3 to 6; fields that are lists are so over several lines, too (RFC 9110,
/// section 5.3).
fn asks_for_websocket(headers: &HeaderMap) -> Result<(), Refusal> {
    if !has_item(headers, header::UPGRADE, "websocket") {
        return Err(upgrade_required(
            "this address speaks WebSocket: connect with a WebSocket client (the header Upgrade does not \
             name websocket)",
        ));
    }
    if !has_item(headers, header::CONNECTION, "upgrade") {
        return Err(upgrade_required(
            "the header Connection does not name Upgrade: a proxy in between has to pass Connection and \
             Upgrade on",
        ));
    }
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    let version = versions.next();
    if version.is_some_and(|it| it == VERSION) || versions.next().is_some() {
        return Ok(());
    }
    let number = version.is_none_or(|it| it.as_bytes().iter().all(u8::is_ascii_digit));
    if number {
        Err(upgrade_required(
            "the header Sec-WebSocket-Version is not 13, which is the one that is spoken here",
        ))
    } else {
        Err(bad_request(
            "the header Sec-WebSocket-Version is one number: 13",
        ))
    }
}

fn has_item(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name);
    let mut items = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

/// Of two, another on the way may have looked at the other.
pub(super) fn says_each_thing_once(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    for name in ONCE {
        if headers.get_all(&name).iter().nth(1).is_some() {
            return Err(bad_request(format!(
                "the header {name} is there more than once"
            )));
        }
    }
    let query = uri.query().unwrap_or_default();
    for name in ONE_PARAMETER {
        let pairs = form_urlencoded::parse(query.as_bytes());
        if pairs.filter(|(key, _)| key == name).nth(1).is_some() {
            return Err(bad_request(format!("the query has more than one {name}")));
        }
    }
    shows_one_thing(query, headers)?;
    // "The elements that comprise this value MUST all be unique strings" (section 4.1, 10).
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered: Vec<_> = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
        .collect();
    offered.sort_unstable();
    if offered.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(bad_request(
            "the header Sec-WebSocket-Protocol names the same twice",
        ));
    }
    Ok(())
}

/// Beside a ticket there is no token: of two, another on the way may have believed the other, and a ticket is there so
/// that no token need be.
fn shows_one_thing(query: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let has = |name: &str| form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == name);
    if !has("ticket") {
        return Ok(());
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let items = protocols
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut items = items.map(<[u8]>::trim_ascii);
    let has_token = has("token")
        || headers.contains_key(header::AUTHORIZATION)
        || items.any(|item| item.starts_with(BEARER_ITEM.as_bytes()));
    match has_token {
        true => Err(bad_request(
            "the request shows a ticket and a token: show one of them",
        )),
        false => Ok(()),
    }
}

/// RFC 6455, section 4.2.1, 5: base64 of 16 bytes.
fn accept(headers: &HeaderMap) -> Result<String, Refusal> {
    use base64::{
        Engine,
        alphabet::STANDARD,
        engine::{GeneralPurpose, GeneralPurposeConfig},
    };
    // What the last character has too many is no matter here (RFC 4648, section 3.5).
    let lenient = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| bad_request("the header Sec-WebSocket-Key is missing"))?;
    let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(key);
    if bytes.is_ok_and(|bytes| bytes.len() == 16) {
        Ok(derive_accept_key(key.as_bytes()))
    } else {
        Err(bad_request(
            "the header Sec-WebSocket-Key is not 16 bytes in base64",
        ))
    }
}

#[cfg(test)]
mod tests;
