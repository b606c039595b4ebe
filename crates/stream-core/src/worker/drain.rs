//! Draining a consumer: finish what runs, settle it, give the rest back.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};

use super::{engine::Engine, metrics::DeliveryOutcome, process::Process};
use crate::{PendingFilter, StreamId};

/// How long acks under way may take beyond the drain timeout.
const SETTLE_MAX: Duration = Duration::from_millis(500);

/// Rows that an abandoned read may have been handed and that are looked for.
const ORPHANS_MAX: usize = 10_000;

/// What a drain did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Entries in flight when the drain began whose handlers have come to an end, and were acked,
    /// dead-lettered or left for another attempt.
    pub finished: u64,
    /// Entries that were never started: given back, claimable at once, their delivery not counted.
    pub released: u64,
    /// Entries whose handlers did not finish in time: given back, their delivery counted.
    pub abandoned: u64,
    /// Entries that waited for another attempt: given back, claimable at once, their deliveries counted.
    pub waiting: u64,
}

impl DrainReport {
    /// The sum over several consumers.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            released: self.released + other.released,
            abandoned: self.abandoned + other.abandoned,
            waiting: self.waiting + other.waiting,
        }
    }
}

/// Drains within the drain timeout. `reader` has been told to stop.
pub(super) async fn drain<P: Process>(mut engine: Engine<P>, reader: JoinHandle<()>) -> DrainReport {
    let settings = Arc::clone(&engine.context.settings);
    let began = Instant::now();
    let deadline = began + settings.drain_timeout;
    let before: HashSet<StreamId> = engine.unsettled().into_iter().collect();

    // Never started, and not to be: read or claimed too late.
    let mut unstarted: HashSet<StreamId> =
        engine.queue.take_all().iter().map(|delivery| delivery.row).collect();
    let mut renew_tick = tokio::time::interval(settings.renew_interval());
    let mut reading = true;
    loop {
        // Entries let go by a finished one, or claimed meanwhile, are not started either.
        unstarted.extend(engine.queue.take_all().iter().map(|delivery| delivery.row));
        engine.flush_acks();
        let idle = engine.running.is_empty() && !engine.is_settling();
        if idle && !reading {
            break;
        }
        tokio::select! {
            biased;
            // The last read comes to its end by itself, unless its BLOCK is longer than that.
            () = sleep_until(deadline) => break,
            Some(result) = engine.background.join_next() => engine.on_background(result),
            Some(result) = engine.running.join_next() => engine.on_finished(result),
            entries = engine.incoming.recv(), if reading => match entries {
                Some(entries) => engine.accept_late(&entries, &mut unstarted),
                None => reading = false,
            },
            _ = renew_tick.tick() => engine.renew(),
        }
    }
    abandon(&mut engine, deadline + SETTLE_MAX).await;
    // Claims that were answered only now: never started, so their delivery does not count.
    unstarted.extend(engine.queue.take_all().iter().map(|delivery| delivery.row));
    // Drops the reader's connection, so that nothing more is delivered to this consumer.
    reader.abort();
    let was_reading = reader.await.is_err();
    while let Ok(entries) = engine.incoming.try_recv() {
        engine.accept_late(&entries, &mut unstarted);
    }
    if was_reading {
        accept_orphans(&mut engine, began, &mut unstarted).await;
    }

    let left: HashSet<StreamId> = engine.unsettled().into_iter().collect();
    let started: Vec<StreamId> = left.iter().copied().filter(|id| !unstarted.contains(id)).collect();
    let unstarted: Vec<StreamId> = left.iter().copied().filter(|id| unstarted.contains(id)).collect();
    let waiting = engine.waiting();
    give_back(&mut engine, &unstarted, &started, &waiting).await;
    DrainReport {
        finished: before.iter().filter(|id| !left.contains(id)).count() as u64,
        released: unstarted.len() as u64,
        abandoned: started.len() as u64,
        waiting: waiting.len() as u64,
    }
}

/// Takes note of what the server has handed to a read whose answer nobody waited for. Should it hand out something
/// even later, peers claim that once it has been idle for long enough.
async fn accept_orphans<P: Process>(
    engine: &mut Engine<P>,
    began: Instant,
    unstarted: &mut HashSet<StreamId>,
) {
    let context = Arc::clone(&engine.context);
    let filter = PendingFilter {
        start: engine.newest_read,
        count: ORPHANS_MAX,
        consumer: Some(&context.consumer),
        ..PendingFilter::default()
    };
    let rows = match context.stream.pending(&context.group, &filter).await {
        Ok(rows) => rows,
        Err(error) => {
            context.metrics.redis_error(error.kind());
            tracing::warn!(group = %context.group, consumer = %context.consumer, %error, "could not look for what the last read was handed");
            return;
        }
    };
    // Others are retries that wait, or rows that somebody has handed over.
    let since_read = began.elapsed() + context.settings.block + SETTLE_MAX;
    let orphans = rows.into_iter().filter(|row| row.deliveries == 1 && row.idle <= since_read);
    for id in orphans.map(|row| row.id).filter(|id| *id > engine.newest_read).collect::<Vec<_>>() {
        if engine.take_in(id, false) {
            unstarted.insert(id);
        }
    }
}

/// Ends what still runs. Handlers that had finished, and acks under way, are heard until `until`: dropped, they
/// would be done again by somebody else.
async fn abandon<P: Process>(engine: &mut Engine<P>, until: Instant) {
    engine.running.abort_all();
    while let Ok(Some(result)) = timeout_at(until, engine.running.join_next()).await {
        engine.on_finished(result);
    }
    loop {
        engine.flush_acks();
        if !engine.is_settling() {
            break;
        }
        match timeout_at(until, engine.background.join_next()).await {
            Ok(Some(result)) => engine.on_background(result),
            _ => break,
        }
    }
    engine.background.shutdown().await;
}

/// Releases entries so that a peer can claim them at once. If Redis does not answer, peers claim them once
/// they have been idle for long enough.
async fn give_back<P: Process>(
    engine: &mut Engine<P>,
    unstarted: &[StreamId],
    started: &[StreamId],
    waiting: &[StreamId],
) {
    let context = Arc::clone(&engine.context);
    // What was postponed at its first delivery has not been tried at all.
    let (untried, waited): (Vec<StreamId>, Vec<StreamId>) = waiting.iter().partition(|id| {
        engine.in_flight.get(id).and_then(|held| held.parked).is_some_and(|parked| parked.was_never_tried())
    });
    let (uncounted, counted) = ([unstarted, &untried].concat(), [started, &waited].concat());
    if let Err(error) = context.stream.release(&context.group, &context.consumer, &uncounted, &counted).await
    {
        context.metrics.redis_error(error.kind());
        tracing::warn!(group = %context.group, consumer = %context.consumer, %error, "could not release entries; peers claim them later");
    }
    if !started.is_empty() {
        tracing::warn!(group = %context.group, consumer = %context.consumer, count = started.len(), first = ?started.first(), "handlers did not finish in time; abandoned");
    }
    for id in unstarted {
        engine.forget(*id, DeliveryOutcome::Released);
    }
    for id in started {
        engine.forget(*id, DeliveryOutcome::Abandoned);
    }
    // Counted as retried when they failed.
    for id in waiting {
        engine.let_go(*id);
    }
}
