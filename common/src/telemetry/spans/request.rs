//! The dispatcher's part of a trace: the request that a notification came with, and the calls to Redis
//! that it took.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::http::HeaderMap;
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, Span},
};
use parking_lot::{Mutex, MutexGuard};

use super::{Destination, Spans, TraceParent, under};
use crate::ids::NotificationId;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// A request that is traced: the producer's span, from the request's head to its answer. It ends when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Trace(Arc<Traced>);

struct Traced {
    tracer: SdkTracer,
    parent: TraceParent,
    span: Mutex<Span>,
}

/// A call to Redis; its span ends when this is dropped.
pub struct Call(Span);

impl Spans {
    /// A request to publish a notification, which came at `since`; `None` where it is not to be traced, which
    /// its caller decides first, by W3C's headers.
    pub fn request(
        &self,
        headers: &HeaderMap,
        destination: Destination,
        since: Instant,
    ) -> Option<Trace> {
        let tracer = self.tracer()?;
        let caller = TraceContextPropagator::new()
            .extract_with_context(&opentelemetry::Context::new(), &Carrier::of(headers));
        let caller = Some(caller.span().span_context().clone()).filter(|it| it.is_valid());
        let began = SystemTime::now() - since.elapsed();
        let builder = destination
            .span("send", SpanKind::Producer)
            .with_start_time(began);
        let span = tracer.build_with_context(builder, &under(caller));
        span.is_recording().then(|| {
            Trace(Arc::new(Traced {
                tracer: tracer.clone(),
                parent: TraceParent::of(span.span_context()),
                span: Mutex::new(span),
            }))
        })
    }
}

impl Trace {
    /// What the notification's envelope carries.
    pub fn parent(&self) -> TraceParent {
        self.0.parent
    }

    /// A call to a function of Redis for this request.
    pub fn call(&self, function: String) -> Call {
        let span = SpanBuilder::from_name(function.clone())
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("db.system.name", "redis"),
                KeyValue::new("db.operation.name", "FCALL"),
                KeyValue::new("db.stored_procedure.name", function),
            ]);
        let context = self.span().span_context().clone();
        Call(
            self.0
                .tracer
                .build_with_context(span, &under(Some(context))),
        )
    }

    /// Which notification it is, and who asked for it: the name of an API key.
    pub fn is_about(&self, id: NotificationId, bytes: usize, sender: &str) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.span().set_attributes([
            KeyValue::new("messaging.message.id", id.to_string()),
            KeyValue::new("messaging.message.body.size", bytes),
            KeyValue::new("carillon.sender", sender.to_owned()),
        ]);
    }

    /// How the request was answered: its status and, of a problem, the code.
    pub fn answered(&self, status: u16, problem: Option<&'static str>) {
        let mut span = self.span();
        span.set_attribute(KeyValue::new(
            "http.response.status_code",
            i64::from(status),
        ));
        if let Some(code) = problem {
            span.set_attribute(KeyValue::new("error.type", code));
            span.set_status(Status::error(code));
        }
    }

    /// For the log lines of this request.
    pub fn for_log(&self) -> tracing::Span {
        let parent = self.parent();
        tracing::error_span!("trace", trace_id = %parent.trace_id(), span_id = %parent.span_id())
    }

    fn span(&self) -> MutexGuard<'_, Span> {
        self.0.span.lock()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.0.parent)
    }
}

impl Call {
    /// It was not answered as was hoped for; `kind` in a word.
    pub fn failed(&mut self, kind: &'static str) {
        self.0.set_attribute(KeyValue::new("error.type", kind));
        self.0.set_status(Status::error(kind));
    }
}

/// The headers of a request. Several that name a parent name none; several of the other are one list
/// (W3C Trace Context, section 3.3.1.1).
struct Carrier<'a> {
    parent: Option<&'a str>,
    state: Option<Cow<'a, str>>,
}

impl<'a> Carrier<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let texts = |name| {
            let values = headers.get_all(name).iter();
            values.filter_map(|value| value.to_str().ok())
        };
        let mut parents = texts(PARENT);
        let parent = parents.next().filter(|_| parents.next().is_none());
        let states: Vec<_> = texts(STATE).collect();
        let state = match states[..] {
            [] => None,
            [one] => Some(Cow::Borrowed(one)),
            _ => Some(Cow::Owned(states.join(","))),
        };
        Self { parent, state }
    }
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => self.parent,
            STATE => self.state.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}
