//! `orderflow import`: appends the entries of a file, as `replay --output` wrote them, as new entries.

mod append;
mod lines;

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::ExitCode,
};

use service_kit::config::ConfigArgs;
use stream_core::StreamId;

use crate::{
    bar::Bar,
    configuration::Configuration,
    confirm::confirm,
    entries::JSON_HELP,
    interruption::{EXIT_INTERRUPTED, interruption},
    output::{entries as so_many, news, printable, prose, result},
    redis_access::Access,
};
use append::Importer;
use lines::Lines;

/// Some lines are no entries; nothing was appended.
const EXIT_REJECTED: u8 = 3;
/// Some entries may or may not have been appended.
const EXIT_UNKNOWN: u8 = 4;

/// Problems of single lines that are told; the others are counted.
const PROBLEMS_TOLD_MAX: u64 = 20;

/// Arguments of `orderflow import`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Entries go into the stream as they are in the file, byte for byte, in its order (XADD). producer-api, which `orderflow \
produce --file` uses, would refuse what it did not write itself: reserved fields, bytes that are not UTF-8, entries of \
other tools. So nothing is checked here but that each line is an entry.

Every entry gets a new ID: to all groups it is a new event. Imported into the stream that it came from, an event is \
there twice: it is notified again and counted again. An entry without ts_ms counts at the time of the import.

{JSON_HELP}
The id is not used.

A file is read through before anything is appended; standard input and pipes, which can be read only once, are not. If the import stops, it says which lines are in the stream, which \
may be, and the --start-line that goes on.

Exit codes:
  0    every entry was appended
  1    failed, or not confirmed; how far it came is on standard error
  2    wrong usage
  3    some lines are no entries (standard error says which); nothing was
       appended, or, of what can be read only once, what came before the first
  4    stopped; some entries may or may not be in the stream (standard error
       says which lines)
  78   wrong configuration
  130  interrupted; how far it came is on standard error"))]
pub(crate) struct Args {
    /// The file: one entry a line (NDJSON); `-` is standard input
    file: PathBuf,

    /// Begin at this line of the file
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    start_line: u64,

    /// At most so many entries a second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,

    /// Only read the file through and say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Print what became of the entries as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// What a file holds from the first line wanted on.
#[derive(Debug, Default, Clone, Copy)]
struct Content {
    entries: u64,
    rejected: u64,
    first: Option<StreamId>,
    last: Option<StreamId>,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Configuration { settings, .. } = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&settings)?;
    let is_read_once = lines::is_read_once(&args.file);
    anyhow::ensure!(
        !is_read_once || args.yes || args.dry_run,
        "{} can be read only once, so that it cannot be looked through before you are asked: add --yes",
        if args.file == Path::new("-") { "standard input".into() } else { args.file.to_string_lossy() },
    );
    access.stream.connection().ping().await.map_err(|error| access.explain(&error))?;
    let content = if is_read_once && !args.dry_run { None } else { Some(read_through(&args).await?) };
    if let Some(Content { rejected: 1.., .. }) = content {
        prose(
            "nothing was appended: mend these lines, or, if they are events as producer-api takes them, send them with \
             `orderflow produce --file`",
        );
        return Ok(ExitCode::from(EXIT_REJECTED));
    }
    let target = target(&access).await?;
    if args.dry_run {
        let Content { entries, first, last, .. } = content.unwrap_or_default();
        if args.json {
            result(serde_json::json!({ "entries": entries, "first_id": first, "last_id": last }))?;
        } else {
            let (count, were) = (so_many(entries), were(first, last));
            result(format_args!("{count}{were} would be appended to {target}"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Content { entries, first, last, .. }) = content
        && !args.yes
    {
        let question = format!("Append {}{} to {target}?", so_many(entries), were(first, last));
        confirm(&question, "an import cannot be taken back")?;
    }
    let cancel = interruption()?;
    let mut importer = Importer::new(&access, &args, &settings.retention);
    let mut lines = Lines::open(&args.file, args.start_line)?;
    let stopped = importer.run(&mut lines, &cancel).await;
    importer.report(stopped, &args)
}

/// Reads everything and tells what is no entry.
async fn read_through(args: &Args) -> anyhow::Result<Content> {
    let mut lines = Lines::open(&args.file, args.start_line)?;
    let mut progress = Bar::new(lines.bytes());
    let mut content = Content::default();
    while let Some(chunk) = lines.next().await? {
        for record in chunk.records {
            match record.record {
                Ok(record) => {
                    content.entries += 1;
                    content.first = content.first.or(record.id);
                    content.last = record.id.or(content.last);
                }
                Err(problem) => {
                    content.rejected += 1;
                    if content.rejected <= PROBLEMS_TOLD_MAX {
                        progress.line(format_args!("{}:{}: {problem}", args.file.display(), record.line));
                    }
                }
            }
        }
        progress.advance(chunk.bytes_read, format_args!("{} read", so_many(content.entries)));
    }
    progress.finish();
    if content.rejected > PROBLEMS_TOLD_MAX {
        news(format_args!("and {} lines more that are no entries", content.rejected - PROBLEMS_TOLD_MAX));
    }
    Ok(content)
}

/// The stream, and who will handle what it gets.
async fn target(access: &Access) -> anyhow::Result<String> {
    let groups = access.stream.groups().await.map_err(|error| access.explain(&error))?;
    let (key, address) = (access.stream.key(), access.connector.address());
    let names: Vec<_> = groups.iter().map(|group| printable(&group.name)).collect();
    Ok(match names.len() {
        0 => format!("{key} at {address}, which has no groups"),
        _ => format!("{key} at {address}, as new events for the groups {}", names.join(", ")),
    })
}

/// Which entries they were.
fn were(first: Option<StreamId>, last: Option<StreamId>) -> String {
    match (first, last) {
        (Some(first), Some(last)) => format!(" (they were {first} to {last})"),
        _ => String::new(),
    }
}
