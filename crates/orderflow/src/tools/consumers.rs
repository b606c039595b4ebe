//! `orderflow consumers`: who consumes, whether it is alive, where it can be reached, and what it has done.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{ConsumerCounters, ConsumerInfo, Error, ErrorKind, EventStream, RegisteredConsumer};

use crate::{
    configuration::Configuration,
    durations,
    output::{news, printable, result},
    redis_access::Access,
    table::{Column, render},
    terminal,
};

/// Arguments of `orderflow consumers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
STATE is live while the consumer's process holds its name, dead when a consumer of ours does not, and unknown for those \
of other programs. A narrow terminal shows fewer columns; --json has all.

Exit codes: 0 done (also if there is no consumer), 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    /// Only consumers of this group
    group: Option<String>,

    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

#[derive(Debug, Serialize)]
struct Row {
    group: String,
    consumer: String,
    /// Whether its name is leased now. Of a consumer that is not ours it is not known.
    state: &'static str,
    host: Option<String>,
    pid: Option<u32>,
    address: Option<String>,
    pending: u64,
    idle_ms: Option<u64>,
    #[serde(flatten)]
    counters: Option<ConsumerCounters>,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let rows = rows(&access.stream, args.group.as_deref()).await.map_err(|error| access.explain(&error))?;
    if rows.is_empty()
        && let Some(group) = &args.group
    {
        access.group_exists(group).await?;
    }
    if args.json {
        result(serde_json::to_string(&rows)?)?;
    } else if rows.is_empty() {
        let (key, address) = (access.stream.key(), access.connector.address());
        let whose = args.group.map_or_else(String::new, |group| format!(" in group {}", printable(&group)));
        news(format_args!("the stream {key} at {address} has no consumers{whose}"));
    } else {
        result(table(rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn rows(stream: &EventStream, only: Option<&str>) -> Result<Vec<Row>, Error> {
    let registered = stream.registered_consumers().await?;
    let mut rows = Vec::new();
    for group in stream.groups().await? {
        if only.is_some_and(|only| only != group.name) {
            continue;
        }
        let consumers = match stream.consumers(&group.name).await {
            Err(error) if error.kind() == ErrorKind::NoGroup => continue,
            consumers => consumers?,
        };
        let names: Vec<&str> = consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        let alive = stream.consumers_alive(&group.name, &names).await?;
        for (consumer, alive) in consumers.iter().zip(alive) {
            let known = registered.iter().find(|it| it.group == group.name && it.consumer == consumer.name);
            rows.push(row(&group.name, consumer, alive, known));
        }
    }
    Ok(rows)
}

fn row(group: &str, consumer: &ConsumerInfo, alive: bool, known: Option<&RegisteredConsumer>) -> Row {
    let holder = known.and_then(|known| known.holder.as_ref());
    let state = match (alive, known) {
        (true, _) => "live",
        (false, Some(_)) => "dead",
        (false, None) => "unknown",
    };
    Row {
        group: group.to_owned(),
        consumer: consumer.name.clone(),
        state,
        host: holder.map(|holder| holder.host.clone()),
        pid: holder.map(|holder| holder.pid),
        address: holder.map(|holder| holder.address.clone()).filter(|address| !address.is_empty()),
        pending: consumer.pending,
        idle_ms: (consumer.idle != Duration::MAX).then_some(consumer.idle.as_millis() as u64),
        counters: known.map(|known| known.counters),
    }
}

fn table(rows: Vec<Row>) -> String {
    let columns = [
        Column::left("GROUP"),
        Column::left("CONSUMER"),
        Column::left("STATE"),
        Column::right("PENDING"),
        Column::right("IDLE"),
        Column::right("PROCESSED").optional(1),
        Column::right("ACKED").optional(3),
        Column::right("CLAIMED").optional(2),
        Column::left("HOLDER").cut_to(12).optional(5),
        Column::left("ADDRESS").optional(4),
    ];
    let rows = rows.into_iter().map(|row| {
        let count = |of: fn(ConsumerCounters) -> u64| {
            row.counters.map_or_else(|| "-".to_owned(), |counters| of(counters).to_string())
        };
        let counts = [count(|it| it.processed), count(|it| it.acked), count(|it| it.claimed)];
        let holder = match (&row.host, row.pid) {
            (Some(host), Some(pid)) => format!("{} ({pid})", printable(host)),
            _ => "-".to_owned(),
        };
        let idle = row.idle_ms.map(|idle| durations::short(Duration::from_millis(idle)));
        let [processed, acked, claimed] = counts;
        [
            printable(&row.group),
            printable(&row.consumer),
            row.state.to_owned(),
            row.pending.to_string(),
            idle.unwrap_or_else(|| "-".to_owned()),
            processed,
            acked,
            claimed,
            holder,
            row.address.as_deref().map_or_else(|| "-".to_owned(), printable),
        ]
    });
    render(columns, &rows.collect::<Vec<_>>(), terminal::width())
}
