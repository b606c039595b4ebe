//! Dead letters sent back or purged, chosen by ID or by filter, while whoever asked watches how far it is.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};
use service_kit::Problem;
use stream_core::{Bulk, BulkEnd, BulkTotals, DeadLetters, Error, RedriveOutcome, StreamId};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;

use crate::{
    app::App,
    looking::{dead_letters::Filter, entries::full_id},
    problems,
};

/// Dead letters that can be named in one request.
const IDS_MAX: usize = 1_000;

/// Which dead letters, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// These, by their own IDs; at most 1000. Either this or `filter`.
    pub(crate) ids: Option<Vec<String>>,
    /// Those that fit; all of them with `{}`.
    pub(crate) filter: Option<Filter>,
    /// Only count them.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// At most so many a second.
    pub(crate) rate: Option<u32>,
}

/// What is to be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Redrive,
    Purge,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    pub(crate) looked_at: u64,
    pub(crate) matched: u64,
    /// Sent back or purged; with `dry_run` those that would have been.
    pub(crate) done: u64,
    /// Not there any more when their turn came.
    pub(crate) gone: u64,
    /// Left where they are: without a payload, or not readable.
    pub(crate) failed: u64,
}

impl From<&BulkTotals> for Counts {
    fn from(totals: &BulkTotals) -> Self {
        let BulkTotals { scanned, matched, done, absent, payload_lost, unreadable } = *totals;
        Self { looked_at: scanned, matched, done, gone: absent, failed: payload_lost + unreadable }
    }
}

/// How it ended.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Whether it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Complete,
    /// The client hung up, or the console stops.
    Stopped,
    Failed,
}

/// Which of them, checked.
enum Chosen {
    Ids(Vec<StreamId>),
    Fitting(Bulk),
}

/// A run in progress. Dropped, it stops: what is done is done, the rest stays.
#[derive(Debug)]
pub(crate) struct Run {
    progress: watch::Receiver<Counts>,
    ended: JoinHandle<Result<BulkEnd, Error>>,
    _stop: DropGuard,
}

/// A line of the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    Progress(Counts),
    End(End),
}

/// Begins to do it.
pub(crate) fn start(app: &App, group: &str, choice: Choice, deed: Deed) -> Result<Run, Problem> {
    let rate = match choice.rate {
        Some(0) => return Err(problems::invalid_body("rate: at least 1 a second, or left out")),
        rate => rate.and_then(NonZeroU32::new),
    };
    let dry_run = choice.dry_run;
    let chosen = match (choice.ids, choice.filter) {
        (Some(ids), None) if (1..=IDS_MAX).contains(&ids.len()) => {
            Chosen::Ids(ids.iter().map(|id| full_id(id)).collect::<Result<_, _>>()?)
        }
        (Some(_), None) => return Err(problems::invalid_body(format!("ids: allowed are 1 to {IDS_MAX}"))),
        (None, Some(filter)) => {
            let (filter, range) = filter.read()?;
            Chosen::Fitting(Bulk { filter, range, rate, dry_run })
        }
        _ => return Err(problems::invalid_body("say either ids or filter")),
    };
    let letters = app.stream.dead_letters(group);
    let stop = app.shutdown.child_token();
    let (told, progress) = watch::channel(Counts::default());
    let task = {
        let (stop, group) = (stop.clone(), group.to_owned());
        async move {
            let ended = match chosen {
                Chosen::Ids(ids) => by_id(&letters, &ids, deed, dry_run, rate, &stop, &told).await,
                Chosen::Fitting(bulk) => by_filter(&letters, &bulk, deed, &stop, &told).await,
            };
            let counts = *told.borrow();
            tracing::info!(
                group,
                ?deed,
                dry_run,
                done = counts.done,
                ended = ended.is_ok(),
                "dead letters were handled"
            );
            ended
        }
    };
    Ok(Run { progress, ended: tokio::spawn(task), _stop: stop.drop_guard() })
}

async fn by_filter(
    letters: &DeadLetters,
    bulk: &Bulk,
    deed: Deed,
    stop: &CancellationToken,
    told: &watch::Sender<Counts>,
) -> Result<BulkEnd, Error> {
    let tell = |totals: &BulkTotals| _ = told.send_replace(totals.into());
    let (totals, end) = match deed {
        Deed::Redrive => letters.redrive_all(bulk, stop, tell).await?,
        Deed::Purge => letters.purge_all(bulk, stop, tell).await?,
    };
    told.send_replace((&totals).into());
    Ok(end)
}

async fn by_id(
    letters: &DeadLetters,
    ids: &[StreamId],
    deed: Deed,
    dry_run: bool,
    rate: Option<NonZeroU32>,
    stop: &CancellationToken,
    told: &watch::Sender<Counts>,
) -> Result<BulkEnd, Error> {
    let mut slot = Instant::now();
    for id in ids {
        let in_time = async {
            if rate.is_some() {
                sleep_until(slot).await;
            }
        };
        if stop.is_cancelled() || stop.run_until_cancelled(in_time).await.is_none() {
            return Ok(BulkEnd::Cancelled);
        }
        if let Some(rate) = rate {
            slot += Duration::from_secs(1) / rate.get();
        }
        let mut one = Counts { looked_at: 1, matched: 1, ..Counts::default() };
        let outcome = match (dry_run, deed) {
            (true, _) => match letters.get(*id).await? {
                Some(Ok(letter)) if deed == Deed::Redrive && letter.payload_lost() => {
                    RedriveOutcome::PayloadLost
                }
                Some(Err(_)) if deed == Deed::Redrive => RedriveOutcome::Unreadable,
                Some(_) => RedriveOutcome::Sent(*id),
                None => RedriveOutcome::Absent,
            },
            (false, Deed::Redrive) => letters.redrive(*id).await?,
            (false, Deed::Purge) if letters.purge(&[*id]).await? == 1 => RedriveOutcome::Sent(*id),
            (false, Deed::Purge) => RedriveOutcome::Absent,
        };
        match outcome {
            RedriveOutcome::Sent(_) => one.done = 1,
            RedriveOutcome::Absent => one = Counts { matched: 0, gone: 1, ..one },
            RedriveOutcome::PayloadLost | RedriveOutcome::Unreadable => one.failed = 1,
        }
        told.send_modify(|counts| *counts = counts.plus(one));
    }
    Ok(BulkEnd::Finished)
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self {
            looked_at: self.looked_at + other.looked_at,
            matched: self.matched + other.matched,
            done: self.done + other.done,
            gone: self.gone + other.gone,
            failed: self.failed + other.failed,
        }
    }
}

impl Run {
    /// How far it is `every` so often, and at last how it ended.
    pub(crate) async fn next(&mut self, every: Duration) -> Line {
        let ended = tokio::time::timeout(every, &mut self.ended).await;
        let counts = *self.progress.borrow_and_update();
        let (outcome, reason) = match ended {
            Err(_) => return Line::Progress(counts),
            Ok(Ok(Ok(BulkEnd::Finished))) => (Outcome::Complete, None),
            Ok(Ok(Ok(BulkEnd::Cancelled))) => (Outcome::Stopped, None),
            Ok(Ok(Err(error))) => (Outcome::Failed, Some(error.to_string())),
            Ok(Err(_)) => (Outcome::Failed, Some("internal error".to_owned())),
        };
        Line::End(End { outcome, reason, counts })
    }
}
