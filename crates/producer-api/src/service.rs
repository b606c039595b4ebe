//! The service as a whole: what it is built of, and how it ends.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use order_events::{EventTypes, MAX_BATCH_EVENTS, MAX_ENTRY_BYTES};
use service_kit::{
    Context, Redis,
    config::{Durability, Producer, Retention},
    http::{Listener, Port},
};
use stream_core::EventStream;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    admission::{Admission, watch},
    app::{App, Limits, Parts, Queues},
    dedup::Memories,
    group_commit::{self, DurableSink, StreamSink, Writers},
    http::{self, NdjsonLimits},
    metrics::Metrics,
    tail::Tails,
};

/// A producer-api that listens and has not begun to serve.
pub(crate) struct ProducerApi {
    listener: Listener,
    app: App,
    writers: Writers,
    admission: Admission,
    stream: EventStream,
    retention: Retention,
    drain_timeout: Duration,
}

impl ProducerApi {
    /// Binds the public port and starts the writers. Redis may be away: requests are then answered 503.
    pub(crate) async fn bind(context: &Context, redis: &Redis) -> anyhow::Result<Self> {
        let settings = &context.settings;
        let types =
            EventTypes::new(settings.stream.event_types.iter().cloned()).context("stream.event_types")?;
        let metrics = Metrics::register(&context.registry, &types)?;
        let port = Port::public(settings.producer.listen, "producer.listen");
        let listener = context.listeners.bind(port).await?;
        let addr = listener.local_addr().context("the public port has no address")?;
        tracing::info!(%addr, stream = %redis.stream.key(), "listening");

        let retention = settings.retention.clone();
        let admission = Admission::new(&retention, metrics.clone());
        let (queues, writers) = start_writers(redis, &settings.producer, &admission, &metrics);
        let limits = Limits {
            body_bytes: settings.producer.body_limit_bytes,
            request_deadline: settings.producer.request_deadline,
            ndjson: NdjsonLimits {
                line_bytes: settings.producer.body_limit_bytes.min(MAX_ENTRY_BYTES),
                batch_lines: settings.producer.batch_max,
                idle_timeout: settings.producer.ndjson_idle_timeout,
                requests: Arc::new(Semaphore::new(settings.producer.ndjson_requests_max)),
            },
        };
        let stream = redis.stream.clone();
        let tails = Tails::new(redis, &settings.producer, metrics.clone(), context.shutdown.clone())?;
        let shutdown = context.shutdown.clone();
        let app = App::new(Parts {
            stream: stream.clone(),
            queues,
            admission: admission.clone(),
            tails,
            types,
            metrics,
            limits,
            shutdown,
        });
        let drain_timeout = settings.worker.drain_timeout;
        Ok(Self { listener, app, writers, admission, stream, retention, drain_timeout })
    }

    /// Serves until shutdown, then finishes the requests in flight and what they queued.
    pub(crate) async fn serve(self, context: &Context) -> anyhow::Result<()> {
        let Self { listener, app, mut writers, admission, stream, retention, drain_timeout } = self;
        let shutdown = context.shutdown.clone();
        let router = http::router(app, &context.auth);
        // On the heap: it would make the future of the whole service large.
        let serving = Box::pin(listener.serve(router, shutdown.clone(), drain_timeout));
        let stopping = async {
            shutdown.cancelled().await;
            Instant::now()
        };
        let (_, stopped_at) = tokio::select! {
            served = async { tokio::join!(serving, stopping) } => served,
            failure = writers.failed() => return Err(failure),
            () = watch(&admission, &stream, &retention) => unreachable!("the watch never ends"),
        };
        writers.finish(stopped_at + drain_timeout).await
    }
}

/// The queues, and the writers that empty them.
fn start_writers(
    redis: &Redis,
    settings: &Producer,
    admission: &Admission,
    metrics: &Metrics,
) -> (Queues, Writers) {
    let memories = Memories::new(redis.stream.key(), settings);
    let pipelines = settings.pipelines_in_flight;
    let (stream, queue_capacity) = (&redis.stream, settings.queue_capacity);
    let mut writers = Writers::default();
    let limits = group_commit::Limits { queue_capacity, pipeline_events: settings.batch_max };
    let sink = StreamSink { stream: stream.clone(), memories: memories.clone() };
    let sinks = std::iter::repeat_n(sink, pipelines);
    let plain = group_commit::start(&mut writers, Durability::None, sinks, &limits, admission, metrics);
    // The wait costs more than the writing, so that a batch goes out whole, and waits once.
    let pipeline_events = settings.batch_max.max(MAX_BATCH_EVENTS);
    let limits = group_commit::Limits { queue_capacity, pipeline_events };
    let mut durable = |durability| {
        let sink = || DurableSink::new(durability, stream, &redis.connector, &memories, settings, metrics);
        let sinks = std::iter::repeat_with(sink).take(pipelines).flatten();
        group_commit::start(&mut writers, durability, sinks, &limits, admission, metrics)
    };
    let (replica, fsync) = (durable(Durability::Replica), durable(Durability::Fsync));
    (Queues { default: settings.durability, plain, replica, fsync }, writers)
}
