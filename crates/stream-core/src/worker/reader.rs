//! The reader of a stream: blocking on a connection of its own, or polling where little is to be expected.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{context::Context, failures::Failures};
use crate::{BlockingConnection, Entry, ErrorKind, backoff::Backoff};

/// When reading is allowed: the name is held, and the engine wants more.
pub(super) struct ReadGate {
    pub(super) name_held: watch::Receiver<bool>,
    pub(super) engine_reads: watch::Receiver<bool>,
}

impl ReadGate {
    /// Waits until both allow it; `false` if the engine is gone.
    async fn open(&mut self) -> bool {
        loop {
            if self.name_held.wait_for(|held| *held).await.is_err() {
                return false;
            }
            if self.engine_reads.wait_for(|reads| *reads).await.is_err() {
                return false;
            }
            if *self.name_held.borrow() {
                return true;
            }
        }
    }
}

/// How new entries are asked for.
pub(super) enum Source {
    /// Reads that wait at the server; nobody else uses the connection.
    Blocking(BlockingConnection),
    /// Reads over the shared connection, one a claim interval, and at once while they bring something.
    Polling,
}

/// Reads new entries while there is room for them.
pub(super) struct Reader {
    pub(super) context: Arc<Context>,
    pub(super) source: Source,
    /// One permit for each entry that may be in flight; the engine gives them back as entries settle.
    pub(super) permits: Arc<Semaphore>,
    pub(super) gate: ReadGate,
    /// True while no read is under way, and everything that was read has been sent.
    pub(super) at_rest: watch::Sender<bool>,
}

impl Reader {
    /// Reads until `stop`, letting the read in progress come to its end. A drain that cannot wait for it
    /// aborts the task: the connection goes with it, so that the server hands it nothing more.
    pub(super) async fn run(mut self, batches: mpsc::Sender<Vec<Entry>>, stop: CancellationToken) {
        let (mut backoff, mut failures) = (Backoff::new(), Failures::default());
        loop {
            self.rest();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                open = self.gate.open() => if !open { return },
            }
            let room = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                room = self.make_room() => room,
            };
            let Ok(mut reserved) = room else { return };
            // Before the gate is looked at: whoever closed it and then saw the reader at rest can rely on that.
            self.at_rest.send_replace(false);
            // Waiting for room may have taken long; the gate may have closed meanwhile.
            if !*self.gate.engine_reads.borrow() || !*self.gate.name_held.borrow() {
                continue;
            }
            let wanted = self.context.settings.read_max().saturating_sub(reserved.num_permits());
            let more = self.permits.available_permits().min(wanted);
            if let Ok(extra) = Arc::clone(&self.permits).try_acquire_many_owned(more as u32) {
                reserved.merge(extra);
            }
            match self.read(reserved.num_permits()).await {
                Ok(entries) => {
                    backoff.reset();
                    self.context.works(&mut failures, "reading");
                    if entries.is_empty() {
                        drop(reserved);
                        self.rest();
                        if !self.pause(&stop).await {
                            return;
                        }
                        continue;
                    }
                    // The engine gives these permits back as the entries settle.
                    if let Some(used) = reserved.split(entries.len()) {
                        used.forget();
                    }
                    if batches.send(entries).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    drop(reserved);
                    self.context.failed_vital(&mut failures, "reading", &error);
                    self.rest();
                    self.recover(&error).await;
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            }
        }
    }

    fn rest(&self) {
        self.at_rest.send_if_modified(|rests| !std::mem::replace(rests, true));
    }

    /// Waits until there is room for a read worth its round trip.
    async fn make_room(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let threshold = self.context.settings.read_threshold();
        let mut room = Arc::clone(&self.permits).acquire_owned().await?;
        while room.num_permits() < threshold {
            // Not all at once: the semaphore is fair, so a claim would wait until the last of them was free.
            let free = self.permits.available_permits();
            let more = free.min(threshold - room.num_permits()).max(1);
            room.merge(Arc::clone(&self.permits).acquire_many_owned(more as u32).await?);
        }
        Ok(room)
    }

    async fn read(&mut self, count: usize) -> Result<Vec<Entry>, crate::Error> {
        let Context { stream, group, consumer, settings, .. } = &*self.context;
        match &mut self.source {
            Source::Blocking(connection) => {
                stream.read_new(connection, group, consumer, count, settings.block).await
            }
            Source::Polling => match stream.read_now(group, consumer, count).await {
                // Nothing has been sent back yet, unless somebody has destroyed the group.
                Err(error) if error.kind() == ErrorKind::NoGroup => {
                    self.context.restore_redrive_group().await.map(|()| Vec::new())
                }
                result => result,
            },
        }
    }

    /// Waits between two polls; `false` if `stop` came first.
    async fn pause(&self, stop: &CancellationToken) -> bool {
        if matches!(self.source, Source::Blocking(_)) {
            return true;
        }
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(self.context.settings.claim_interval_jittered()) => true,
        }
    }

    /// Recreates a group that is gone.
    async fn recover(&self, error: &crate::Error) {
        if error.kind() == ErrorKind::NoGroup
            && let Err(error) = self.context.restore_group(true).await
        {
            self.context.report("recreating the group failed", &error);
        }
    }
}
