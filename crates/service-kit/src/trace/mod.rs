//! Traces: one trace from the request that produced an event, across the stream, to the handler and its settlement, with
//! OpenTelemetry over OTLP. Off unless the standard environment variables ask for it (`docs/TRACING.md`).
//!
//! Whether a span is recorded is decided before it is made, so that unrecorded work costs no span: only an entry whose
//! producer's trace is recorded, or was begun by a client, says so (`_traceparent`), and only such an entry is looked at
//! by workers. A client's trace context is passed on whether or not anything is recorded here.

mod append;
mod deliveries;
mod environment;
mod events;
mod exporter;
mod http;
mod parent;
mod sampling;

use std::{cell::Cell, collections::HashMap, process, sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceId, Tracer as _,
        TracerProvider,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    resource::EnvResourceDetector,
    trace::{IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider},
};

pub use append::{Sending, SpanLink, Writing};
pub(crate) use deliveries::DeliveryTracer;
pub(crate) use events::SpanEvents;
pub(crate) use exporter::SpanCounts;
pub(crate) use http::{Served, answered, serve};
pub(crate) use parent::Remote;

use environment::{TraceSettings, Unusable};
use exporter::Queued;
use sampling::Sampling;

/// Links of one span at most: a batch of any size stays of a size that collectors take.
const LINKS_MAX: usize = 128;
/// How long a stopping process waits for the collector to take what is left.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// `messaging.system` and `db.system.name` of the semantic conventions.
const SYSTEM: &str = "redis";

/// The traces of this process, once they are on.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// What makes this process's spans.
#[derive(Debug)]
struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    sampling: Sampling,
    /// The stream that events are appended to.
    stream: String,
}

/// The traces could not be set up; they stay off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// A variable says something that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The exporter cannot be made.
    #[error("the exporter cannot be set up: {0}")]
    Exporter(String),
}

impl From<Unusable> for TraceError {
    fn from(error: Unusable) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// Whether the traces of this process are on.
pub(crate) fn are_on() -> bool {
    TRACES.get().is_some()
}

/// Turns the traces of this process on, if its environment asks for them; where spans then go. Once a process, outside of
/// an async runtime: the exporter blocks its own thread.
pub(crate) fn start(
    service: &'static str,
    version: &'static str,
    stream: &str,
    counts: &SpanCounts,
) -> Result<Option<String>, TraceError> {
    let lookup = |name: &str| std::env::var(name).ok();
    let Some(settings) = TraceSettings::read(lookup)? else { return Ok(None) };
    let header = |(name, value): &(axum::http::HeaderName, axum::http::HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&settings.endpoint)
        .with_timeout(settings.timeout)
        .with_headers(settings.headers.iter().filter_map(header).collect::<HashMap<_, _>>())
        .build()
        .map_err(|error| TraceError::Exporter(error.to_string()))?;
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Queued::new(exporter, &settings.endpoint, counts.clone()))
        // Decided by then.
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(DecidedIds::default())
        .with_max_links_per_span(LINKS_MAX as u32)
        .with_resource(resource(service, version))
        .build();
    let tracer = provider.tracer("orderflow");
    let of_process = Traces { tracer, provider, sampling: settings.sampling, stream: stream.to_owned() };
    Ok(TRACES.set(of_process).is_ok().then_some(settings.endpoint))
}

/// Exports what is left, for so long as a stopping process can wait. Outside of an async runtime.
pub(crate) fn stop() {
    let Some(traces) = TRACES.get() else { return };
    if let Err(error) = traces.provider.shutdown_with_timeout(FLUSH_MAX) {
        tracing::debug!(%error, "the exporter of spans was not done in time");
    }
}

/// What every span of this process has in common; the environment's word goes before ours.
fn resource(service: &'static str, version: &'static str) -> Resource {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service),
            KeyValue::new("service.namespace", "orderflow"),
            KeyValue::new("service.version", version),
            KeyValue::new("service.instance.id", format!("{host}-{}", process::id())),
            KeyValue::new("host.name", host),
        ])
        .with_detector(Box::new(EnvResourceDetector::new()));
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.trim().is_empty() => resource.with_service_name(name.trim().to_owned()),
        _ => resource,
    }
    .build()
}

thread_local! {
    /// The ID of the trace that is about to begin on this thread: it was sampled by it.
    static DECIDED: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Gives a new trace the ID that it was sampled by, so that everybody who samples by IDs decides alike.
#[derive(Debug, Default)]
struct DecidedIds(RandomIdGenerator);

impl IdGenerator for DecidedIds {
    fn new_trace_id(&self) -> TraceId {
        DECIDED.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

impl Traces {
    /// Starts a span that was decided for, in the trace of `parent`, or in a new one.
    fn start(&self, builder: SpanBuilder, parent: Option<&SpanContext>, trace: Option<TraceId>) -> Context {
        let root = Context::new();
        let context = if let Some(parent) = parent {
            root.with_remote_span_context(parent.clone())
        } else {
            DECIDED.set(trace);
            root
        };
        let span = self.tracer.build_with_context(builder, &context);
        Context::new().with_span(span)
    }

    /// Starts a span of what is done for several others at once: the child of an only one, else in a trace of its own, linked
    /// to each.
    fn start_joint(&self, mut builder: SpanBuilder, others: Vec<SpanContext>) -> Context {
        let parent = if others.len() == 1 { others.first().cloned() } else { None };
        builder = builder.with_links(others.into_iter().map(Link::with_context).collect());
        self.start(builder, parent.as_ref(), None)
    }
}

fn span(name: String, kind: SpanKind, attributes: Vec<KeyValue>) -> SpanBuilder {
    SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes)
}

/// The trace and the span that are current on this thread, for the log; nothing if there is none that is recorded.
pub(crate) fn current_ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id(), span.span_id()))
    })
}
