//! One consumer from its name to its end: reserve, read, handle, drain, release.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ConsumersReady, DrainReport,
    context::Context,
    control::{ConsumerState, Removed},
    drain::drain,
    engine::{Engine, propagate_panic},
    failures::Failures,
    levers::{EngineLevers, EngineLink},
    naming::keep_name,
    process::Process,
    reader::{ReadGate, Reader, Source},
};
use crate::{
    Connector, ErrorKind, Handover, HandoverError, HandoverRequest, Holder, NameError, NameLease,
    backoff::Backoff,
};

/// How a consumer ended.
#[derive(Debug, Default)]
pub(super) struct Departure {
    pub(super) drained: DrainReport,
    pub(super) removed: Removed,
}

/// Runs one consumer until `shutdown`, then drains it. `ready` goes up by one while it holds its name.
pub(super) async fn run_consumer<P: Process>(
    context: Arc<Context>,
    links: [EngineLink; 2],
    connector: Connector,
    process: Arc<P>,
    ready: watch::Sender<ConsumersReady>,
    shutdown: CancellationToken,
) -> Result<Departure, NameError> {
    let Some(name) = start(&context, &shutdown).await? else { return Ok(Departure::default()) };
    let stop_keeping = CancellationToken::new();
    let (held, name_held) = watch::channel(true);
    let connection = connector.blocking(context.settings.block)?;
    let redrive = Arc::new(context.redrive());

    let mut keeper = JoinSet::new();
    keeper.spawn(keep_name(Arc::clone(&context), name.clone(), held, ready, stop_keeping.clone()));
    let mut streams = JoinSet::new();
    let sources = [Source::Blocking(connection), Source::Polling];
    let contexts = [Arc::clone(&context), Arc::clone(&redrive)];
    for ((context, source), link) in contexts.into_iter().zip(sources).zip(links) {
        let (process, name_held) = (Arc::clone(&process), name_held.clone());
        streams.spawn(consume(context, source, link, process, name_held, shutdown.clone()));
    }
    let mut drained = DrainReport::default();
    loop {
        tokio::select! {
            ended = streams.join_next() => match ended {
                Some(result) => drained = drained.plus(result.map_err(propagate_panic).unwrap_or_default()),
                None => break,
            },
            // It ends before it is told to only by a panic, and then nobody keeps the name.
            Some(result) = keeper.join_next() => result.unwrap_or_else(propagate_panic),
        }
    }
    // Once the name is somebody else's, so is what is pending under it.
    let is_ours = *name_held.borrow();
    let mut removed = if is_ours { hand_over_all(&context, &redrive).await } else { Removed::default() };
    stop_keeping.cancel();
    keeper.join_all().await;
    removed.deleted = leave(&context, &redrive, &name, &drained, is_ours).await;
    Ok(Departure { drained, removed })
}

