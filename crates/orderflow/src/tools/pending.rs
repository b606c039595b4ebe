//! `orderflow pending`: what a group was handed and has not acknowledged, entry by entry.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{PendingFilter, PendingRow, StreamId};

use super::live;
use crate::{
    configuration::Configuration,
    durations,
    output::{news, printable, result},
    redis_access::Access,
    table::{Column, render},
    terminal,
};

/// Arguments of `orderflow pending`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done (also if nothing is pending), 1 failed, 2 wrong usage, 78 wrong configuration"
)]
pub(crate) struct Args {
    /// The consumer group
    group: String,

    /// Only what this consumer holds
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,

    /// Only what has been idle for at least this long, e.g. 5s
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    min_idle: Option<Duration>,

    /// List at most so many entries, the oldest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    id: StreamId,
    consumer: String,
    /// `None` for an entry that was given back explicitly (XNACK): anyone may claim it at once.
    idle_ms: Option<u64>,
    deliveries: u64,
}

impl From<PendingRow> for Row {
    fn from(row: PendingRow) -> Self {
        let idle_ms = (row.idle != Duration::MAX).then_some(row.idle.as_millis() as u64);
        Self { id: row.id, consumer: row.consumer, idle_ms, deliveries: row.deliveries }
    }
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let filter = PendingFilter {
        min_idle: args.min_idle,
        count: args.count as usize,
        consumer: args.consumer.as_deref(),
        ..PendingFilter::default()
    };
    let rows = match access.stream.pending(&args.group, &filter).await {
        Ok(rows) => rows,
        Err(error) => return Err(live::explain(&access, &args.group, &error).await),
    };
    if rows.is_empty()
        && let Some(consumer) = &args.consumer
    {
        live::consumer_exists(&access, &args.group, consumer).await?;
    }
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    let full = rows.len() == args.count as usize;
    if args.json {
        result(serde_json::to_string(&rows)?)?;
    } else if rows.is_empty() {
        news(format_args!("nothing pending in group {} that fits", args.group));
    } else {
        result(table(rows))?;
    }
    if full {
        news(format_args!("only the first {} are listed; ask for more with --count", args.count));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(rows: Vec<Row>) -> String {
    let columns =
        [Column::left("ID"), Column::left("CONSUMER"), Column::right("IDLE"), Column::right("DELIVERIES")];
    let rows = rows.into_iter().map(|row| {
        let idle = row.idle_ms.map(|idle| durations::short(Duration::from_millis(idle)));
        [
            row.id.to_string(),
            printable(&row.consumer),
            idle.unwrap_or_else(|| "given back".to_owned()),
            row.deliveries.to_string(),
        ]
    });
    render(columns, &rows.collect::<Vec<_>>(), terminal::width())
}
