//! `orderflow replay`: history by ID or time, outside of any group, on the screen or in a file.

mod export;
mod print;

use std::{path::PathBuf, process::ExitCode};

use service_kit::config::ConfigArgs;
use stream_core::{Direction, RangeQuery, StreamId};

use crate::{
    configuration::Configuration,
    entries::{EntryFilter, JSON_HELP},
    exit,
    moment::{self, Moment},
    output::{news, result},
    redis_access::Access,
};

/// Arguments of `orderflow replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Reads only (XRANGE): nothing becomes pending, nothing is acked. What is added while it runs is left out.

{}

{JSON_HELP}
With --output each line of the file is such an entry; `orderflow import` appends them again.

Exit codes:
  0    done (also if there is nothing in the range)
  1    failed (standard error says where); with --output no file was written
  2    wrong usage
  78   wrong configuration
  130  interrupted; no file was written", moment::HELP))]
pub(crate) struct Args {
    /// The oldest entry wanted, inclusive
    #[arg(long, value_name = "WHEN", default_value = "start", value_parser = moment::parse)]
    from: Moment,

    /// The newest entry wanted, inclusive
    #[arg(long, value_name = "WHEN", default_value = "end", value_parser = moment::parse)]
    to: Moment,

    /// At most so many entries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// The newest first (XREVRANGE)
    #[arg(long)]
    reverse: bool,

    /// Write the entries to this file, one a line (NDJSON), instead of printing them
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,

    /// Print one JSON object a line; with --output, the summary as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    filter: EntryFilter,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// What is to be read.
#[derive(Debug)]
struct Wanted {
    query: RangeQuery,
    filter: EntryFilter,
    count: u64,
    /// Whether the range holds the whole stream.
    whole: bool,
    /// The number of entries of the stream.
    length: u64,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (start, end) = (args.from.first(), args.to.last());
    if start > end {
        let message = "--from is after --to\n\nFor more information, try '--help'.\n";
        return Ok(exit::usage(&clap::Error::raw(clap::error::ErrorKind::ValueValidation, message)));
    }
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let info = access.stream.info().await.map_err(|error| access.explain(&error))?;
    // Whatever is added from now on would be followed for ever.
    let newest = info.last_entry.as_ref().map_or(StreamId::MIN, |entry| entry.id);
    let oldest = info.first_entry.as_ref().map_or(StreamId::MAX, |entry| entry.id);
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let wanted = Wanted {
        whole: start <= oldest && end >= newest,
        query: RangeQuery { start: start.max(oldest), end: end.min(newest), direction },
        filter: args.filter,
        count: args.count.unwrap_or(u64::MAX),
        length: info.length,
    };
    if let Some(file) = &args.output {
        return export::run(&access, wanted, file, args.force, args.json).await;
    }
    let printed = print::run(&access, &wanted, args.json).await?;
    if printed == 0 && !args.json {
        let (key, address) = (access.stream.key(), access.connector.address());
        news(match info.length {
            0 => format!("the stream {key} at {address} is empty"),
            length => format!("none of the {length} entries of the stream {key} at {address} fits"),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// The flag that goes on with what is left of a range.
fn go_on(rest: RangeQuery) -> String {
    match rest.direction {
        Direction::Forward => format!("--from {}", rest.start),
        Direction::Backward => format!("--to {}", rest.end),
    }
}

/// Entries in lines, written at once.
fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    if lines.is_empty() { Ok(()) } else { result(lines.join("\n")) }
}
