//! One consumer from its name to its end: reserve, read, handle, drain, release.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    DrainReport,
    context::Context,
    drain::drain,
    engine::{Engine, propagate_panic},
    failures::Failures,
    naming::keep_name,
    process::Process,
    reader::{ReadGate, Reader, Source},
};
use crate::{Connector, ErrorKind, Holder, NameError, NameLease, backoff::Backoff};

/// Runs one consumer until `shutdown`, then drains it. `ready` goes up by one while it holds its name.
pub(super) async fn run_consumer<P: Process>(
    context: Arc<Context>,
    connector: Connector,
    process: Arc<P>,
    ready: watch::Sender<usize>,
    shutdown: CancellationToken,
) -> Result<DrainReport, NameError> {
    let Some(name) = start(&context, &shutdown).await? else { return Ok(DrainReport::default()) };
    let stop_keeping = CancellationToken::new();
    let (held, name_held) = watch::channel(true);
    let connection = connector.blocking(context.settings.block)?;
    let redrive = Arc::new(context.redrive());

    let mut keeper = JoinSet::new();
    keeper.spawn(keep_name(Arc::clone(&context), name.clone(), held, ready, stop_keeping.clone()));
    let mut streams = JoinSet::new();
    for (context, source) in
        [(Arc::clone(&context), Source::Blocking(connection)), (Arc::clone(&redrive), Source::Polling)]
    {
        let (process, name_held) = (Arc::clone(&process), name_held.clone());
        streams.spawn(consume(context, source, process, name_held, shutdown.clone()));
    }
    let mut report = DrainReport::default();
    while let Some(result) = streams.join_next().await {
        report = report.plus(result.map_err(propagate_panic).unwrap_or_default());
    }
    stop_keeping.cancel();
    keeper.join_all().await;
    leave(&context, &redrive, &name, &report).await;
    Ok(report)
}

/// Consumes one stream until `shutdown`, then drains.
async fn consume<P: Process>(
    context: Arc<Context>,
    source: Source,
    process: Arc<P>,
    name_held: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> DrainReport {
    let stop_reading = CancellationToken::new();
    let (reading, engine_reads) = watch::channel(false);
    let (batches, incoming) = mpsc::channel(2);
    let permits = Arc::new(Semaphore::new(context.settings.max_in_flight.max(1)));
    let gate = ReadGate { name_held: name_held.clone(), engine_reads };
    let reader = Reader { context: Arc::clone(&context), source, permits: Arc::clone(&permits), gate };
    let reader = tokio::spawn(reader.run(batches, stop_reading.clone()));

    let mut engine = Engine::new(context, process, permits, reading, name_held, incoming);
    engine.run(&shutdown).await;

    stop_reading.cancel();
    drain(engine, reader).await
}

/// Waits for Redis, makes sure of the group, reserves the name. `None`: shut down meanwhile.
async fn start(context: &Context, shutdown: &CancellationToken) -> Result<Option<NameLease>, NameError> {
    let holder = Holder::current(&context.settings.host, &context.settings.advertise);
    let (mut backoff, mut failures) = (Backoff::new(), Failures::default());
    loop {
        let attempt = async {
            context.restore_group(false).await?;
            let ttl = context.settings.lease_ttl;
            NameLease::reserve(&context.stream, &context.group, &context.consumer, &holder, ttl).await
        };
        let result = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            result = attempt => result,
        };
        match result {
            Ok(name) => return Ok(Some(name)),
            Err(NameError::Redis(error)) => {
                context.failed(&mut failures, "starting to consume", &error);
                if !backoff.wait(shutdown).await {
                    return Ok(None);
                }
            }
            Err(taken) => return Err(taken),
        }
    }
}

/// The last steps: delete the consumer if it has nothing left, and give the name up. Failures only delay
/// others: the lease runs out by itself and the reaper finds the consumer.
async fn leave(context: &Context, redrive: &Context, name: &NameLease, report: &DrainReport) {
    let (here, there) = (delete_idle(context).await, delete_idle(redrive).await);
    let deleted = here && there;
    if let Err(error) = name.release(deleted).await {
        context.metrics.redis_error(error.kind());
        tracing::warn!(consumer = %context.consumer, %error, "could not release the name; its lease runs out");
    }
    tracing::info!(
        group = %context.group, consumer = %context.consumer, finished = report.finished,
        released = report.released, abandoned = report.abandoned, deleted, "consumer drained"
    );
}

/// Deletes the consumer in one stream if it has nothing pending there. Whether it is gone.
async fn delete_idle(context: &Context) -> bool {
    match context.stream.delete_idle_consumer(&context.group, &context.consumer).await {
        Ok(deleted) => deleted,
        Err(error) if error.kind() == ErrorKind::NoGroup => true,
        Err(error) => {
            context.metrics.redis_error(error.kind());
            tracing::warn!(consumer = %context.consumer, %error, "could not delete the consumer; the reaper will");
            false
        }
    }
}
