//! Errors of the REST API: problem details (RFC 9457), as they are written and as callers read them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::errors::{ProblemKind, Retry};

/// Media type of a problem (RFC 9457 §6.1).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The page on which a dispatcher explains its problems, with an anchor for each code.
pub const ERRORS_PAGE: &str = "/docs/errors";

/// What went wrong with a request. Tells nothing about what lies behind the service.
///
/// Read leniently: all but the code may be missing, as RFC 9457 allows; what is without one is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `/docs/errors#<code>`, where the service has that page (a reference relative to what was asked, RFC 9457
    /// section 3.1.1); else `urn:carillon:problem:<code>`.
    #[serde(rename = "type", default)]
    pub kind: Cow<'static, str>,
    /// The same for every problem of this code.
    #[serde(default)]
    pub title: Cow<'static, str>,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong this time, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the problem is about, where that is not the request itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Stable and snake_case; what programs branch on.
    pub code: Cow<'static, str>,
    /// The request's id, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether the same request may succeed later, unchanged.
    #[serde(default)]
    pub retryable: bool,
    /// The places in the body that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Sent as `Retry-After`, in whole seconds, rounded up.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// One wrong place in a request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// JSON Pointer (RFC 6901) to the place; empty is the whole body.
    #[serde(default)]
    pub pointer: String,
    /// What is wrong with it.
    #[serde(default)]
    pub detail: String,
}

impl Problem {
    /// A problem that a retry does not mend. `code` is stable and snake_case, `title` its name for
    /// people.
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: format!("urn:carillon:problem:{code}").into(),
            title: title.into(),
            status,
            detail: None,
            instance: None,
            code: code.into(),
            request_id: None,
            retryable: false,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// One of a service that explains its problems at [`ERRORS_PAGE`].
    pub fn explained(kind: ProblemKind) -> Self {
        let row = kind.explained();
        let problem = Self::new(kind.status(), row.code, row.title);
        let problem = Self {
            kind: format!("{ERRORS_PAGE}#{}", row.code).into(),
            ..problem
        };
        match row.retry {
            Retry::After(seconds) => problem.retry_after(Duration::from_secs(seconds)),
            _ => problem,
        }
    }

    /// With what is wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With one more wrong place.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldProblem {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// That the same request may succeed after some time.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retryable = true;
        self.retry_after = Some(after);
        self
    }

    /// With the request's id.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }
}

impl Problem {
    /// Status, headers and body of the answer that tells of it.
    pub fn answer(&self) -> (StatusCode, HeaderMap, Vec<u8>) {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A struct of texts and numbers: serde_json has nothing to refuse.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        (status, headers, body)
    }
}

/// For people: title, detail and code; where several places are wrong, a line for each.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_deref().unwrap_or_default();
        write!(f, "{} — {detail} ({})", self.title, self.code)?;
        if self.errors.len() > 1 {
            for error in &self.errors {
                write!(f, "\n  {}: {}", error.pointer, error.detail)?;
            }
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_what_rfc_9457_says() {
        let problem = Problem::new(422, "unknown_field", "Unknown field")
            .detail("the body has fields that do not exist")
            .at("/foo", "is not a field of a send")
            .request_id("r1");
        let json = serde_json::to_value(&problem).unwrap();
        let expected = serde_json::json!({
            "type": "urn:carillon:problem:unknown_field", "title": "Unknown field", "status": 422,
            "detail": "the body has fields that do not exist", "code": "unknown_field",
            "request_id": "r1", "retryable": false,
            "errors": [{"pointer": "/foo", "detail": "is not a field of a send"}],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn a_problem_of_the_table_leads_to_its_explanation() {
        let problem = Problem::explained(ProblemKind::StoreRefuses);
        assert_eq!(problem.kind, "/docs/errors#unavailable");
        assert_eq!(
            (problem.status, &*problem.title),
            (503, "The store refuses")
        );
        assert_eq!(
            (problem.retryable, problem.retry_after),
            (true, Some(Duration::from_secs(10)))
        );
        assert!(!Problem::explained(ProblemKind::NotFound).retryable);
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let body = r#"{"type":"urn:x","title":"Invalid fields","status":422,"code":"unknown_field",
            "detail":"2 fields are wrong, see errors","errors":[{"pointer":"/a","detail":"one"},
            {"pointer":"/b","code":"c","detail":"two"}]}"#;
        let problem: Problem = serde_json::from_str(body).unwrap();
        assert_eq!(
            problem.to_string(),
            "Invalid fields — 2 fields are wrong, see errors (unknown_field)\n  /a: one\n  /b: two"
        );
        assert!(serde_json::from_str::<Problem>(r#"{"title":"T","status":404}"#).is_err());
    }

    #[test]
    fn a_response_carries_type_and_retry() {
        let problem = Problem::new(503, "unavailable", "Unavailable");
        let response = problem
            .retry_after(Duration::from_millis(1500))
            .into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(response.headers()["retry-after"], "2");
    }
}
