//! Frames that clients send.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{ErrorCode, Ref};
use crate::ids::{ChannelName, Cursor};
use crate::json;

/// A request and its mark.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFrame {
    /// Echoed in the answer when given.
    pub reference: Option<Ref>,
    /// What is asked.
    pub request: Request,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Answered by `pong`.
    Ping,
    /// Join a channel.
    Subscribe {
        /// Which.
        channel: ChannelName,
        /// Replay what followed this position.
        since: Option<Cursor>,
        /// Keep the subscription for the device's next connections.
        durable: bool,
    },
    /// Leave a channel.
    Unsubscribe {
        /// Which.
        channel: ChannelName,
    },
    /// Authenticate, or renew the token.
    Auth {
        /// A JWT.
        token: String,
    },
    /// Everything up to the cursor has been handled.
    Ack {
        /// One that was written on this connection.
        cursor: Cursor,
    },
}

/// A frame that is answered with an `error`.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameError {
    /// Echoed when it could be read.
    pub reference: Option<Ref>,
    /// What went wrong.
    pub code: ErrorCode,
    /// The field or text at fault, and the remedy.
    pub message: String,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type")]
    kind: Option<Value>,
    #[serde(rename = "ref", borrow)]
    reference: Option<&'a RawValue>,
    channel: Option<Value>,
    since: Option<Value>,
    durable: Option<Value>,
    token: Option<Value>,
    cursor: Option<Value>,
}

impl ClientFrame {
    /// Reads one text frame. Unknown fields are ignored, for clients of a later version.
    ///
    /// # Errors
    /// Says which field is wrong and what it should be.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        let malformed = |why: String| FrameError {
            reference: None,
            code: ErrorCode::MalformedFrame,
            message: format!("a frame must be one JSON object with a \"type\": {why}"),
        };
        // Looked at before: structs would be read from arrays, too, and what else is no object would be
        // answered with the parser's own names.
        let kind = json::kind(text);
        if kind != "an object" {
            return Err(malformed(format!("this is {kind}")));
        }
        let raw: Raw<'_> =
            serde_json::from_str(text).map_err(|error| malformed(json::fault(&error)))?;
        let reference = raw.reference.and_then(Ref::read);
        let fail = |code, message| FrameError {
            reference: reference.clone(),
            code,
            message,
        };
        if raw.reference.is_some() && reference.is_none() {
            let message = "\"ref\" must be a number or a string of at most 64 bytes".to_owned();
            return Err(fail(ErrorCode::InvalidField, message));
        }
        let request = match raw.kind.as_ref().and_then(Value::as_str) {
            None => {
                let message = "\"type\" must be a string, such as \"subscribe\"".to_owned();
                Err((ErrorCode::MalformedFrame, message))
            }
            Some("ping") => Ok(Request::Ping),
            Some("subscribe") => raw.subscribe(),
            Some("unsubscribe") => raw
                .channel()
                .map(|channel| Request::Unsubscribe { channel }),
            Some("auth") => text_field(raw.token.as_ref(), "token").map(|token| Request::Auth {
                token: token.to_owned(),
            }),
            Some("ack") => {
                cursor_field(raw.cursor.as_ref(), "cursor").map(|cursor| Request::Ack { cursor })
            }
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                let known = "ping, subscribe, unsubscribe, auth and ack";
                Err((
                    ErrorCode::UnknownType,
                    format!("unknown type {shown:?}; known are {known}"),
                ))
            }
        };
        match request {
            Ok(request) => Ok(Self { reference, request }),
            Err((code, message)) => Err(fail(code, message)),
        }
    }
}

type Field<T> = Result<T, (ErrorCode, String)>;

impl Raw<'_> {
    fn channel(&self) -> Field<ChannelName> {
        let name = text_field(self.channel.as_ref(), "channel")?;
        let channel = ChannelName::new(name)
            .map_err(|error| (ErrorCode::InvalidChannel, format!("\"channel\": {error}")))?;
        if channel.is_broadcast() {
            let message = "\"channel\": everyone is on the broadcast channel already".to_owned();
            return Err((ErrorCode::InvalidChannel, message));
        }
        Ok(channel)
    }

    fn subscribe(&self) -> Field<Request> {
        let since = match &self.since {
            None | Some(Value::Null) => None,
            since => Some(cursor_field(since.as_ref(), "since")?),
        };
        let durable = match &self.durable {
            None | Some(Value::Null) => false,
            Some(Value::Bool(durable)) => *durable,
            Some(_) => {
                let message = "\"durable\" must be true or false".to_owned();
                return Err((ErrorCode::InvalidField, message));
            }
        };
        Ok(Request::Subscribe {
            channel: self.channel()?,
            since,
            durable,
        })
    }
}

