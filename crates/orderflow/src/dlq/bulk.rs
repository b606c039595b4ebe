//! What `redrive` and `purge` share: which dead letters, the run until it ends or is interrupted, the last word.

use std::{num::NonZeroU32, process::ExitCode};

use stream_core::{Bulk, BulkEnd, BulkTotals, Direction, Error, RangeQuery, StreamId};

use super::{EXIT_SKIPPED, progress::Progress, selection::Filters};
use crate::{
    interruption::EXIT_INTERRUPTED,
    output::{news, result},
    redis_access::Access,
};

/// Which dead letters to act on, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// The consumer group
    pub(super) group: String,

    /// Dead letters by their IDs, as `orderflow dlq ls` lists them
    #[arg(conflicts_with_all = ["all", "event_type", "order_id", "reason", "entry", "since", "until"])]
    pub(super) ids: Vec<StreamId>,

    /// All of them that there are now
    #[arg(long, conflicts_with_all = ["event_type", "order_id", "reason", "entry", "since", "until"])]
    pub(super) all: bool,

    /// At most so many a second; a dry run does not wait
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,

    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Print the totals as a JSON object
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) filters: Filters,
}

impl Choice {
    /// A slip of the pen must not act on everything.
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        if self.ids.is_empty() && self.filters.is_empty() && !self.all {
            let message = "say which: IDs, a filter such as --reason or --older-than, or --all\n\nFor more information, try '--help'.\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, message));
        }
        Ok(())
    }

    pub(super) fn bulk(&self) -> Bulk {
        let (start, end) = self.filters.ids();
        let range = RangeQuery { start, end, direction: Direction::Forward };
        Bulk { filter: self.filters.filter(), range, rate: self.rate, dry_run: self.dry_run }
    }

    pub(super) fn rate(&self) -> Option<NonZeroU32> {
        self.rate
    }
}

/// The last word on a run, and its exit code.
pub(super) fn report(
    access: &Access,
    progress: &Progress,
    ended: Result<(BulkTotals, BulkEnd), Error>,
    json: bool,
    verb: &str,
) -> anyhow::Result<ExitCode> {
    progress.finish();
    let (totals, end) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            let done = progress.totals.done;
            let failed = access.explain(&error);
            return Err(
                failed.context(format!("stopped with {done} {verb}; the same command goes on with the rest"))
            );
        }
    };
    if json {
        result(serde_json::to_string(&totals)?)?;
    } else {
        result(summary(&totals, verb))?;
    }
    if totals.payload_lost > 0 {
        news(format_args!("{} have no payload left to send back; purge them", totals.payload_lost));
    }
    if totals.unreadable > 0 {
        news(format_args!("{} are no dead letters; see `orderflow dlq ls`", totals.unreadable));
    }
    Ok(if end == BulkEnd::Cancelled {
        news("interrupted; what is done stays done, and the same command goes on with the rest");
        ExitCode::from(EXIT_INTERRUPTED)
    } else if totals.payload_lost + totals.unreadable > 0 {
        ExitCode::from(EXIT_SKIPPED)
    } else {
        ExitCode::SUCCESS
    })
}

fn summary(totals: &BulkTotals, verb: &str) -> String {
    let rest = [
        (totals.absent, "gone meanwhile"),
        (totals.payload_lost, "without payload"),
        (totals.unreadable, "unreadable"),
    ];
    let rest =
        rest.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let parts: Vec<_> = std::iter::once(format!("{} {verb}", totals.done)).chain(rest).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_was_left() {
        let totals = BulkTotals { done: 3, payload_lost: 1, ..BulkTotals::default() };
        assert_eq!(summary(&totals, "sent back"), "3 sent back, 1 without payload");
    }
}
