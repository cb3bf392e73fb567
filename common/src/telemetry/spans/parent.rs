//! A span's place in its trace, as an envelope carries it.

use std::{fmt, str::FromStr};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The lengths of a trace's and a span's id (W3C Trace Context, section 3.2.2).
const TRACE: usize = 32;
const SPAN: usize = 16;

/// A sampled span that others may be the children of; of one that is not sampled nothing is passed on.
///
/// What a caller's tracing system added for itself (`tracestate`) stays with the dispatcher's spans: it
/// may be half a kilobyte, and every notification would be kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
}

impl TraceParent {
    /// Of a span that is sampled.
    pub(super) fn of(context: &SpanContext) -> Self {
        Self {
            trace: context.trace_id(),
            span: context.span_id(),
        }
    }

    /// For a span in another process.
    pub(super) fn remote(&self) -> SpanContext {
        let state = TraceState::default();
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, true, state)
    }

    /// The trace's id, as logs and trace stores have it.
    pub fn trace_id(&self) -> impl fmt::Display {
        self.trace
    }

    /// The span's.
    pub fn span_id(&self) -> impl fmt::Display {
        self.span
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

/// It is none that [`Display`](fmt::Display) wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct NoTraceParent;

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let of_hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        if !text.bytes().all(of_hex) {
            return Err(NoTraceParent);
        }
        let mut parts = text.split('-');
        let (Some("00"), Some(trace), Some(span), Some("01"), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(NoTraceParent);
        };
        if (trace.len(), span.len()) != (TRACE, SPAN) {
            return Err(NoTraceParent);
        }
        let trace = TraceId::from_hex(trace).map_err(|_| NoTraceParent)?;
        let span = SpanId::from_hex(span).map_err(|_| NoTraceParent)?;
        if trace == TraceId::INVALID || span == SpanId::INVALID {
            return Err(NoTraceParent);
        }
        Ok(Self { trace, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent: TraceParent = text.parse().unwrap();
        assert_eq!(parent.to_string(), text);
        assert!(parent.remote().is_sampled() && parent.remote().is_remote());
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "n",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7b-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NoTraceParent), "{text}");
        }
    }
}
