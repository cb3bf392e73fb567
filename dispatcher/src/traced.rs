//! A request within its trace: what the span is told of the answer, and whose log lines they are.

use axum::response::{IntoResponse, Response};
use carillon_common::telemetry::spans::Trace;
use tracing::{Instrument, Span};

use crate::error::ApiError;

/// The log's span of a traced request, for what is logged after its route has answered.
#[derive(Clone)]
pub(crate) struct ForLog(Span);

impl ForLog {
    /// Logs within the trace of what is answered, if it has one.
    pub(crate) fn within<T>(response: &Response, log: impl FnOnce() -> T) -> T {
        match response.extensions().get() {
            Some(Self(span)) => span.in_scope(log),
            None => log(),
        }
    }
}

/// Does a request's work; of one that is not traced, nothing else.
pub(crate) async fn traced(
    trace: Option<Trace>,
    work: impl Future<Output = Result<Response, ApiError>> + Send,
) -> Result<Response, ApiError> {
    let Some(trace) = trace else {
        return work.await;
    };
    let span = trace.for_log();
    // On the heap, so that requests without a trace are not larger for those that have one.
    let result = Box::pin(work.instrument(span.clone())).await;
    let problem = result.as_ref().err().map(ApiError::code);
    let mut response = result.into_response();
    trace.answered(response.status().as_u16(), problem);
    response.extensions_mut().insert(ForLog(span));
    Ok(response)
}
