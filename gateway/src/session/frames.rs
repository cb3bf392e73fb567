//! What a client's frames do.

use carillon_common::{
    auth::{TokenError, may_join},
    ids::{ChannelName, Millis},
    notification::rfc3339,
    protocol::{ClientFrame, CloseCode, Dialect, ErrorCode, Ref, Request, ServerFrame},
};

use super::{Note, Now, Out, Session};

impl Session {
    /// Whether the client may send one more frame; counts it.
    pub(crate) fn allows_frame(&mut self, now: Now) -> bool {
        self.pace.allows_frame(now.mono, self.rules.socket())
    }

    /// A text frame.
    pub(crate) fn on_client(&mut self, text: &str, now: Now, out: &mut Out) {
        self.pace.heard(now.mono);
        let frame = ClientFrame::parse(text);
        // Acks of what was written do not count as frames: a client that acks a long replay one by one
        // is no flood.
        if self.dialect() == Dialect::V1
            && let Ok(frame) = &frame
            && let Request::Ack { cursor } = &frame.request
            && self.on_ack(*cursor, out)
        {
            return;
        }
        if !self.allows_frame(now) {
            return out.close(CloseCode::RateLimited);
        }
        match frame {
            Ok(frame) => self.on_request(frame, now, out),
            Err(error) => {
                let reference = error.reference.as_ref();
                self.refuse(reference, error.code, &error.message, None, out);
            }
        }
    }

    /// A binary frame: the protocol is text.
    pub(crate) fn on_binary(&mut self, out: &mut Out) {
        out.close(CloseCode::Unsupported);
    }

    fn on_request(&mut self, frame: ClientFrame, now: Now, out: &mut Out) {
        let reference = frame.reference;
        match frame.request {
            Request::Ping => out.write(&ServerFrame::Pong {
                timestamp: rfc3339(now.wall),
                reference: self.echoed(reference.as_ref()),
            }),
            Request::Subscribe {
                channel,
                since,
                durable,
            } => self.subscribe(channel, since, durable, reference, out),
            Request::Unsubscribe { channel } => {
                self.unsubscribe(&channel, reference.as_ref(), out);
            }
            Request::Auth { .. } | Request::Ack { .. } if self.dialect() == Dialect::Simple => {
                let message = "this frame needs the subprotocol carillon.v1";
                self.refuse(None, ErrorCode::NotInSimple, message, None, out);
            }
            Request::Auth { token } => self.renew(&token, reference.as_ref(), now, out),
            // Handled before the frame was counted.
            Request::Ack { .. } => {}
        }
    }

    /// The simple protocol's answers carry no `ref`.
    fn echoed<'a>(&self, reference: Option<&'a Ref>) -> Option<&'a Ref> {
        reference.filter(|_| self.dialect().tells())
    }

    pub(super) fn refuse(
        &self,
        reference: Option<&Ref>,
        code: ErrorCode,
        message: &str,
        channel: Option<&ChannelName>,
        out: &mut Out,
    ) {
        out.write(&ServerFrame::Error {
            reference: self.echoed(reference),
            code,
            message,
            retryable: code.is_retryable(),
            channel,
        });
        out.note(Note::Refused(code));
    }

    /// A new token for the same user; it may allow fewer channels than the one before.
    fn renew(&mut self, token: &str, reference: Option<&Ref>, now: Now, out: &mut Out) {
        let claims = match self.rules.keyring.verify(token, now.wall) {
            Ok(claims) => claims,
            Err(error) => {
                let code = match error {
                    TokenError::KeysAwaited => ErrorCode::Unavailable,
                    TokenError::Revoked => ErrorCode::TokenRevoked,
                    _ => ErrorCode::TokenRefused,
                };
                return self.refuse(reference, code, &error.to_string(), None, out);
            }
        };
        if *claims.sub != *self.identity.user.as_str() {
            let message = "the token is another user's; open a new connection for that user";
            return self.refuse(reference, ErrorCode::UserMismatch, message, None, out);
        }
        self.claims = claims;
        self.revoked_at = Millis::MAX;
        self.warned_of_expiry = false;
        out.write(&ServerFrame::Authenticated {
            reference,
            expires_at: rfc3339(self.claims.exp_ms),
        });
        for channel in self.channels.names(false) {
            if !self.may_join(&channel) {
                self.leave(&channel, out);
                out.write(&ServerFrame::Unsubscribed {
                    channel: &channel,
                    reference: None,
                    code: Some(ErrorCode::ChannelForbidden),
                });
            }
        }
    }

    pub(super) fn may_join(&self, channel: &ChannelName) -> bool {
        let namespace = self.rules.settings.namespace(channel.as_str());
        may_join(&self.claims, channel.as_str(), namespace)
    }
}
