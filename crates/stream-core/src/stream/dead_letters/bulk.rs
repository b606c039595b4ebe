//! Sending back or purging many dead letters: page by page, at a rate, until done or cancelled.

use std::{num::NonZeroU32, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{DeadLetterFilter, DeadLetterPage, DeadLetterQuery, DeadLetters, Direction, RedriveOutcome};
use crate::{Error, RangeQuery, StreamId};

/// Dead letters of one step: what a purge deletes at once, and how often a run looks whether to stop.
const STEP: usize = 100;
const STEP_SCAN_MAX: usize = 1_000;

/// What a run may make up for at once if it fell behind its rate.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Which dead letters, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bulk {
    /// Which of them.
    pub filter: DeadLetterFilter,
    /// Their own IDs, whose milliseconds are the time of death; always the oldest first.
    pub range: RangeQuery,
    /// At most so many a second; a dry run sends nothing and does not wait.
    pub rate: Option<NonZeroU32>,
    /// Only count.
    pub dry_run: bool,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct BulkTotals {
    /// Dead letters that were looked at.
    pub scanned: u64,
    /// Those of them that fit.
    pub matched: u64,
    /// Sent back or purged; in a dry run those that would have been.
    pub done: u64,
    /// Gone by the time their turn came: somebody else was faster.
    pub absent: u64,
    /// Left where they are, since there is no payload that could be sent back.
    pub payload_lost: u64,
    /// Left where they are, since they tell of no entry.
    pub unreadable: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkEnd {
    /// Everything that was there when it began has been looked at.
    Finished,
    /// It was cancelled; what is done is done.
    Cancelled,
}

/// A run in progress.
struct Run<'a, P> {
    bulk: &'a Bulk,
    cancel: &'a CancellationToken,
    progress: P,
    totals: BulkTotals,
    next_slot: Instant,
}

impl<P: FnMut(&BulkTotals)> Run<'_, P> {
    /// Waits for the next slot of the rate; false once cancelled.
    async fn slot(&mut self) -> bool {
        if self.cancel.is_cancelled() {
            return false;
        }
        let Some(rate) = self.bulk.rate.filter(|_| !self.bulk.dry_run) else { return true };
        let now = Instant::now();
        let slot = now.checked_sub(CATCH_UP).map_or(self.next_slot, |past| self.next_slot.max(past));
        self.next_slot = slot + Duration::from_secs(1) / rate.get();
        if slot <= now {
            return true;
        }
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = sleep_until(slot) => true,
        }
    }

    fn report(&mut self) {
        (self.progress)(&self.totals);
    }
}

/// What is done with what fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Redrive,
    Purge,
}

impl DeadLetters {
    /// [Redrives](Self::redrive) what fits, the oldest first. What dies while it runs is left alone: an entry that
    /// dies again is not sent back twice by one run. `progress` is called after every step, so that after an error
    /// its last totals tell what was done; starting anew goes on where the failed run stopped.
    pub async fn redrive_all(
        &self,
        bulk: &Bulk,
        cancel: &CancellationToken,
        progress: impl FnMut(&BulkTotals),
    ) -> Result<(BulkTotals, BulkEnd), Error> {
        self.run(bulk, cancel, progress, Deed::Redrive).await
    }

    /// [Purges](Self::purge) what fits, for good; with an empty filter the unreadable too. What dies while it runs
    /// is left alone. `progress` as in [`redrive_all`](Self::redrive_all).
    pub async fn purge_all(
        &self,
        bulk: &Bulk,
        cancel: &CancellationToken,
        progress: impl FnMut(&BulkTotals),
    ) -> Result<(BulkTotals, BulkEnd), Error> {
        self.run(bulk, cancel, progress, Deed::Purge).await
    }

    /// Goes through what is there now, page by page.
    async fn run(
        &self,
        bulk: &Bulk,
        cancel: &CancellationToken,
        progress: impl FnMut(&BulkTotals),
        deed: Deed,
    ) -> Result<(BulkTotals, BulkEnd), Error> {
        let next_slot = Instant::now();
        let mut run = Run { bulk, cancel, progress, totals: BulkTotals::default(), next_slot };
        let newest = self.end(Direction::Backward).await?.unwrap_or(StreamId::MIN);
        let (start, end) = (bulk.range.start, bulk.range.end.min(newest));
        let mut rest = (start <= end).then_some(RangeQuery { start, end, direction: Direction::Forward });
        while let Some(range) = rest {
            if cancel.is_cancelled() {
                return Ok((run.totals, BulkEnd::Cancelled));
            }
            let query =
                DeadLetterQuery { filter: bulk.filter.clone(), range, limit: STEP, scan_max: STEP_SCAN_MAX };
            let page = self.page(&query).await?;
            run.totals.scanned += page.scanned as u64;
            run.totals.matched += (page.letters.len() + page.unreadable.len()) as u64;
            let goes_on = match deed {
                Deed::Redrive => self.redrive_page(&page, &mut run).await?,
                Deed::Purge => self.purge_page(&page, &mut run).await?,
            };
            run.report();
            if !goes_on {
                return Ok((run.totals, BulkEnd::Cancelled));
            }
            rest = page.next;
        }
        Ok((run.totals, BulkEnd::Finished))
    }

    /// Whether to go on.
    async fn redrive_page<P: FnMut(&BulkTotals)>(
        &self,
        page: &DeadLetterPage,
        run: &mut Run<'_, P>,
    ) -> Result<bool, Error> {
        run.totals.unreadable += page.unreadable.len() as u64;
        for letter in &page.letters {
            if letter.payload_lost() {
                run.totals.payload_lost += 1;
                continue;
            }
            if !run.slot().await {
                return Ok(false);
            }
            if run.bulk.dry_run {
                run.totals.done += 1;
                continue;
            }
            match self.redrive(letter.id).await? {
                RedriveOutcome::Sent(_) => run.totals.done += 1,
                RedriveOutcome::Absent => run.totals.absent += 1,
                RedriveOutcome::PayloadLost => run.totals.payload_lost += 1,
                RedriveOutcome::Unreadable => run.totals.unreadable += 1,
            }
            run.report();
        }
        Ok(true)
    }

    /// Whether to go on.
    async fn purge_page<P: FnMut(&BulkTotals)>(
        &self,
        page: &DeadLetterPage,
        run: &mut Run<'_, P>,
    ) -> Result<bool, Error> {
        let letters = page.letters.iter().map(|letter| letter.id);
        let ids: Vec<StreamId> = letters.chain(page.unreadable.iter().map(|letter| letter.id)).collect();
        let count = ids.len() as u64;
        let done = if run.bulk.dry_run { count } else { self.purge(&ids).await? };
        run.totals.done += done;
        run.totals.absent += count - done;
        // The step counts as its letters do, so that the rate holds for them.
        for _ in 0..count {
            if !run.slot().await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
