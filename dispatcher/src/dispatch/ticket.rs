//! What a ticket is asked for, and what it stands for.

use std::time::Duration;

use carillon_common::{
    auth::{ChannelPattern, Claims},
    errors::ProblemKind,
    ids::{Millis, UserId},
    settings::AuthSettings,
};

use crate::{
    error::ApiError,
    extract::{FieldReader, Fields},
};

/// Most channel patterns of a ticket, as of a token.
pub(crate) const MAX_CHANNELS: usize = 256;

/// A ticket that is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TicketRequest {
    pub(crate) user: Option<UserId>,
    pub(crate) channels: Option<Box<[ChannelPattern]>>,
    expires_in: Option<Duration>,
}

impl TicketRequest {
    /// Reads the call. A service has to name the user; what the others say, a client's token says already.
    ///
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(
        fields: &Fields<'_>,
        auth: &AuthSettings,
        by_service: bool,
    ) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let user = match by_service {
            true => reader.required_text("user"),
            false => reader.text("user"),
        };
        let user = reader.parsed("user", user, ProblemKind::InvalidField);
        let channels = channels(&mut reader);
        let expires_in = reader.duration("expires_in");
        if expires_in.is_some_and(|it| it.is_zero() || it > auth.ticket_session) {
            let most = auth.ticket_session.as_secs_f64();
            let detail = format!(
                "expires_in must be above 0 and at most {most} seconds here (auth.ticket_session)"
            );
            reader.refuse(ProblemKind::InvalidField, "expires_in", detail);
        }
        for (name, is_there) in [
            ("channels", channels.is_some()),
            ("expires_in", expires_in.is_some()),
        ] {
            if is_there && !by_service {
                let detail =
                    format!("{name} is for services: a client's ticket is what its token is");
                reader.refuse(ProblemKind::InvalidField, name, detail);
            }
        }
        reader.all_right()?;
        Ok(Self {
            user,
            channels,
            expires_in,
        })
    }
}

fn channels(reader: &mut FieldReader<'_>) -> Option<Box<[ChannelPattern]>> {
    let raw = reader.json("channels")?;
    let patterns: Option<Vec<String>> = serde_json::from_str(raw.get()).ok();
    let patterns = patterns.filter(|all| all.len() <= MAX_CHANNELS);
    let read = patterns.and_then(|all| all.iter().map(|it| ChannelPattern::new(it)).collect());
    if read.is_none() {
        let detail = format!(
            "channels must be a list of at most {MAX_CHANNELS} names or globs, of 1 to 255 letters, digits and _ . : * -"
        );
        reader.refuse(ProblemKind::InvalidField, "channels", detail);
    }
    read
}

/// What the ticket stands for that a service asks for at `now`. No key vouches for it: it is good until it ends, or its
/// user's tokens are revoked.
pub(crate) fn claims_by_service(
    user: &UserId,
    request: TicketRequest,
    now: Millis,
    auth: &AuthSettings,
) -> Claims {
    let lasts = request.expires_in.unwrap_or(auth.ticket_session);
    let lasts = Millis::try_from(lasts.as_millis()).unwrap_or(Millis::MAX);
    Claims {
        sub: user.as_str().into(),
        exp_ms: now.saturating_add(lasts),
        iat_ms: now,
        jti: None,
        channels: request.channels.unwrap_or_default(),
        warrant: None,
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::settings::Settings;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn read(body: &str, by_service: bool) -> Result<TicketRequest, ApiError> {
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        TicketRequest::read(&fields, &Settings::default().auth, by_service)
    }

    #[test]
    fn a_services_ticket_lasts_as_long_as_it_says_or_may() {
        let auth = Settings::default().auth;
        let body = r#"{"user":"alice","channels":["private:a","team.*"],"expires_in":"10m"}"#;
        let request = read(body, true).unwrap();
        let user = request.user.clone().unwrap();
        let claims = claims_by_service(&user, request, NOW, &auth);
        assert_eq!(
            (&*claims.sub, claims.iat_ms, claims.exp_ms),
            ("alice", NOW, NOW + 600_000)
        );
        assert_eq!(claims.channels.len(), 2);
        assert_eq!((claims.jti, claims.warrant), (None, None));
        let claims = claims_by_service(&user, TicketRequest::default(), NOW, &auth);
        assert_eq!((claims.exp_ms, claims.channels.len()), (NOW + 3_600_000, 0));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let long = format!(r#"{{"user":"a","channels":[{}"a"]}}"#, "\"a\",".repeat(256));
        for (body, by_service, pointer) in [
            ("{}", true, "/user"),
            (r#"{"user":""}"#, true, "/user"),
            (r#"{"user":"a","channels":"a"}"#, true, "/channels"),
            (r#"{"user":"a","channels":[1]}"#, true, "/channels"),
            (r#"{"user":"a","channels":["a b"]}"#, true, "/channels"),
            (&long, true, "/channels"),
            (r#"{"user":"a","expires_in":0}"#, true, "/expires_in"),
            (r#"{"user":"a","expires_in":"2h"}"#, true, "/expires_in"),
            (r#"{"user":"a","device":"d"}"#, true, "/device"),
            (r#"{"channels":["a"]}"#, false, "/channels"),
            (r#"{"expires_in":60}"#, false, "/expires_in"),
        ] {
            let Err(ApiError::InvalidFields(errors)) = read(body, by_service) else {
                panic!("{body} is taken");
            };
            assert_eq!(errors[0].problem.pointer, pointer, "{body}: {errors:?}");
            assert_eq!(errors.len(), 1, "{body}: {errors:?}");
        }
        assert_eq!(read("{}", false).unwrap(), TicketRequest::default());
    }
}
