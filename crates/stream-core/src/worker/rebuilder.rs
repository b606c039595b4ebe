//! [`Rebuilder`]: does the rebuilds of a projection that somebody asks for, as long as its worker runs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Delivery, Projection,
    failures::{Failures, Throttle},
    process::panic_text,
};
use crate::{
    Entry, Error, ErrorKind, EventStream, Holder, Lease, RangeQuery, RebuildPhase, RebuildStatus, StreamId,
    Take,
    backoff::Backoff,
    commit::{CommitBatch, NotAdded},
    rebuild::{Begun, Replayed},
    stream::unix_ms,
};

/// How often it looks whether there is something to do.
const POLL: Duration = Duration::from_secs(1);
/// The lease lasts so long after its holder has died; it is renewed in a third of it.
const LEASE_TTL: Duration = Duration::from_secs(5);
/// Entries of one page of history: some 10 ms of the server's time, between which it serves the others.
const PAGE: usize = 500;
/// How often the dead letters are looked through again because some have moved meanwhile.
const LETTER_ROUNDS_MAX: usize = 1_000;
/// Between two looks at the server's keys while a generation is deleted.
const DROP_PAUSE: Duration = Duration::from_millis(2);
/// How often an entry that cannot be replayed is logged.
const REJECTED_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for rebuilds and does them. Any number of processes may run one: a lease lets one at a time work, and should
/// two of them do so all the same, each page of history still counts once.
pub(super) struct Rebuilder<P> {
    stream: EventStream,
    group: Arc<str>,
    projection: Arc<P>,
    lease: Lease,
    owner: String,
    renewed: Instant,
    rejected_log: Throttle,
}

