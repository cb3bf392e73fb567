//! How a request for an event stream is answered that does not become one.
//!
//! What will not be better is told by a status, at which a browser's `EventSource` stops for good. What passes is told
//! within a stream to whoever asks for one by name: after any status but 200 a browser would not come back either (HTML
//! standard, section 9.2.3).

use carillon_common::{http::Problem, protocol::CloseCode};
use http::{HeaderMap, Method, header, request::Parts};

use super::{
    Guest,
    hello::TurnedAway,
    refuse::{answer, last_answer, why_unavailable},
    request::Refusal,
};
use crate::{
    limits::{Reason, Refused},
    stream::{Framing, told_to_wait},
};

/// Why a request is answered with a problem.
pub(super) struct Denied {
    problem: Problem,
    /// What the answer has to say besides.
    fields: &'static str,
    /// As what it is told within a stream, if it passes.
    passes: Option<CloseCode>,
}

impl Denied {
    fn new(problem: Problem) -> Self {
        Self {
            problem,
            fields: "",
            passes: None,
        }
    }

    /// RFC 9110, section 15.5.6.
    pub(super) fn by_method() -> Self {
        let problem = Problem::new(405, "method_not_allowed", "Method not allowed");
        Self {
            fields: "allow: GET, HEAD, OPTIONS\r\n",
            ..Self::new(problem.detail("a stream is asked for with GET"))
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self {
            fields: refusal.fields,
            ..Self::new(*refusal.problem)
        }
    }
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        let mut problem = why_unavailable(&refused);
        if refused.reason == Reason::User {
            problem.status = 429;
        }
        Self {
            passes: Some(CloseCode::Overloaded),
            ..Self::new(problem)
        }
    }
}

/// What a socket is closed with, as a status.
impl From<TurnedAway> for Denied {
    fn from(away: TurnedAway) -> Self {
        let (status, title, detail) = match away.code {
            CloseCode::Unauthenticated => (
                401,
                "Token refused",
                "a stream needs a good token of its user: ?token= or the header Authorization: Bearer; a ticket \
                 (?ticket=) is good once",
            ),
            CloseCode::Forbidden if away.reason == "origin_not_allowed" => (
                403,
                "Origin not allowed",
                "pages of this origin may not connect here (gateway.origins)",
            ),
            CloseCode::Forbidden | CloseCode::Version => (
                400,
                "Bad handshake",
                "device and session are 1 to 64 characters of A-Z a-z 0-9 _ . : -, and a stream has no subprotocol",
            ),
            CloseCode::Replaced => (
                409,
                "Session replaced",
                "a newer connection of this session is there: name another, or none",
            ),
            CloseCode::TooManyConnections => (
                429,
                "Too many connections",
                "the user has as many connections as may be (gateway.per_user_connections, inbox.connections)",
            ),
            _ => return Refused::later(Reason::Store).into(),
        };
        let denied = Self::new(Problem::new(status, away.reason, title).detail(detail));
        match away.code {
            CloseCode::Unauthenticated => Self {
                fields: "www-authenticate: Bearer\r\n",
                ..denied
            },
            CloseCode::TooManyConnections => Self {
                problem: denied
                    .problem
                    .retry_after(Refused::later(Reason::Connections).retry_after),
                passes: Some(away.code),
                ..denied
            },
            _ => denied,
        }
    }
}

/// Answers, and ends the connection.
pub(super) async fn deny(guest: Guest, request: &Parts, denied: &Denied, cors: &str) {
    let Denied {
        problem,
        fields,
        passes,
    } = denied;
    let by_name = request.method == Method::GET && asks_for_events(&request.headers);
    let answer = match (passes.filter(|_| by_name), problem.retry_after) {
        (Some(code), Some(after)) => {
            // Whole seconds would have those who are refused together come back together.
            let after = after.mul_f64(rand::random_range(0.5..1.5));
            told_to_wait(Framing::of(request.version), code, after, cors)
        }
        _ => answer(problem, &format!("{fields}{cors}")),
    };
    let whole = request.method != Method::HEAD;
    last_answer(guest, if whole { &answer } else { head_of(&answer) }).await;
}

/// An answer without its body.
pub(super) fn head_of(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(answer, |end| &answer[..end + 4])
}

/// As every browser's `EventSource` does (HTML standard, section 9.2.2).
fn asks_for_events(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT);
    let mut ranges = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    ranges.any(|range| {
        let kind = range.split(|byte| *byte == b';').next();
        kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn closes_of_sockets_are_statuses_and_what_passes_says_when() {
        let away = |code: CloseCode, reason| Denied::from(TurnedAway { code, reason });
        for (code, reason, status, passes) in [
            (CloseCode::Unauthenticated, "token_expired", 401, false),
            (CloseCode::Forbidden, "origin_not_allowed", 403, false),
            (CloseCode::Forbidden, "invalid_device", 400, false),
            (CloseCode::Version, "unsupported_version", 400, false),
            (CloseCode::Replaced, "session_replaced", 409, false),
            (
                CloseCode::TooManyConnections,
                "too_many_connections",
                429,
                true,
            ),
            (CloseCode::Overloaded, "overloaded", 503, true),
        ] {
            let denied = away(code, reason);
            assert_eq!(denied.problem.status, status, "{reason}");
            assert_eq!(denied.passes.is_some(), passes, "{reason}");
            assert_eq!(denied.problem.retry_after.is_some(), passes, "{reason}");
        }
        for (reason, status) in [
            (Reason::User, 429),
            (Reason::Rate, 503),
            (Reason::Draining, 503),
        ] {
            let denied = Denied::from(Refused::later(reason));
            assert_eq!(
                (denied.problem.status, denied.passes.is_some()),
                (status, true)
            );
        }
    }

    #[test]
    fn a_browser_asks_for_events_by_name_and_curl_for_anything() {
        for (accept, by_name) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("text/html", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(asks_for_events(&headers), by_name, "{accept}");
        }
        assert!(!asks_for_events(&HeaderMap::new()));
    }
}
