//! `orderflow tail`: follows the stream live, outside of any group.

use std::{process::ExitCode, time::Duration};

use service_kit::config::ConfigArgs;
use stream_core::{Entry, ErrorKind, StreamId, Tail};

use crate::{
    configuration::Configuration,
    entries::{EntryFilter, EntryJson, JSON_HELP, line},
    interruption::interruption,
    moment::{self, Moment},
    output::{news, result},
    redis_access::Access,
};

/// How long one read waits for entries: also how soon a dead connection is noticed.
const BLOCK: Duration = Duration::from_secs(1);
/// Pause between two attempts to read while Redis is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `orderflow tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Reads only (XREAD): nothing becomes pending, nothing is acked. While Redis is away it waits, and then goes on where it \
was. Ctrl-C ends it.

{}

{JSON_HELP}

Exit codes: 0 ended by Ctrl-C, SIGTERM or --count, 1 failed, 2 wrong usage, 78 wrong configuration", moment::HELP))]
pub(crate) struct Args {
    /// Begin after this entry, or at this time, instead of now
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    from: Option<Moment>,

    /// End after so many entries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: EntryFilter,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand until it is interrupted or has shown enough.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let interrupted = interruption()?;
    tokio::select! {
        followed = follow(&access, &args) => followed?,
        () = interrupted.cancelled() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The ID after which to begin: an entry that is named was seen, a time is part of what is wanted.
fn after(from: Moment) -> StreamId {
    match from {
        Moment::Id(id) => id,
        Moment::Time(_) | Moment::Day(_) => from.first().prev().unwrap_or(StreamId::MIN),
    }
}

/// The first connect must succeed, later ones are retried.
async fn follow(access: &Access, args: &Args) -> anyhow::Result<()> {
    let connection = access.connector.blocking(BLOCK).map_err(|error| access.explain(&error))?;
    // A tail from an ID sends nothing until its first read, which may wait for long.
    access.stream.connection().ping().await.map_err(|error| access.explain(&error))?;
    let tail = access.stream.tail(connection, args.from.map(after), BLOCK).await;
    let mut tail = tail.map_err(|error| access.explain(&error))?;
    let mut left = args.count.unwrap_or(u64::MAX);
    loop {
        for entry in next(access, &mut tail).await? {
            if !args.filter.fits(&entry.fields) {
                continue;
            }
            result(if args.json { serde_json::to_string(&EntryJson(&entry))? } else { line(&entry) })?;
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// The next entries, however long Redis is away in between; nothing is skipped.
async fn next(access: &Access, tail: &mut Tail) -> anyhow::Result<Vec<Entry>> {
    let mut away = false;
    loop {
        match tail.next().await {
            Ok(entries) => {
                if away {
                    news("Redis answers again");
                }
                return Ok(entries);
            }
            Err(error) if !is_passing(error.kind()) => return Err(access.explain(&error)),
            Err(error) => {
                if !away {
                    news(format_args!("Redis at {}: {error}; waiting for it", access.connector.address()));
                    away = true;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Connection
            | ErrorKind::Timeout
            | ErrorKind::Loading
            | ErrorKind::MaxClients
            | ErrorKind::Tls
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_after_an_entry_but_with_a_time() {
        assert_eq!(after(Moment::Id(StreamId::new(5, 1))), StreamId::new(5, 1));
        assert_eq!(after(Moment::Time(5)), StreamId::new(4, u64::MAX));
        assert_eq!(after(Moment::Time(0)), StreamId::MIN);
    }
}