fn text_field<'a>(value: Option<&'a Value>, name: &str) -> Field<&'a str> {
    value.and_then(Value::as_str).ok_or_else(|| {
        (
            ErrorCode::InvalidField,
            format!("\"{name}\" must be a string"),
        )
    })
}

fn cursor_field(value: Option<&Value>, name: &str) -> Field<Cursor> {
    text_field(value, name)?
        .parse()
        .map_err(|error| (ErrorCode::InvalidField, format!("\"{name}\": {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, code: ErrorCode, mention: &str) {
        let error = ClientFrame::parse(text).unwrap_err();
        assert_eq!(error.code, code, "{text}");
        assert!(error.message.contains(mention), "{}", error.message);
    }

    #[test]
    fn a_request_keeps_its_mark_and_ignores_what_it_does_not_know() {
        let frame = ClientFrame::parse(
            r#"{"type":"subscribe","channel":"orders","ref":7,"since":"12-3","new":{"a":1}}"#,
        )
        .unwrap();
        assert_eq!(serde_json::to_string(&frame.reference).unwrap(), "7");
        let channel = ChannelName::new("orders").unwrap();
        let since = Some(Cursor { seq: 12, nonce: 3 });
        assert_eq!(
            frame.request,
            Request::Subscribe {
                channel,
                since,
                durable: false
            }
        );
    }

    #[test]
    fn bad_frames_are_told_what_is_wrong() {
        refused("", ErrorCode::MalformedFrame, "JSON");
        refused("[]", ErrorCode::MalformedFrame, "JSON");
        refused(
            r#" ["ping",null,null,null,null,null,null]"#,
            ErrorCode::MalformedFrame,
            "array",
        );
        refused("{\"type\":5}", ErrorCode::MalformedFrame, "string");
        refused("{}", ErrorCode::MalformedFrame, "type");
        refused(r#"{"type":"dance"}"#, ErrorCode::UnknownType, "dance");
        refused(
            r#"{"type":"subscribe"}"#,
            ErrorCode::InvalidField,
            "channel",
        );
        refused(
            r#"{"type":"subscribe","channel":7}"#,
            ErrorCode::InvalidField,
            "channel",
        );
        refused(
            r#"{"type":"subscribe","channel":"a b"}"#,
            ErrorCode::InvalidChannel,
            "A-Z",
        );
        refused(
            r#"{"type":"subscribe","channel":"*"}"#,
            ErrorCode::InvalidChannel,
            "broadcast",
        );
        refused(
            r#"{"type":"subscribe","channel":"a","since":"x"}"#,
            ErrorCode::InvalidField,
            "since",
        );
        refused(
            r#"{"type":"subscribe","channel":"a","durable":1}"#,
            ErrorCode::InvalidField,
            "durable",
        );
        refused(
            r#"{"type":"ack","cursor":1}"#,
            ErrorCode::InvalidField,
            "cursor",
        );
        refused(
            r#"{"type":"ping","ref":{}}"#,
            ErrorCode::InvalidField,
            "ref",
        );
        refused(r#"{"type":"auth"}"#, ErrorCode::InvalidField, "token");
    }

    #[test]
    fn what_is_no_frame_is_told_in_words() {
        for (text, told) in [
            ("", "this is nothing"),
            ("hello", "this is no JSON"),
            ("\u{feff}{}", "this is no JSON"),
            ("\"a\"", "this is a string"),
            ("[{}]", "this is an array"),
            ("12", "this is a number"),
            ("null", "this is null"),
            (
                "{\"type\":\"ping\"",
                "it ends too early (line 1, column 14)",
            ),
            ("{'type':1}", "key must be a string (line 1, column 2)"),
            (
                "{\"type\":1,\"type\":2}",
                "duplicate field `type` (line 1, column 16)",
            ),
        ] {
            let error = ClientFrame::parse(text).unwrap_err();
            assert_eq!(error.code, ErrorCode::MalformedFrame, "{text}");
            let message = error.message;
            assert!(message.ends_with(told), "{text}: {message}");
        }
    }
}
