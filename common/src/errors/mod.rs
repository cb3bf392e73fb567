//! Every error that callers see, each explained once: the problems of HTTP, the codes of the socket's `error`
//! frames, the codes that it is closed with. What answers, the contracts and docs/errors.md are made of these
//! tables; a variant without its row does not compile.

mod closes;
mod frames;
mod markdown;
mod problems;

pub use markdown::{PATH, markdown};
pub use problems::{At, ProblemKind};

use crate::protocol::{CloseCode, ErrorCode};

/// What a caller has to know of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// Stable; what programs branch on. Of a close, its reason.
    pub code: &'static str,
    /// The HTTP status, or the code of the close; none of an `error` frame.
    pub number: Option<u16>,
    /// Its name for people, the same each time.
    pub title: &'static str,
    /// When the same request may succeed.
    pub retry: Retry,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Whether the same request, or another connection, may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never unchanged.
    Never,
    /// After so many seconds, as `Retry-After` says where there is one.
    After(u64),
    /// With a pause that grows.
    WithPause,
    /// At once.
    Now,
}

impl Retry {
    /// Whether there is a time at which it may succeed.
    pub fn is_possible(self) -> bool {
        self != Self::Never
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::After(_) => "yes, after `Retry-After`",
            Self::WithPause => "yes, with a growing pause",
            Self::Now => "yes, at once",
        }
    }
}

/// What a document has a heading for.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What its errors have in common.
    pub about: &'static str,
    /// The errors, in the order of the table; those of one code follow each other.
    pub errors: Vec<Explained>,
}

/// All of them, as documents have them.
pub fn sections() -> Vec<Section> {
    let problems = |at| {
        let all = ProblemKind::ALL.iter().map(|kind| kind.explained());
        ProblemKind::ALL
            .iter()
            .zip(all)
            .filter(move |(kind, _)| kind.at() == at)
            .map(|(_, row)| row)
            .collect()
    };
    vec![
        Section {
            title: "The REST API",
            about: "Problems (RFC 9457) of a dispatcher. Branch on `code`; the `type` is `/docs/errors#<code>`, \
                    relative to the service that answered.",
            errors: problems(At::Rest),
        },
        Section {
            title: "The handshake of a socket",
            about: "Problems that answer a WebSocket's request with an HTTP status. Browsers hide them from pages; \
                    what a page is to know comes as a close code. A request for an event stream is refused with the \
                    reason of a close as its `code`: 401 for those of 4001, 403 `origin_not_allowed`, 400, 409 \
                    `session_replaced`, 429 `too_many_connections`.",
            errors: problems(At::Handshake),
        },
        Section {
            title: "The admin port",
            about: "Problems that only operators see, beside those of the REST API.",
            errors: problems(At::Admin),
        },
        Section {
            title: "Frames of the socket",
            about: "The `code` of an `error` frame, which answers a request that was refused; the connection goes on.",
            errors: ErrorCode::ALL.iter().map(|code| code.explained()).collect(),
        },
        Section {
            title: "Close codes",
            about: "Why a gateway ends a connection (RFC 6455 section 7.4). 40xx: stop, but for 4008. 41xx: come back \
                    with a growing pause. 42xx: come back at once. Everything else, and no close frame at all: come \
                    back with a pause. Nothing personal is lost by any of them.",
            errors: CloseCode::ALL.iter().map(|code| code.explained()).collect(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn is_code(text: &str) -> bool {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    }

    #[test]
    fn every_error_is_explained_whole() {
        let mut seen = 0;
        for section in sections() {
            for row in section.errors {
                seen += 1;
                let whole = [row.title, row.meaning, row.remedy];
                assert!(whole.iter().all(|text| text.len() > 3), "{row:?}");
                let is_normal = row.number == Some(1000);
                assert!(is_code(row.code) || is_normal, "{row:?}");
            }
        }
        assert_eq!(
            seen,
            ProblemKind::ALL.len() + ErrorCode::ALL.len() + CloseCode::ALL.len()
        );
    }

    /// What is a problem's in two rows has one status: only why it happened, and when it is over, differ.
    #[test]
    fn a_code_is_one_thing() {
        let mut known: BTreeMap<(&str, bool), Explained> = BTreeMap::new();
        for kind in ProblemKind::ALL {
            let row = kind.explained();
            let place = (row.code, kind.at() == At::Admin);
            let former = known.insert(place, row).unwrap_or(row);
            assert_eq!(former.number, row.number, "{row:?}");
            assert_eq!(
                former.retry.is_possible(),
                row.retry.is_possible(),
                "{row:?}"
            );
            assert!(matches!(row.number, Some(400..=599)), "{row:?}");
        }
    }

    #[test]
    fn frames_and_closes_say_what_their_tables_say() {
        for code in ErrorCode::ALL {
            let row = code.explained();
            assert_eq!(row.code, code.as_str());
            assert_eq!(row.retry.is_possible(), code.is_retryable(), "{row:?}");
            assert_eq!(serde_json::to_value(code).unwrap(), row.code);
        }
        for code in CloseCode::ALL {
            let row = code.explained();
            assert_eq!((row.number, row.code), (Some(code.code()), code.reason()));
            let retry = match code.code() {
                4008 => Retry::WithPause,
                4000..=4099 => Retry::Never,
                4200..=4299 => Retry::Now,
                _ => Retry::WithPause,
            };
            assert_eq!(row.retry, retry, "{row:?}");
        }
    }
}
