//! Recovery as scripts: claiming idle entries, sweeping exhausted ones, retiring dead consumers.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Value};

use super::{DeadReason, EventStream, Redriven};
use crate::{
    Entry, Error, Fields, StreamId,
    reply::{
        take_array, take_bytes, take_fields, take_id, take_ids, take_int, take_string, take_tuple, unexpected,
    },
    scripts,
};

/// What a consumer asks for when it claims idle entries.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// The group.
    pub group: &'a str,
    /// Who takes the entries over.
    pub consumer: &'a str,
    /// Only entries idle for so long.
    pub min_idle: Duration,
    /// Only entries after this one; `None` from the start of the list.
    pub after: Option<StreamId>,
    /// Rows to look at.
    pub page: usize,
    /// Rows delivered so often are dead-lettered instead.
    pub max_deliveries: u64,
    /// Rows delivered so often may be what kills processes.
    pub suspect_deliveries: u64,
    /// How many of those to take; the others are left where they are, uncounted.
    pub suspects_allowed: usize,
    /// Only this consumer's rows.
    pub owner: Option<&'a str>,
    /// Instead of a page, only these entries, and only those that were delivered so often.
    pub only: &'a [(StreamId, u64)],
    /// The same claim of `only` may have been applied without an answer: what it has taken is not counted again.
    pub again: bool,
}

/// A claimed entry and the number of its deliveries, this one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedEntry {
    /// The entry.
    pub entry: Entry,
    /// Its deliveries.
    pub deliveries: u64,
}

/// One page of claimed entries.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// Go on after this entry; `None` once the list has been covered.
    pub next: Option<StreamId>,
    /// Entries that are the claimant's now.
    pub entries: Vec<ClaimedEntry>,
    /// Entries whose payload was gone; recorded as dead letters.
    pub lost: Vec<StreamId>,
    /// Entries dead-lettered for their delivery count.
    pub dead: Vec<StreamId>,
    /// Suspects that were left where they are, and how often they were delivered.
    pub suspects: Vec<(StreamId, u64)>,
    /// Why some that are past the last delivery, or whose payload is gone, could not be made dead letters. They stay
    /// pending for the next claim.
    pub refused: Option<Error>,
    oversize: Vec<Oversize>,
}

/// One page of a reaper's sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepPage {
    /// Go on after this entry; `None` once the list has been covered.
    pub next: Option<StreamId>,
    /// Entries dead-lettered for their delivery count.
    pub dead: Vec<StreamId>,
    /// Entries whose payload was gone; recorded as dead letters.
    pub lost: Vec<StreamId>,
    oversize: Vec<Oversize>,
}

/// What became of an attempt to retire a dead consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// The caller's lease was lost; nothing was done.
    Fenced,
    /// The consumer has its name again; nothing was done.
    Alive,
    /// The peer has no lease on its name (any more); nothing was done. Choose another.
    PeerGone,
    /// One page was moved.
    Page {
        /// Entries moved to the peer.
        moved: u64,
        /// Whether the consumer was deleted, its list being empty.
        deleted: bool,
        /// Entries whose payload was gone; recorded as dead letters.
        lost: Vec<StreamId>,
    },
}

/// An exhausted entry with more fields than a script can pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Oversize {
    id: StreamId,
    owner: String,
    deliveries: u64,
}

/// `""` or `"(<id>"`, as the scripts write where to go on.
fn take_next(value: Value) -> Result<Option<StreamId>, ParsingError> {
    let next = take_bytes(value)?;
    match next.split_first() {
        None => Ok(None),
        Some((_, id)) => StreamId::from_bytes(id).map(Some).map_err(|error| unexpected(&error.to_string())),
    }
}

fn take_oversize(value: Value) -> Result<Vec<Oversize>, ParsingError> {
    let mut rows = Vec::new();
    let mut items = take_array(value)?.into_iter();
    while let (Some(id), Some(owner), Some(deliveries)) = (items.next(), items.next(), items.next()) {
        let deliveries = take_int(deliveries)?.unsigned_abs();
        rows.push(Oversize { id: take_id(id)?, owner: take_string(owner)?, deliveries });
    }
    Ok(rows)
}

fn take_suspects(value: Value) -> Result<Vec<(StreamId, u64)>, ParsingError> {
    let mut suspects = Vec::new();
    let mut items = take_array(value)?.into_iter();
    while let (Some(id), Some(deliveries)) = (items.next(), items.next()) {
        suspects.push((take_id(id)?, take_int(deliveries)?.unsigned_abs()));
    }
    Ok(suspects)
}

impl FromRedisValue for Claimed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [next, entries, lost, dead, suspects, oversize, refused] = take_tuple(value)?;
        let entries = take_array(entries)?
            .into_iter()
            .map(|row| {
                let [id, fields, deliveries] = take_tuple(row)?;
                let entry = Entry { id: take_id(id)?, fields: take_fields(fields)? };
                Ok(ClaimedEntry { entry, deliveries: take_int(deliveries)?.unsigned_abs() })
            })
            .collect::<Result<_, ParsingError>>()?;
        Ok(Self {
            next: take_next(next)?,
            entries,
            lost: take_ids(lost)?,
            dead: take_ids(dead)?,
            suspects: take_suspects(suspects)?,
            refused: Some(take_string(refused)?)
                .filter(|words| !words.is_empty())
                .map(|words| Error::refused("claim", &words)),
            oversize: take_oversize(oversize)?,
        })
    }
}

