//! Spans of notifications: from the caller's request through Redis to the sockets.
//!
//! They are made by hand, at the few places that matter, and not of what is logged: so nothing is
//! looked at while nobody traces, and they have the names and attributes that OpenTelemetry gives
//! messages. No attribute holds a user, a channel or what a notification says.

mod delivery;
mod parent;
mod queue;
mod request;
mod transport;

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    trace::{SpanBuilder, SpanContext, SpanKind, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _},
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::delivery::Delivery;
pub use self::parent::{NoTraceParent, TraceParent};
pub use self::request::{Call, Trace};

use super::Metrics;
use crate::settings::{Settings, SettingsError, TracingSampler, TracingSettings};

/// For what is still to be sent when a process ends.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Makes spans; by default none. Clones share everything.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<On>>);

struct On {
    tracer: SdkTracer,
    sending: TaskTracker,
    closing: CancellationToken,
}

/// Where a notification goes, as spans name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A user's inbox.
    Inbox,
    /// A channel's log; that of broadcasts is one.
    Channel,
}

impl Destination {
    fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Channel => "channel",
        }
    }

    /// A notification's way there, in the words of OpenTelemetry's conventions for messages.
    fn span(self, operation: &'static str, kind: SpanKind) -> SpanBuilder {
        let name = format!("{operation} {}", self.as_str());
        SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes([
                KeyValue::new("messaging.system", "redis"),
                KeyValue::new("messaging.operation.name", operation),
                KeyValue::new("messaging.operation.type", operation),
                KeyValue::new("messaging.destination.name", self.as_str()),
            ])
    }
}

impl Spans {
    /// Spans as the settings want them, of the program `service`, or none. Inside a runtime of tokio's.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn start(
        settings: &Settings,
        service: &'static str,
        metrics: &Metrics,
    ) -> Result<Self, SettingsError> {
        let resource = resource(settings, service)?;
        let settings = &settings.tracing;
        if !settings.is_on() {
            return Ok(Self::default());
        }
        let mut exporter = transport::exporter(settings)?;
        exporter.set_resource(&resource);
        let (queue, sending) = queue::queue(settings, exporter, &metrics.tracing);
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(settings))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let on = On {
            tracer: provider.tracer("carillon"),
            sending: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        on.sending.spawn(sending.run(on.closing.clone()));
        tracing::info!(
            endpoint = settings.endpoint(),
            protocol = settings.protocol.as_str(),
            "notifications are traced"
        );
        Ok(Self(Some(Arc::new(on))))
    }

    /// Sends what waits, for as long as a process that ends has for it. Spans that end later are lost.
    pub async fn close(&self) {
        let Some(on) = &self.0 else { return };
        on.closing.cancel();
        on.sending.close();
        // Late or not, the process ends now.
        drop(timeout(LAST_SPANS, on.sending.wait()).await);
    }

    fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_ref().map(|on| &on.tracer)
    }
}

impl std::fmt::Debug for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "Spans(on)",
            None => "Spans(off)",
        })
    }
}

/// The parent of a span, if there is one.
fn under(parent: Option<SpanContext>) -> opentelemetry::Context {
    use opentelemetry::trace::TraceContextExt as _;
    let nobody = opentelemetry::Context::new();
    match parent {
        Some(parent) => nobody.with_remote_span_context(parent),
        None => nobody,
    }
}

fn sampler(settings: &TracingSettings) -> Sampler {
    let by_ratio = Sampler::TraceIdRatioBased(settings.ratio);
    let by_parent = |otherwise| Sampler::ParentBased(Box::new(otherwise));
    match settings.sampler {
        TracingSampler::AlwaysOn => Sampler::AlwaysOn,
        TracingSampler::AlwaysOff => Sampler::AlwaysOff,
        TracingSampler::Ratio => by_ratio,
        TracingSampler::ParentOrOn => by_parent(Sampler::AlwaysOn),
        TracingSampler::ParentOrOff => by_parent(Sampler::AlwaysOff),
        TracingSampler::ParentOrRatio => by_parent(by_ratio),
    }
}

/// Who makes the spans. What the settings say wins over what is known here.
fn resource(settings: &Settings, service: &'static str) -> Result<Resource, SettingsError> {
    let (kubernetes, settings) = (&settings.kubernetes, &settings.tracing);
    let said = settings.resource_attributes()?;
    let mut attributes = vec![
        KeyValue::new("service.name", service),
        KeyValue::new("service.namespace", "carillon"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    for (key, value) in [
        ("service.instance.id", &kubernetes.pod_name),
        ("k8s.pod.name", &kubernetes.pod_name),
        ("k8s.namespace.name", &kubernetes.namespace),
    ] {
        attributes.extend(
            value
                .as_ref()
                .map(|value| KeyValue::new(key, value.clone())),
        );
    }
    let said = said.into_iter();
    attributes.extend(said.map(|(key, value)| KeyValue::new(key, value)));
    if let Some(name) = &settings.service_name {
        attributes.push(KeyValue::new("service.name", name.clone()));
    }
    Ok(Resource::builder_empty()
        .with_attributes(attributes)
        .build())
}
