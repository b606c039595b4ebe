//! How events go to the stream: the span of each request that sends some, and that of each pipeline that writes some.

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanKind, Status, TraceContextExt},
};

use super::{
    LINKS_MAX, Remote, SYSTEM, TRACES,
    parent::{TRACEPARENT_FIELD, TRACESTATE_FIELD},
    span,
};
use crate::request;

/// Events of one request on their way to the stream. Dropped before its end, whoever sent them has gone.
#[derive(Debug, Default)]
pub struct Sending(Option<Box<Traced>>);

#[derive(Debug)]
struct Traced {
    span: Option<Context>,
    /// What the entries say.
    carried: Remote,
}

/// A span that another is linked to.
#[derive(Debug, Clone)]
pub struct SpanLink(SpanContext);

impl Sending {
    /// Begins to send events of the request that this task serves: a span, if the request has one; and in any case what
    /// is to be passed on of a client's trace.
    pub fn begin(events: usize) -> Self {
        Self(
            request::with_current(|request| {
                let Some(server) = &request.served.span else {
                    let carried = request.served.remote.clone()?;
                    return Some(Box::new(Traced { span: None, carried }));
                };
                let traces = TRACES.get()?;
                let mut attributes = vec![
                    KeyValue::new("messaging.system", SYSTEM),
                    KeyValue::new("messaging.destination.name", traces.stream.clone()),
                    KeyValue::new("messaging.operation.name", "send"),
                    KeyValue::new("messaging.operation.type", "send"),
                ];
                if events > 1 {
                    attributes.push(KeyValue::new("messaging.batch.message_count", events as i64));
                }
                let builder = span(format!("send {}", traces.stream), SpanKind::Producer, attributes);
                let span = traces.start(builder, Some(server.span().span_context()), None);
                let carried = Remote::of_span(span.span().span_context());
                Some(Box::new(Traced { span: Some(span), carried }))
            })
            .flatten(),
        )
    }

    /// The fields by which an entry says what it is part of; none, if it is part of nothing.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let carried = self.0.as_ref().map(|traced| &traced.carried);
        let parent = carried.map(|carried| (TRACEPARENT_FIELD, carried.parent.to_string()));
        let state = carried.and_then(|carried| Some((TRACESTATE_FIELD, carried.state.clone()?)));
        parent.into_iter().chain(state)
    }

    /// What a pipeline that takes these events along is linked to; nothing, if no span is recorded.
    pub fn link(&self) -> Option<SpanLink> {
        Some(SpanLink(self.span()?.span().span_context().clone()))
    }

    /// The events are in the stream; `id` is that of the only one.
    pub fn stored(&self, id: Option<impl ToString>) {
        let Some(span) = self.span() else { return };
        if let Some(id) = id {
            span.span().set_attribute(KeyValue::new("messaging.message.id", id.to_string()));
        }
        span.span().end();
    }

    /// Some of the events are not known to be in the stream.
    pub fn failed(&self, cause: impl Into<String>, stored: &'static str) {
        let Some(span) = self.span() else { return };
        let cause = cause.into();
        span.span().set_attribute(KeyValue::new("error.type", cause.clone()));
        span.span().set_attribute(KeyValue::new("orderflow.stored", stored));
        span.span().set_status(Status::error(cause));
        span.span().end();
    }

    fn span(&self) -> Option<&Context> {
        self.0.as_ref()?.span.as_ref()
    }
}

/// A pipeline of XADD that holds events of recorded requests.
#[derive(Debug)]
pub struct Writing(Context);

impl Writing {
    /// Begins to write a pipeline of so many events, if any of the requests is recorded: linked to each of them.
    pub fn begin(requests: impl Iterator<Item = SpanLink>, events: usize) -> Option<Self> {
        let links: Vec<SpanContext> = requests.take(LINKS_MAX).map(|link| link.0).collect();
        if links.is_empty() {
            return None;
        }
        let traces = TRACES.get()?;
        let attributes = vec![
            KeyValue::new("db.system.name", SYSTEM),
            KeyValue::new("db.operation.name", "XADD"),
            KeyValue::new("db.operation.batch.size", events as i64),
            KeyValue::new("db.collection.name", traces.stream.clone()),
        ];
        let builder = span(format!("XADD {}", traces.stream), SpanKind::Client, attributes);
        Some(Self(traces.start_joint(builder, links)))
    }

    /// Redis has answered, or has not: the first error, if there was one.
    pub fn ended(self, error: Option<&str>) {
        let span = self.0.span();
        if let Some(error) = error {
            span.set_status(Status::error(error.to_owned()));
        }
        span.end();
    }
}