/// A sweep's reply: `None` when fenced.
struct SweepReply(Option<SweepPage>);

impl FromRedisValue for SweepReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let items = take_array(value)?;
        if items.len() == 1 {
            return Ok(Self(None));
        }
        let [next, dead, lost, oversize] = take_tuple(Value::Array(items))?;
        Ok(Self(Some(SweepPage {
            next: take_next(next)?,
            dead: take_ids(dead)?,
            lost: take_ids(lost)?,
            oversize: take_oversize(oversize)?,
        })))
    }
}

impl FromRedisValue for Retired {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?;
        if items.len() == 1 {
            let word = items.pop().map(take_string).transpose()?;
            return Ok(match word.as_deref() {
                Some("alive") => Self::Alive,
                Some("peer gone") => Self::PeerGone,
                _ => Self::Fenced,
            });
        }
        let [moved, deleted, lost] = take_tuple(Value::Array(items))?;
        Ok(Self::Page {
            moved: take_int(moved)?.unsigned_abs(),
            deleted: take_int(deleted)? == 1,
            lost: take_ids(lost)?,
        })
    }
}

fn start(after: Option<StreamId>) -> String {
    after.map_or_else(|| "-".to_owned(), |id| format!("({id}"))
}

impl EventStream {
    /// Claims one page of idle entries for a consumer, or the named ones. In the same step, entries whose payload was removed
    /// and entries that were delivered too often become dead letters: no crash can lose their trace.
    pub async fn claim_idle(&self, request: &ClaimRequest<'_>) -> Result<Claimed, Error> {
        let mut script = scripts::CLAIM.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(request.group));
        script.arg(request.group).arg(request.consumer).arg(request.min_idle.as_millis() as u64);
        script.arg(start(request.after)).arg(request.page).arg(request.max_deliveries);
        script.arg(request.suspect_deliveries).arg(request.suspects_allowed);
        script.arg(request.owner.unwrap_or_default()).arg(u8::from(request.again));
        for (id, deliveries) in request.only {
            script.arg(id).arg(deliveries);
        }
        let mut claimed: Claimed = self.connection.invoke("claim", &script).await?;
        let wide = std::mem::take(&mut claimed.oversize);
        match self.bury_wide(request.group, wide).await {
            Ok(buried) => claimed.dead.extend(buried),
            // The other entries are the claimant's now, and must reach it; these stay for the next claim.
            Err(error) => claimed.refused = Some(error),
        }
        Ok(claimed)
    }

    /// Sweeps one page of a group for the holder of the reaper lease: dead-letters entries delivered
    /// `max_deliveries` times, and records those that retention removed while pending. `None`: the lease is
    /// not `lease_value` any more, and nothing was done.
    pub async fn sweep(
        &self,
        group: &str,
        lease_value: &str,
        min_idle: Duration,
        after: Option<StreamId>,
        page: usize,
        max_deliveries: u64,
    ) -> Result<Option<SweepPage>, Error> {
        let mut script = scripts::SWEEP.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group)).key(self.key.reaper_lease());
        script.arg(group).arg(lease_value).arg(min_idle.as_millis() as u64);
        script.arg(start(after)).arg(page).arg(max_deliveries);
        let reply: SweepReply = self.connection.invoke("sweep", &script).await?;
        let Some(mut swept) = reply.0 else { return Ok(None) };
        let wide = std::mem::take(&mut swept.oversize);
        swept.dead.extend(self.bury_wide(group, wide).await?);
        Ok(Some(swept))
    }

    /// Moves one page of a dead consumer's entries to a live peer, claimable at once and with their counts,
    /// and deletes the consumer once it has none. Without a peer only an empty consumer is deleted.
    pub async fn retire_consumer(
        &self,
        group: &str,
        lease_value: &str,
        dead: &str,
        peer: Option<&str>,
        page: usize,
    ) -> Result<Retired, Error> {
        let mut script = scripts::RETIRE.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group)).key(self.key.reaper_lease());
        script.key(self.key.consumer_lease(group, dead)).key(self.key.workers());
        if let Some(peer) = peer {
            script.key(self.key.consumer_lease(group, peer));
        }
        script.arg(group).arg(lease_value).arg(dead).arg(peer.unwrap_or_default()).arg(page);
        self.connection.invoke("retire consumer", &script).await
    }

    async fn bury_wide(&self, group: &str, wide: Vec<Oversize>) -> Result<Vec<StreamId>, Error> {
        let mut buried = Vec::with_capacity(wide.len());
        for row in wide {
            let (reason, fields) = match self.get(row.id).await? {
                Some(entry) => (DeadReason::MaxDeliveries, entry.fields),
                None => (DeadReason::PayloadLost, Fields::default()),
            };
            let (redriven, fields) =
                if self.key.is_redrive() { Redriven::split(fields) } else { (None, fields) };
            let message = format!("delivered {} times and never settled", row.deliveries);
            let id = (row.id, redriven);
            self.dead_letter_wide(group, &row.owner, id, row.deliveries, reason, &message, &fields).await?;
            buried.push(row.id);
        }
        Ok(buried)
    }
}