/// Consumes one stream until `shutdown`, then drains.
async fn consume<P: Process>(
    context: Arc<Context>,
    source: Source,
    link: EngineLink,
    process: Arc<P>,
    name_held: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> DrainReport {
    let stop_reading = CancellationToken::new();
    let (reading, engine_reads) = watch::channel(false);
    let (batches, incoming) = mpsc::channel(2);
    let permits = Arc::new(Semaphore::new(context.settings.max_in_flight.max(1)));
    let gate = ReadGate { name_held: name_held.clone(), engine_reads };
    let EngineLink { orders, at_rest } = link;
    let levers = EngineLevers::new(&context, orders, at_rest.subscribe());
    let reader =
        Reader { context: Arc::clone(&context), source, permits: Arc::clone(&permits), gate, at_rest };
    let reader = tokio::spawn(reader.run(batches, stop_reading.clone()));

    let mut engine = Engine::new(context, process, permits, reading, name_held, incoming, levers);
    engine.run(&shutdown).await;
    if !shutdown.is_cancelled() {
        // Going on without its reader, the consumer would look well and read nothing.
        reader.await.unwrap_or_else(propagate_panic);
        return DrainReport::default();
    }

    engine.context.levers.state.send_replace(ConsumerState::Leaving);
    stop_reading.cancel();
    drain(engine, reader).await
}

/// Hands whatever is left of a consumer that was removed to its heir, if it has one. It neither reads nor handles any
/// more. What cannot be handed over can be claimed by anybody.
async fn hand_over_all(context: &Context, redrive: &Context) -> Removed {
    let Some(heir) = context.levers.heir.get() else { return Removed::default() };
    let mut removed = Removed::default();
    for context in [context, redrive] {
        let request = HandoverRequest {
            group: &context.group,
            from: &context.consumer,
            to: heir,
            idle: context.settings.given_idle(),
            only_if_dead: false,
        };
        match hand_over(context, &request).await {
            Ok(handover) => removed.handed_over += handover.moved,
            Err(HandoverError::Redis(error)) if error.kind() == ErrorKind::NoGroup => {}
            Err(error) => {
                tracing::error!(
                    group = %context.group, consumer = %context.consumer, to = %heir, %error,
                    "the removed consumer's entries could not be handed over; anybody may claim them"
                );
            }
        }
    }
    removed.handed_over_to = (removed.handed_over > 0).then(|| heir.to_string());
    removed
}

/// Hands over, trying for as long as a drain may take.
async fn hand_over(context: &Context, request: &HandoverRequest<'_>) -> Result<Handover, HandoverError> {
    let (mut backoff, mut failures) = (Backoff::new(), Failures::default());
    let deadline = Instant::now() + context.settings.drain_timeout;
    let never = CancellationToken::new();
    loop {
        match context.stream.handover(request).await {
            Err(HandoverError::Redis(error))
                if error.kind() != ErrorKind::NoGroup && Instant::now() < deadline =>
            {
                context.failed(&mut failures, "handing entries over", &error);
                backoff.wait(&never).await;
            }
            result => return result,
        }
    }
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

/// The last steps: tell the counts, delete the consumer if it has nothing left, and give the name up. Failures only delay
/// others: the lease runs out by itself and the reaper finds the consumer. Whether it was deleted, which it is not
/// where somebody else may be at work under the name.
async fn leave(
    context: &Context,
    redrive: &Context,
    name: &NameLease,
    report: &DrainReport,
    is_ours: bool,
) -> bool {
    if let Err(error) = name.renew(context.metrics.counts.so_far()).await {
        context.metrics.redis_error(error.kind());
        tracing::warn!(group = %context.group, consumer = %context.consumer, %error, "could not tell the last counts; the group's totals lack them");
    }
    let deleted = if is_ours {
        let (here, there) = (delete_idle(context).await, delete_idle(redrive).await);
        here && there
    } else {
        tracing::warn!(group = %context.group, consumer = %context.consumer, "drained without its name; what is pending under it is left alone");
        false
    };
    if let Err(error) = name.release(deleted).await {
        context.metrics.redis_error(error.kind());
        tracing::warn!(group = %context.group, consumer = %context.consumer, %error, "could not release the name; its lease runs out");
    }
    tracing::info!(
        group = %context.group, consumer = %context.consumer, finished = report.finished,
        released = report.released, abandoned = report.abandoned, deleted, "consumer drained"
    );
    deleted
}

/// Deletes the consumer in one stream if it has nothing pending there. Whether it is gone.
async fn delete_idle(context: &Context) -> bool {
    match context.stream.delete_idle_consumer(&context.group, &context.consumer).await {
        Ok(deleted) => deleted,
        Err(error) if error.kind() == ErrorKind::NoGroup => true,
        Err(error) => {
            context.metrics.redis_error(error.kind());
            tracing::warn!(group = %context.group, consumer = %context.consumer, %error, "could not delete the consumer; the reaper will");
            false
        }
    }
}