/// Why a piece of work ended before its end.
enum Stopped {
    /// Shut down, or the lease is somebody else's.
    NotOurs,
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<P: Projection> Rebuilder<P> {
    pub(super) fn new(stream: EventStream, group: Arc<str>, projection: Arc<P>, holder: &Holder) -> Self {
        let key = stream.key().rebuild_lease(&group);
        let lease = Lease::new(stream.connection().clone(), key, holder.to_lease_value(), LEASE_TTL);
        Self {
            stream,
            group,
            projection,
            lease,
            owner: holder.to_string(),
            renewed: Instant::now(),
            rejected_log: Throttle::new(REJECTED_LOG_INTERVAL),
        }
    }

    /// Looks for work until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mut backoff, mut failures) = (Backoff::new(), Failures::default());
        loop {
            match self.look(&stop).await {
                Ok(()) | Err(Stopped::NotOurs) => {
                    if let Some(attempts) = failures.recovered() {
                        tracing::info!(group = %self.group, attempts, "rebuilding works again");
                    }
                    backoff.reset();
                }
                Err(Stopped::Failed(error)) => {
                    if let Some(attempts) = failures.failed(Instant::now()) {
                        tracing::warn!(group = %self.group, attempts, %error, "rebuilding failed; trying again");
                    }
                    if !backoff.wait(&stop).await {
                        return;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(POLL) => {}
            }
        }
    }

    /// Does what there is to do, if nobody else does.
    async fn look(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let status = self.stream.rebuild_status(&self.group).await?;
        let now = unix_ms();
        if !status.phase.is_active() && !status.to_drop.iter().any(|(_, due)| *due <= now) {
            return Ok(());
        }
        if !self.take_lease().await? {
            return Ok(());
        }
        let done = self.work(status, stop).await;
        // Should this fail, the lease runs out.
        let released = self.lease.release().await;
        done?;
        released?;
        Ok(())
    }

    async fn take_lease(&mut self) -> Result<bool, Error> {
        let mut taken = self.lease.take(None).await?;
        if let Take::Held { value, .. } = &taken
            && Holder::value_is_of_gone_process(value)
        {
            let gone = value.clone();
            taken = self.lease.take(Some(&gone)).await?;
        }
        self.renewed = Instant::now();
        Ok(taken == Take::Taken)
    }

    /// Between two steps: whether to go on.
    async fn keep(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        if stop.is_cancelled() {
            return Err(Stopped::NotOurs);
        }
        if self.renewed.elapsed() >= LEASE_TTL / 3 {
            if !self.lease.renew().await? {
                return Err(Stopped::NotOurs);
            }
            self.renewed = Instant::now();
        }
        Ok(())
    }

    async fn work(&mut self, status: RebuildStatus, stop: &CancellationToken) -> Result<(), Stopped> {
        let now = unix_ms();
        for (generation, _) in status.to_drop.iter().filter(|(_, due)| *due <= now) {
            self.drop_generation(*generation, stop).await?;
        }
        if status.phase == RebuildPhase::Requested && !self.begin().await? {
            return Ok(());
        }
        let status = self.stream.rebuild_status(&self.group).await?;
        match status.phase {
            RebuildPhase::Letters => {
                self.note_dead_letters(status.epoch, stop).await?;
                self.replay(stop).await
            }
            RebuildPhase::Replay => self.replay(stop).await,
            _ => Ok(()),
        }
    }

    /// Whether the rebuild has begun.
    async fn begin(&mut self) -> Result<bool, Stopped> {
        if self.projection.key_prefixes().is_empty() {
            let message = "the projection does not name its keys (Projection::key_prefixes)";
            self.stream.explain_rebuild(&self.group, message).await?;
            self.stream.abort_rebuild(&self.group).await?;
            return Ok(false);
        }
        // The more lies below the position, the less has to be copied. Without a group the recorded one serves.
        match self.stream.record_position(&self.group).await {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NoGroup | ErrorKind::Server) => {
                tracing::debug!(group = %self.group, %error, "rebuilding from the position recorded before");
            }
            Err(error) => return Err(error.into()),
        }
        match self.stream.begin_rebuild(&self.group, &self.owner).await? {
            Begun::Started => {
                tracing::info!(group = %self.group, "rebuilding the projection: commits go to both generations");
                Ok(true)
            }
            Begun::NotRequested => Ok(true),
            Begun::Refused => {
                tracing::warn!(group = %self.group, "a rebuild was refused: entries are lost");
                Ok(false)
            }
            Begun::Busy(ids) => {
                let message = format!(
                    "{ids} entries are applied above the oldest pending one; waiting until that one is settled"
                );
                self.stream.explain_rebuild(&self.group, &message).await?;
                Ok(false)
            }
        }
    }

    /// Notes every dead letter, and every one that was sent back. One that moves from one stream to the other and back
    /// meanwhile could escape a single look, but not one during which nothing was added to the dead letters.
    async fn note_dead_letters(&mut self, epoch: u64, stop: &CancellationToken) -> Result<(), Stopped> {
        let (mut dead_after, mut sent_after) = (StreamId::MIN, StreamId::MIN);
        for _ in 0..LETTER_ROUNDS_MAX {
            let before = self.note_all(epoch, false, &mut dead_after, stop).await?;
            self.note_all(epoch, true, &mut sent_after, stop).await?;
            let after = self.note_all(epoch, false, &mut dead_after, stop).await?;
            if before == after {
                return Ok(());
            }
        }
        tracing::warn!(group = %self.group, "dead letters are added faster than they can be noted; going on");
        Ok(())
    }

    /// Notes what is in one of the two streams after an ID, and returns the newest that it has ever given.
    async fn note_all(
        &mut self,
        epoch: u64,
        sent_back: bool,
        after: &mut StreamId,
        stop: &CancellationToken,
    ) -> Result<StreamId, Stopped> {
        loop {
            self.keep(stop).await?;
            let page = self.stream.note_dead_letters(&self.group, epoch, sent_back, *after).await?;
            let Some(page) = page else { return Err(Stopped::NotOurs) };
            *after = page.last.unwrap_or(*after);
            if !page.full {
                return Ok(page.newest);
            }
        }
    }

    /// Replays history page by page up to the boundary, then swaps.
    async fn replay(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        loop {
            self.keep(stop).await?;
            let status = self.stream.rebuild_status(&self.group).await?;
            if !matches!(status.phase, RebuildPhase::Letters | RebuildPhase::Replay) {
                return Ok(());
            }
            let entries = match status.cursor.next() {
                Some(start) if start <= status.boundary => {
                    let query = RangeQuery { start, end: status.boundary, ..RangeQuery::default() };
                    self.stream.range(query, PAGE).await?.entries
                }
                _ => Vec::new(),
            };
            if entries.is_empty() {
                return self.swap(&status).await;
            }
            self.replay_page(&status, &entries).await?;
        }
    }

    async fn replay_page(&mut self, status: &RebuildStatus, entries: &[Entry]) -> Result<(), Stopped> {
        let Some(last) = entries.last() else { return Ok(()) };
        let mut batch = CommitBatch::new();
        for entry in entries {
            self.include(&mut batch, entry);
        }
        let replayed =
            self.stream.replay(&self.group, status, last.id, entries.len(), &batch, &self.owner).await?;
        match replayed {
            Replayed::Overflow(message) if entries.len() == 1 => {
                self.report(last.id, &message);
                let mut batch = CommitBatch::new();
                batch.add_rejected(last.id, last.id);
                self.stream.replay(&self.group, status, last.id, 1, &batch, &self.owner).await?;
                Ok(())
            }
            // One by one, to find the entry that causes it: half a page at a time, down to that entry.
            Replayed::Overflow(_) => Box::pin(self.replay_page(status, &entries[..entries.len() / 2])).await,
            // The next look at the state tells how to go on.
            Replayed::Applied | Replayed::Elsewhere => Ok(()),
            Replayed::Moved => Err(Stopped::NotOurs),
        }
    }

    /// Adds an entry of history to a page, as what it was when it was new.
    fn include(&mut self, batch: &mut CommitBatch, entry: &Entry) {
        let delivery = Delivery {
            id: entry.id,
            fields: entry.fields.clone(),
            deliveries: 1,
            group: Arc::clone(&self.group),
            consumer: "rebuild".into(),
            row: entry.id,
            failures: 0,
        };
        let project = || batch.add(entry.id, entry.id, |effects| self.projection.project(&delivery, effects));
        let reason = match catch_unwind(AssertUnwindSafe(project)) {
            Ok(Ok(())) => return,
            Ok(Err(NotAdded::Rejected(rejection))) => rejection.reason,
            Ok(Err(NotAdded::ReservedKey(key))) => format!("the projection writes to {key}"),
            Err(panic) => format!("the projection panicked: {}", panic_text(&*panic)),
        };
        batch.discard_unfinished();
        // It counts as rejected if it was applied once; a dead letter it is anyway.
        batch.add_rejected(entry.id, entry.id);
        self.report(entry.id, &reason);
    }

    fn report(&mut self, id: StreamId, reason: &str) {
        if let Some(suppressed) = self.rejected_log.admit(Instant::now()) {
            tracing::warn!(group = %self.group, entry = %id, reason, suppressed, "an entry is left out of the rebuild");
        }
    }

    async fn swap(&mut self, status: &RebuildStatus) -> Result<(), Stopped> {
        let outcome = self.stream.end_rebuild(&self.group, "swap", Some(status.epoch)).await?;
        match outcome.as_str() {
            "swapped" => tracing::info!(
                group = %self.group, replayed = status.replayed, rejected = status.rejected,
                generation = status.next, "the rebuilt projection is live"
            ),
            "refused" => tracing::warn!(
                group = %self.group, "history lost entries under the replay: the live projection stays"
            ),
            _ => {}
        }
        Ok(())
    }

    async fn drop_generation(&mut self, generation: u64, stop: &CancellationToken) -> Result<(), Stopped> {
        if generation == 0 && self.projection.key_prefixes().is_empty() {
            return Ok(());
        }
        let mut cursor = 0;
        // Ends: SCAN comes back to 0 after every key has been looked at (Redis command reference, "SCAN").
        loop {
            self.keep(stop).await?;
            let prefixes = self.projection.key_prefixes();
            cursor = self.stream.drop_generation(&self.group, generation, prefixes, cursor).await?;
            if cursor == 0 {
                tracing::info!(group = %self.group, generation, "deleted a generation of the projection");
                return Ok(());
            }
            sleep(DROP_PAUSE).await;
        }
    }
}
