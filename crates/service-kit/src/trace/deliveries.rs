//! [`DeliveryTracer`]: the spans of what workers do with entries that are part of a recorded trace.

use std::sync::Arc;

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanKind, Status, TraceContextExt},
};
use stream_core::{Delivery, Handled, Run, RunSpan, SettleOutcome, SettleSpan, Settlement, Tracer};

use super::{LINKS_MAX, Remote, SYSTEM, TRACES, Traces, span};

/// How much of a reason a span holds, in characters; the whole one is in the log and in the dead letter.
const REASON_CHARS_MAX: usize = 200;

/// Follows the deliveries whose entries carry the context of a trace that is recorded.
#[derive(Debug)]
pub(crate) struct DeliveryTracer(&'static Traces);

impl DeliveryTracer {
    /// Nothing, if the traces of this process are off.
    pub(crate) fn of_process() -> Option<Arc<dyn Tracer>> {
        TRACES.get().map(|traces| -> Arc<dyn Tracer> { Arc::new(Self(traces)) })
    }
}

impl Tracer for DeliveryTracer {
    fn begin(&self, run: &Run<'_>) -> Option<Arc<dyn RunSpan>> {
        let traces = self.0;
        let mut last = None;
        let remotes = run.deliveries.iter().filter_map(|delivery| {
            let remote = Remote::of_entry(&delivery.fields)?;
            // The events of one request follow one another.
            let is_new = last.replace(remote.parent) != Some(remote.parent);
            let records = traces.sampling.records(remote.parent.trace, Some(remote.parent));
            (is_new && records).then_some(remote)
        });
        let parents: Vec<SpanContext> = remotes.take(LINKS_MAX).map(|remote| remote.context()).collect();
        // Nothing was allocated so far if none is followed.
        let parent = parents.first()?.clone();
        let first = run.deliveries.first()?;
        let stream = run.stream.as_str();
        let mut attributes = operation(stream, first, "process", "process");
        if run.batch {
            attributes.push(KeyValue::new("messaging.batch.message_count", run.deliveries.len() as i64));
        }
        if run.deliveries.len() == 1 {
            attributes.push(KeyValue::new("messaging.message.id", first.id.to_string()));
            attributes.push(KeyValue::new("orderflow.attempt", first.deliveries as i64));
        }
        let builder = span(format!("process {stream}"), SpanKind::Consumer, attributes);
        let context = if run.batch {
            traces.start_joint(builder, parents)
        } else {
            traces.start(builder, Some(&parent), None)
        };
        Some(Arc::new(Process { traces, stream: stream.into(), context }))
    }
}

/// The semantic conventions' attributes of an operation on a message.
fn operation(stream: &str, delivery: &Delivery, name: &'static str, kind: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", SYSTEM),
        KeyValue::new("messaging.destination.name", stream.to_owned()),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.consumer.group.name", Arc::clone(&delivery.group)),
        KeyValue::new("messaging.client.id", Arc::clone(&delivery.consumer)),
    ]
}

/// A run of a handler, or the commit of a batch.
#[derive(Debug)]
struct Process {
    traces: &'static Traces,
    stream: Arc<str>,
    context: Context,
}

impl RunSpan for Process {
    fn within(&self, poll: &mut dyn FnMut()) {
        let _current = self.context.clone().attach();
        poll();
    }

    fn ended(&self, handled: &mut dyn Iterator<Item = (&Delivery, Handled<'_>)>) {
        let span = self.context.span();
        let mut failed: Option<(&'static str, String)> = None;
        let (mut count, mut last) = (0_usize, "");
        for (delivery, handled) in handled {
            count += 1;
            let (outcome, reason) = told(handled);
            last = outcome;
            let Some(reason) = reason else { continue };
            let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
            span.add_event(
                outcome,
                vec![
                    KeyValue::new("messaging.message.id", delivery.id.to_string()),
                    KeyValue::new("orderflow.attempt", delivery.deliveries as i64),
                    KeyValue::new("reason", reason.clone()),
                ],
            );
            failed.get_or_insert((outcome, reason));
        }
        if count == 1 {
            span.set_attribute(KeyValue::new("orderflow.outcome", last));
        }
        if let Some((outcome, reason)) = failed {
            span.set_attribute(KeyValue::new("error.type", outcome));
            span.set_status(Status::error(reason));
        }
        span.end();
    }

    fn settling(&self, delivery: &Delivery, settlement: Settlement) -> Box<dyn SettleSpan> {
        let name = match settlement {
            Settlement::DeadLetter(_) => "dead_letter",
            _ => "ack",
        };
        let mut attributes = operation(&self.stream, delivery, name, "settle");
        attributes.push(KeyValue::new("messaging.message.id", delivery.id.to_string()));
        if let Settlement::DeadLetter(reason) = settlement {
            attributes.push(KeyValue::new("orderflow.dead_letter.reason", reason.label()));
        }
        let builder = span(format!("{name} {}", self.stream), SpanKind::Client, attributes);
        Box::new(Settle(self.traces.start(builder, Some(self.context.span().span_context()), None)))
    }
}

/// The outcome as the span tells it, and why, if it is a failure.
fn told(handled: Handled<'_>) -> (&'static str, Option<&str>) {
    match handled {
        Handled::Ack => ("ack", None),
        Handled::Committed => ("committed", None),
        Handled::NotPending => ("ownership_lost", None),
        Handled::Retry { reason } => ("retry", Some(reason)),
        Handled::Postpone { reason } => ("postpone", Some(reason)),
        Handled::DeadLetter { message, .. } => ("dead_letter", Some(message)),
        _ => ("other", None),
    }
}

/// A settlement under way.
#[derive(Debug)]
struct Settle(Context);

impl SettleSpan for Settle {
    fn settled(self: Box<Self>, outcome: SettleOutcome) {
        let outcome = match outcome {
            SettleOutcome::Acked => "acked",
            SettleOutcome::DeadLettered => "dead_lettered",
            SettleOutcome::OwnershipLost => "ownership_lost",
            _ => "unclear",
        };
        let span = self.0.span();
        span.set_attribute(KeyValue::new("orderflow.outcome", outcome));
        span.end();
    }
}
