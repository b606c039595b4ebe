//! `orderflow groups`: the consumer groups of the stream in figures.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{Error, EventStream, GroupInfo, StreamId, StreamInfo};

use crate::{
    configuration::Configuration,
    durations,
    output::{news, printable, result},
    redis_access::Access,
    table::{Column, render},
    terminal,
};

/// Arguments of `orderflow groups`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
LAG is what a group has not been handed yet, OLDEST PENDING the age of the oldest entry that was handed out and not \
acked.

Exit codes: 0 done (also if there is no group), 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    /// Print a JSON array instead of a table; an unknown lag is null
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    consumers: u64,
    pending: u64,
    /// Entries not delivered yet; `None` if that cannot be told.
    lag: Option<u64>,
    last_delivered_id: StreamId,
    /// Time since the oldest pending entry was added.
    oldest_pending_age_ms: Option<u64>,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let rows = rows(&access.stream).await.map_err(|error| access.explain(&error))?;
    if args.json {
        result(serde_json::to_string(&rows)?)?;
    } else if rows.is_empty() {
        let (key, address) = (access.stream.key(), access.connector.address());
        news(format_args!("the stream {key} at {address} has no consumer groups"));
    } else {
        result(table(rows, terminal::width()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn rows(stream: &EventStream) -> Result<Vec<Row>, Error> {
    let info = stream.info().await?;
    let mut rows = Vec::new();
    for group in stream.groups().await? {
        rows.push(row(stream, &info, group).await?);
    }
    Ok(rows)
}

async fn row(stream: &EventStream, info: &StreamInfo, group: GroupInfo) -> Result<Row, Error> {
    let lag = stream.lag(info, &group).await?;
    let oldest = match group.pending {
        0 => None,
        _ => stream.pending_summary(&group.name).await?.range.map(|(oldest, _)| oldest),
    };
    Ok(Row {
        name: group.name,
        consumers: group.consumers,
        pending: group.pending,
        lag: lag.known(),
        last_delivered_id: group.last_delivered_id,
        oldest_pending_age_ms: oldest.map(|id| durations::now_ms().saturating_sub(id.ms)),
    })
}

fn table(rows: Vec<Row>, width: Option<usize>) -> String {
    let columns = [
        Column::left("GROUP"),
        Column::right("CONSUMERS").optional(3),
        Column::right("PENDING"),
        Column::right("LAG"),
        Column::left("LAST DELIVERED").optional(1),
        Column::right("OLDEST PENDING").optional(2),
    ];
    let rows = rows.into_iter().map(|row| {
        let age = row.oldest_pending_age_ms.map(|age| durations::short(Duration::from_millis(age)));
        [
            printable(&row.name),
            row.consumers.to_string(),
            row.pending.to_string(),
            row.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
            row.last_delivered_id.to_string(),
            age.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    render(columns, &rows.collect::<Vec<_>>(), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_lag_is_not_zero() {
        let row = Row {
            name: "notifications".to_owned(),
            consumers: 2,
            pending: 0,
            lag: None,
            last_delivered_id: StreamId::new(5, 1),
            oldest_pending_age_ms: None,
        };
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!((&json["lag"], &json["last_delivered_id"]), (&serde_json::Value::Null, &"5-1".into()));
        assert_eq!(
            table(vec![row], None),
            "GROUP          CONSUMERS  PENDING      LAG  LAST DELIVERED  OLDEST PENDING\n\
             notifications          2        0  unknown  5-1                          -"
        );
    }
}
