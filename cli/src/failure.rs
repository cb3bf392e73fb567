//! How a command fails: what is said, and with which exit code.

use std::{io, process::ExitCode};

use carillon_client::{Error, Problem};
use carillon_common::settings::SettingsErrors;
use http::StatusCode;

use crate::terminal::{Style, tell};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done.
    Failed(String),
    /// The service refused it.
    Refused(Box<Problem>),
    /// The command line does not say what is needed.
    Usage(String),
    /// The other side cannot be reached.
    Connection(String),
    /// The configuration is wrong.
    Configuration(String),
    /// Whoever read the output has gone (`carillon … | head`): nothing is wrong.
    OutputClosed,
}

impl Failure {
    /// Says on stderr what is wrong, and how the process ends.
    pub(crate) fn report(&self) -> ExitCode {
        if !matches!(self, Self::OutputClosed) {
            tell(&format!("{} {self}", Style::stderr().red("error:")));
        }
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
            Self::Configuration(_) => 64,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(text)
            | Self::Usage(text)
            | Self::Connection(text)
            | Self::Configuration(text) => f.write_str(text),
            Self::Refused(problem) => problem.fmt(f),
            Self::OutputClosed => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// What the client of the services says, with the options and commands that help.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Refused(problem) => Self::Refused(problem),
            Error::Address(_) | Error::Token(_) => Self::Usage(text),
            Error::ApiKeyAsToken => Self::Usage(format!("{text}; `carillon token mint` makes one")),
            Error::NoWebSocket { url, status } if status == StatusCode::NOT_FOUND => {
                Self::Connection(format!(
                    "{url} answered {status}: it has no WebSocket there; --url is a gateway's (port \
                     8080), not a dispatcher's (8081)"
                ))
            }
            Error::NoWebSocket { .. } => Self::Connection(format!("{text}; is --url right?")),
            Error::Unreachable { .. } | Error::NotSpoken { .. } => Self::Connection(text),
            Error::Closed { code: 4001, reason } => Self::Failed(format!(
                "the gateway refused the token (closed with 4001{}{reason}); `carillon token inspect` \
                 says more",
                if reason.is_empty() { "" } else { " " }
            )),
            Error::NotCarillon { url, status } if status.is_success() => Self::Failed(format!(
                "{url} answered something else than a Carillon dispatcher does; is --api right?"
            )),
            Error::NotCarillon { status, .. } => Self::Refused(Box::new(foreign(status))),
            _ => Self::Failed(text),
        }
    }
}

/// The refusal of a service that writes no problems.
fn foreign(status: StatusCode) -> Problem {
    let problem = Problem::new(status.as_u16(), "unexpected_answer", "");
    Problem {
        title: format!("HTTP {status}").into(),
        ..problem.detail("this does not look like a Carillon dispatcher; is --api right?")
    }
}

impl From<SettingsErrors> for Failure {
    fn from(errors: SettingsErrors) -> Self {
        Self::Configuration(errors.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_told_with_what_helps() {
        let url = carillon_client::gateway_url("ws://h").unwrap();
        let not_found = StatusCode::NOT_FOUND;
        let closed = |code, reason: &str| Error::Closed {
            code,
            reason: reason.to_owned(),
        };
        let answered = |status| Error::NotCarillon {
            url: url.clone(),
            status,
        };
        for (error, code, told) in [
            (
                Error::ApiKeyAsToken,
                2,
                "a client needs a token (JWT); `carillon token mint` makes one",
            ),
            (
                Error::NoWebSocket {
                    url: url.clone(),
                    status: not_found,
                },
                3,
                "not a dispatcher's (8081)",
            ),
            (
                Error::NoWebSocket {
                    url: url.clone(),
                    status: StatusCode::UNAUTHORIZED,
                },
                3,
                "answered 401 Unauthorized instead of a WebSocket; is --url right?",
            ),
            (
                closed(4001, "token_expired"),
                1,
                "the gateway refused the token (closed with 4001 token_expired); `carillon token inspect`",
            ),
            (closed(4001, ""), 1, "(closed with 4001);"),
            (
                closed(4003, "forbidden"),
                1,
                "the gateway ended it: closed with 4003 forbidden",
            ),
            (
                answered(StatusCode::OK),
                1,
                "answered something else than a Carillon dispatcher does; is --api right?",
            ),
            (
                answered(not_found),
                1,
                "HTTP 404 Not Found — this does not look like a Carillon dispatcher; is --api right? \
                 (unexpected_answer)",
            ),
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.code(), code, "{failure}");
            assert!(failure.to_string().contains(told), "{failure}");
        }
    }
}
