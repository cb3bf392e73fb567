//! Reads what the functions answer.

use std::cmp::Reverse;

use bytes::Bytes;
use redis::Value;

use super::{
    link::{LinkError, fault_of, is_amid_a_function},
    wire,
};
use crate::{
    backend::{BackendError, FaultKind, Gap, Page, Subscription},
    ids::{ChannelName, Cursor, Millis},
};

/// The items of an array, one after the other.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(super) fn new(value: Value) -> Result<Self, BackendError> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            other => Err(unexpected(&other)),
        }
    }

    /// The next item, whatever it is.
    pub(super) fn value(&mut self) -> Result<Value, BackendError> {
        self.next()
    }

    fn next(&mut self) -> Result<Value, BackendError> {
        self.0
            .next()
            .ok_or_else(|| BackendError::Unexpected("a short reply".to_owned()))
    }

    pub(super) fn text(&mut self) -> Result<String, BackendError> {
        text(self.next()?)
    }

    pub(super) fn parse<T: std::str::FromStr>(&mut self) -> Result<T, BackendError> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| BackendError::Unexpected(format!("{text:?} in a reply")))
    }

    pub(super) fn flag(&mut self) -> Result<bool, BackendError> {
        match self.next()? {
            Value::Int(number) => Ok(number != 0),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, BackendError> {
        match self.next()? {
            Value::Array(items) => items.into_iter().map(text).collect(),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn page(&mut self) -> Result<Page, BackendError> {
        page(self.next()?)
    }

    /// Channels, each followed by a cursor.
    pub(super) fn assigned(&mut self) -> Result<Vec<Subscription>, BackendError> {
        let texts = self.texts()?;
        let pairs = texts.chunks_exact(2);
        pairs.map(|pair| subscription(&pair[0], &pair[1])).collect()
    }

    /// Channels, each followed by a cursor and by when a client last asked for it; those asked for
    /// last come first.
    pub(super) fn subscriptions(&mut self) -> Result<Vec<Subscription>, BackendError> {
        let texts = self.texts()?;
        let mut by_use = Vec::with_capacity(texts.len() / 3);
        for kept in texts.chunks_exact(3) {
            let asked: Millis = kept[2].parse().map_err(|_| unreadable())?;
            by_use.push((Reverse(asked), subscription(&kept[0], &kept[1])?));
        }
        by_use.sort_unstable_by(|(asked, one), (than, other)| {
            asked
                .cmp(than)
                .then_with(|| one.channel.cmp(&other.channel))
        });
        Ok(by_use.into_iter().map(|(_, kept)| kept).collect())
    }
}

fn subscription(channel: &str, cursor: &str) -> Result<Subscription, BackendError> {
    Ok(Subscription {
        channel: ChannelName::new(channel).map_err(|_| unreadable())?,
        cursor: cursor.parse().map_err(|_| unreadable())?,
    })
}

fn unreadable() -> BackendError {
    BackendError::Unexpected("a kept subscription cannot be read".to_owned())
}

/// `{start, gap, end, more, frames}`.
pub(super) fn page(value: Value) -> Result<Page, BackendError> {
    let mut reply = Reply::new(value)?;
    let start: Cursor = reply.parse()?;
    let gap = match reply.text()?.as_str() {
        "" => None,
        "expired" => Some(Gap::Expired),
        "rewound" => Some(Gap::Rewound),
        "too_many" => Some(Gap::TooMany),
        other => {
            return Err(BackendError::Unexpected(format!(
                "gap {other:?} in a reply"
            )));
        }
    };
    let end = reply.parse()?;
    let more = reply.flag()?;
    let Value::Array(items) = reply.next()? else {
        return Err(BackendError::Unexpected("a page without frames".to_owned()));
    };
    let frames = items
        .into_iter()
        .map(|item| match item {
            Value::BulkString(bytes) => wire::frame(&Bytes::from(bytes))
                .ok_or_else(|| BackendError::Unexpected("a frame of another version".to_owned())),
            other => Err(unexpected(&other)),
        })
        .collect::<Result<_, _>>()?;
    Ok(Page {
        start,
        frames,
        end,
        more,
        gap,
    })
}

fn text(value: Value) -> Result<String, BackendError> {
    match value {
        Value::BulkString(bytes) => {
            String::from_utf8(bytes).map_err(|error| BackendError::Unexpected(error.to_string()))
        }
        Value::SimpleString(text) => Ok(text),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(value: &Value) -> BackendError {
    // Never the content: it may be somebody's notification.
    let kind = match value {
        Value::Nil => "nil",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "a text",
        Value::Array(_) => "an array",
        _ => "another kind of value",
    };
    BackendError::Unexpected(format!("{kind} in a reply"))
}

impl From<LinkError> for BackendError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unavailable(reason) => Self::Unavailable(reason),
            LinkError::Refused(fault) => Self::Refused(fault),
            LinkError::Unknown { .. } | LinkError::TooFewReplicas { .. } => {
                Self::Unknown(error.to_string())
            }
            LinkError::Server { code, message } => of_answer(&code, &message),
            LinkError::Shape(_) => Self::Unexpected(error.to_string()),
        }
    }
}

fn of_answer(code: &str, message: &str) -> BackendError {
    let fault = fault_of(code, message);
    match fault.kind {
        _ if is_amid_a_function(message) => BackendError::Partly(fault),
        FaultKind::NotReady => BackendError::Unavailable(fault.detail),
        FaultKind::Unexpected => BackendError::Unexpected(fault.detail),
        _ => BackendError::Refused(fault),
    }
}
