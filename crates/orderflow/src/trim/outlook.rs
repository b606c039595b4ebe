//! [`Outlook`]: what a trim would remove, and which groups have not acked some of it.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use service_kit::Settings;
use stream_core::{Error, EventStream, RetentionRule, StreamId};

use super::count::{self, Counted};
use crate::output::printable;

/// Entries that are counted at most: a matter of a second.
const COUNT_MAX: u64 = 100_000;
/// The same for what a group has not acked.
const GROUP_COUNT_MAX: u64 = 10_000;

/// What would happen.
#[derive(Debug, Serialize)]
pub(super) struct Outlook {
    /// Everything before it would go.
    pub(super) cutoff: StreamId,
    pub(super) length: u64,
    pub(super) first: Option<StreamId>,
    /// Entries before the cutoff.
    pub(super) going: Counted,
    pub(super) groups: Vec<Loss>,
    /// Everything before it may go without a loss to those that are waited for.
    limit: StreamId,
    held_by: Option<String>,
}

/// A group that has not acked some of what would go.
#[derive(Debug, Serialize)]
pub(super) struct Loss {
    pub(super) group: String,
    /// Whether it is one of ours, for which trimming waits.
    pub(super) waited_for: bool,
    /// Delivered and not acked.
    pub(super) pending: Counted,
    pub(super) undelivered: Counted,
    pub(super) oldest: StreamId,
}

impl Outlook {
    pub(super) async fn look(
        stream: &EventStream,
        settings: &Settings,
        cutoff: StreamId,
    ) -> Result<Self, Error> {
        let info = stream.info().await?;
        let registered = stream.registered_consumers().await?;
        let ours = registered.iter().map(|consumer| &consumer.group).chain(&settings.retention.groups);
        let ours: BTreeSet<String> = ours.cloned().collect();
        let rule = RetentionRule {
            cutoff,
            guarded: true,
            required: ours.iter().cloned().collect(),
            // Nobody else is waited for.
            stale_after: Duration::ZERO,
        };
        let retained = stream.retention_outlook(&rule, &registered).await?;
        let first = info.first_entry.map(|entry| entry.id);
        let mut outlook = Self {
            cutoff,
            length: info.length,
            first,
            going: Counted::exact(0),
            groups: Vec::new(),
            limit: retained.limit,
            held_by: retained.held_by,
        };
        let Some(end) = cutoff.prev().filter(|end| first.is_some_and(|first| first <= *end)) else {
            return Ok(outlook);
        };
        outlook.going = going(stream, cutoff, end, info.length).await?;
        let infos = stream.groups().await?;
        for group in &retained.groups {
            let Some(oldest) = group.needs.filter(|needs| *needs < cutoff) else { continue };
            let Some(info) = infos.iter().find(|info| info.name == group.name) else { continue };
            let undelivered = match info.last_delivered_id.next() {
                Some(start) if start <= end => count::entries(stream, start, end, GROUP_COUNT_MAX).await?,
                _ => Counted::exact(0),
            };
            // A row below the first entry has nothing left that could be lost.
            let range = (first.unwrap_or(StreamId::MIN), end);
            let pending = count::pending(stream, &group.name, range, GROUP_COUNT_MAX).await?;
            let waited_for = ours.contains(&group.name);
            let group = group.name.clone();
            outlook.groups.push(Loss { group, waited_for, pending, undelivered, oldest });
        }
        Ok(outlook)
    }

    pub(super) const fn removes_something(&self) -> bool {
        self.going.count > 0
    }

    /// Why it should not be done; `None` if it may.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.limit >= self.cutoff {
            return None;
        }
        let holder = self.held_by.as_deref().unwrap_or_default();
        let losses: Vec<_> = self.groups.iter().filter(|loss| loss.waited_for).collect();
        let why = if let Some(group) = holder.strip_prefix("rebuild:") {
            format!("a rebuild of {} is reading entries that would go", printable(group))
        } else if losses.is_empty() {
            format!(
                "the group {} does not exist yet: everything is new to it (take it out of retention.groups if it is not used)",
                printable(holder)
            )
        } else {
            let names: Vec<_> = losses.iter().map(|loss| printable(&loss.group)).collect();
            format!("not acked yet by {}", names.join(", "))
        };
        let less = match self.first {
            Some(first) if first < self.limit => format!("trim less (--min-id {})", self.limit),
            _ => "look what holds it up (orderflow groups)".to_owned(),
        };
        Some(format!("{why}; wait until that is done, {less}, or lose them with --accept-loss"))
    }

    /// For scripts; `removed` is `None` if nothing was tried.
    pub(super) fn json(&self, removed: Option<u64>) -> serde_json::Value {
        let Self { cutoff, length, going, groups, held_by, .. } = self;
        serde_json::json!({
            "cutoff": cutoff, "length": length, "going": going, "groups": groups, "held_by": held_by,
            "removed": removed,
        })
    }
}

/// Entries before the cutoff, counted from whichever end is near enough.
async fn going(stream: &EventStream, cutoff: StreamId, end: StreamId, length: u64) -> Result<Counted, Error> {
    let going = count::entries(stream, StreamId::MIN, end, COUNT_MAX).await?;
    if going.exact {
        return Ok(going);
    }
    let staying = count::entries(stream, cutoff, StreamId::MAX, COUNT_MAX).await?;
    Ok(staying.exactly().map_or(going, |staying| Counted::exact(length.saturating_sub(staying))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(limit: StreamId, held_by: Option<&str>) -> Outlook {
        Outlook {
            cutoff: StreamId::new(9, 0),
            length: 3,
            first: Some(StreamId::new(1, 0)),
            going: Counted::exact(2),
            groups: Vec::new(),
            limit,
            held_by: held_by.map(str::to_owned),
        }
    }

    #[test]
    fn a_refusal_says_who_needs_it_and_what_can_be_done() {
        assert_eq!(outlook(StreamId::new(9, 0), None).refusal(), None);
        let held = Outlook {
            groups: vec![Loss {
                group: "analytics".to_owned(),
                waited_for: true,
                pending: Counted::exact(1),
                undelivered: Counted::exact(0),
                oldest: StreamId::new(5, 0),
            }],
            ..outlook(StreamId::new(5, 0), Some("analytics"))
        };
        let why = held.refusal().unwrap();
        assert!(why.starts_with("not acked yet by analytics; "), "{why}");
        assert!(why.contains("--min-id 5-0") && why.contains("--accept-loss"), "{why}");
        let why = outlook(StreamId::MIN, Some("analytics")).refusal().unwrap();
        assert!(why.contains("analytics does not exist yet"), "{why}");
        let why = outlook(StreamId::new(3, 0), Some("rebuild:analytics")).refusal().unwrap();
        assert!(why.starts_with("a rebuild of analytics is reading"), "{why}");
    }
}
