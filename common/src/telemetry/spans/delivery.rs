//! A gateway's part of a trace: a notification that came, and the sockets that it was written to.

use std::fmt;

use opentelemetry::{
    KeyValue,
    trace::{Link, Span as _, SpanKind, Tracer},
};
use opentelemetry_sdk::trace::Span;
use parking_lot::Mutex;

use super::{Destination, Spans, TraceParent, under};
use crate::ids::NotificationId;

/// A notification on its way to sockets: the consumer's span. It ends when this is dropped, after the last
/// of them.
pub struct Delivery(Mutex<Span>);

impl Spans {
    /// A notification that came, if it is traced: then its envelope has a `parent`. The span is in the
    /// sender's trace, so that one look shows all of it, and linked to the sender's, as consumers' are.
    pub fn delivery(
        &self,
        parent: Option<&TraceParent>,
        id: NotificationId,
        destination: Destination,
        replayed: bool,
    ) -> Option<Box<Delivery>> {
        let parent = parent?;
        let tracer = self.tracer()?;
        let builder = destination
            .span("process", SpanKind::Consumer)
            .with_links(vec![Link::with_context(parent.remote())]);
        let mut span = tracer.build_with_context(builder, &under(Some(parent.remote())));
        if !span.is_recording() {
            return None;
        }
        span.set_attributes([
            KeyValue::new("messaging.message.id", id.to_string()),
            KeyValue::new("carillon.replayed", replayed),
        ]);
        Some(Box::new(Delivery(Mutex::new(span))))
    }
}

impl Delivery {
    /// It was written to a socket that speaks `dialect`. Of a notification for thousands the first so many
    /// are kept (`OTEL_SPAN_EVENT_COUNT_LIMIT`), and the others are counted in the span.
    pub fn written(&self, dialect: &'static str) {
        let mut span = self.0.lock();
        span.add_event("written", vec![KeyValue::new("carillon.dialect", dialect)]);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}
