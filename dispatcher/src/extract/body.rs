//! The body: JSON by its headers, bounded in size and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ApiError;

/// Read and thrown away of a body that is too large, so that the caller, still writing, gets the
/// answer instead of a reset connection.
const DISCARDED_BYTES: usize = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The whole body of a JSON request, of at most `limit` bytes.
pub(crate) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    check_type(headers)?;
    read(headers, body, limit, deadline).await
}

/// For requests whose fields are in the query string: those in a body would be passed over silently.
pub(crate) async fn refuse_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<(), ApiError> {
    if read(headers, body, limit, deadline).await?.is_empty() {
        Ok(())
    } else {
        Err(ApiError::UnexpectedQuery(
            "the fields go either into the body or into the query string, not into both",
        ))
    }
}

/// The whole body, of at most `limit` bytes, whatever it is.
async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let read = if announced(headers).is_some_and(|length| length > limit) {
        Err(ApiError::BodyTooLarge(limit))
    } else {
        timeout_at(deadline, collect(&mut stream, limit))
            .await
            .unwrap_or(Err(ApiError::BodyTimeout))
    };
    if let Err(ApiError::BodyTooLarge(_)) = read {
        discard(stream).await;
    }
    read
}

/// Small bodies come in one piece, which is then not copied.
async fn collect(stream: &mut BodyDataStream, limit: usize) -> Result<Bytes, ApiError> {
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| ApiError::BodyIncomplete)?;
        if whole.len() + joined.len() + piece.len() > limit {
            return Err(ApiError::BodyTooLarge(limit));
        }
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&piece);
        }
    }
    Ok(if joined.is_empty() {
        whole
    } else {
        joined.freeze()
    })
}

async fn discard(mut stream: BodyDataStream) {
    let mut left = DISCARDED_BYTES;
    let rest = async {
        while let Some(Ok(piece)) = stream.next().await {
            left = match left.checked_sub(piece.len()) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Out of time is as good as done: the connection is closed with the answer.
    timeout(DISCARD_TIME, rest).await.unwrap_or_default();
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// `application/json` in UTF-8, not compressed. A parameter of another name says nothing about it.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ApiError::UnsupportedMediaType(
            "send the body as it is, without Content-Encoding",
        ));
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    if !parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
    {
        return Err(ApiError::UnsupportedMediaType(
            "send JSON with the header `Content-Type: application/json`",
        ));
    }
    if parts.all(is_utf8_or_no_charset) {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType(
            "the charset is not UTF-8: send UTF-8, with `Content-Type: application/json`",
        ))
    }
}

/// A parameter of a media type, `name=value`; the value may be quoted (RFC 9110, section 5.6.6).
fn is_utf8_or_no_charset(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"');
    let utf8 = ["utf-8", "utf8", "us-ascii"];
    !name.trim().eq_ignore_ascii_case("charset")
        || utf8.iter().any(|known| value.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_utf8() {
        for (kind, taken) in [
            ("application/json", true),
            ("Application/JSON ; Charset=\"UTF-8\"", true),
            ("application/json; charset=utf8; v=1", true),
            ("application/json;", true),
            ("application/json; v=latin1", true),
            ("application/json; charset=us-ascii", true),
            ("application/json; charset=latin1", false),
            ("application/json; v=1; charset=iso-8859-1", false),
            ("application/json; charset=utf-16", false),
            ("application/json; charset", false),
            ("application/jsonl", false),
            ("text/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(check_type(&headers).is_ok(), taken, "{kind}");
        }
    }
}
