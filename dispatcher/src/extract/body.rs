//! The body: JSON by its headers, bounded in size and time.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::{Bytes, BytesMut};
use carillon_common::settings::DispatcherSettings;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ApiError;

/// Read and thrown away of a body that is too large, so that the caller, still writing, gets the
/// answer instead of a reset connection.
const DISCARDED_BYTES: usize = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A body may take so long, and as long again for each [`PACE_BYTES`] of it.
const FIRST_SECOND: Duration = Duration::from_secs(1);
const PACE_BYTES: u32 = 16 << 10;

/// Room for bodies: of each caller, and for the bytes of all.
#[derive(Debug)]
pub(crate) struct Bodies {
    longest: Duration,
    bytes: Arc<Semaphore>,
    most_of_one: usize,
    coming: Mutex<HashMap<Box<str>, usize>>,
}

/// A body, and the room that it takes up.
#[derive(Debug)]
pub(crate) struct ReadBody {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Deref for ReadBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bodies {
    pub(crate) fn new(settings: &DispatcherSettings) -> Self {
        Self {
            longest: settings.body_timeout,
            bytes: Arc::new(Semaphore::new(settings.bodies_bytes)),
            most_of_one: settings.bodies_per_key,
            coming: Mutex::default(),
        }
    }

    /// The whole body of a JSON request, which may have so many bytes.
    pub(crate) async fn read_json(
        &self,
        caller: &str,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<ReadBody, ApiError> {
        check_type(headers)?;
        self.read(caller, headers, body, limit, deadline).await
    }

    /// The same of a request that may go without a body: `None` then.
    pub(crate) async fn read_json_if_any(
        &self,
        caller: &str,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<Option<ReadBody>, ApiError> {
        if body.is_end_stream() {
            return Ok(None);
        }
        self.read_json(caller, headers, body, limit, deadline)
            .await
            .map(Some)
    }

    /// For requests whose fields are in the query string: those in a body would be passed over silently.
    pub(crate) async fn refuse(
        &self,
        caller: &str,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let body = self.read(caller, headers, body, limit, deadline).await?;
        if body.is_empty() {
            Ok(())
        } else {
            Err(ApiError::UnexpectedQuery(
                "the fields go either into the body or into the query string, not into both",
            ))
        }
    }

    /// The whole body, whatever it is.
    async fn read(
        &self,
        caller: &str,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<ReadBody, ApiError> {
        let announced = announced(headers);
        let most = announced.unwrap_or(limit);
        let mut stream = body.into_data_stream();
        if most > limit {
            discard(stream).await;
            return Err(ApiError::BodyTooLarge(limit));
        }
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let room = self.bytes.clone().try_acquire_many_owned(most);
        let room = room.map_err(|_| ApiError::Overloaded)?;
        let _coming = self.coming(caller)?;
        let pace = FIRST_SECOND + FIRST_SECOND * most / PACE_BYTES;
        let deadline = deadline.min(Instant::now() + pace.min(self.longest));
        let read = timeout_at(deadline, collect(&mut stream, limit)).await;
        let read = read.unwrap_or(Err(ApiError::BodyTimeout));
        if let Err(ApiError::BodyTooLarge(_)) = read {
            discard(stream).await;
        }
        Ok(ReadBody {
            bytes: read?,
            _room: room,
        })
    }

    /// Counts one more body that is on its way.
    fn coming(&self, caller: &str) -> Result<Coming<'_>, ApiError> {
        let mut coming = self.coming.lock();
        let count = coming.entry(caller.into()).or_default();
        if *count >= self.most_of_one {
            return Err(ApiError::TooManyBodies(self.most_of_one));
        }
        *count += 1;
        Ok(Coming {
            bodies: self,
            caller: caller.into(),
        })
    }
}

struct Coming<'a> {
    bodies: &'a Bodies,
    caller: Box<str>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.bodies.coming.lock();
        if let Some(count) = coming.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                coming.remove(&self.caller);
            }
        }
    }
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
