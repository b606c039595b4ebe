//! `orderflow trim`: removes the oldest entries, after it has shown what would go and who still needs some of it.

mod count;
mod outlook;
mod text;

use std::process::ExitCode;

use clap::ArgGroup;
use service_kit::{Settings, config::ConfigArgs};
use stream_core::{Precision, StreamId};

use crate::{
    bar::Bar,
    configuration::Configuration,
    confirm::confirm,
    interruption::{EXIT_INTERRUPTED, interruption},
    moment::{self, Moment},
    output::{entries, news, prose, result},
    redis_access::Access,
};
use outlook::Outlook;

/// Groups that are waited for would lose entries.
const EXIT_REFUSED: u8 = 3;

/// Arguments of `orderflow trim`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("bound").required(true).args(["maxlen", "min_id", "older_than"])))]
#[command(after_help = format!("\
Shows first what would go and which groups have not acked some of it, then asks; where there is no terminal it needs \
--yes or --dry-run. Exactly what was shown goes: entries added meanwhile stay.

Redis keeps a stream in nodes of up to stream-node-max-entries (100) entries. Without --exact only nodes that can go \
whole are removed (XTRIM ~), which costs the server next to nothing; up to a node of the entries shown stays.

Groups of the workers, and those in retention.groups, are waited for: trimming past what one of them has not acked is \
refused unless --accept-loss is given. Then what it has not been handed is never delivered to it, and what is pending \
becomes a dead letter without payload. Other groups are shown and not waited for. The reaper trims by itself, by the \
settings under retention.

{}

Exit codes:
  0    trimmed (also if there was nothing to remove)
  1    failed, or not confirmed
  2    wrong usage
  3    refused: a group that is waited for would lose entries (--dry-run as well)
  78   wrong configuration
  130  interrupted; what was removed is gone", moment::HELP))]
pub(crate) struct Args {
    /// Keep the newest N entries
    #[arg(long, value_name = "N")]
    maxlen: Option<u64>,

    /// Remove the entries before this one
    #[arg(long, value_name = "ID")]
    min_id: Option<StreamId>,

    /// Remove the entries added before then, e.g. 7d
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    older_than: Option<Moment>,

    /// To the entry, not to the node that holds it: dearer on a large stream
    #[arg(long)]
    exact: bool,

    /// Only show what would go
    #[arg(long)]
    dry_run: bool,

    /// Remove also what a group that is waited for has not acked
    #[arg(long)]
    accept_loss: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Print what would go, who needs it, and what went as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Configuration { settings, .. } = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&settings)?;
    let info = access.stream.info().await.map_err(|error| access.explain(&error))?;
    let cutoff = match (args.maxlen, args.min_id, args.older_than) {
        (Some(entries), _, _) => count::oldest_kept(&access.stream, &info, entries)
            .await
            .map_err(|error| access.explain(&error))?,
        (_, Some(id), _) => id,
        (_, _, bound) => bound.map_or(StreamId::MIN, Moment::first),
    };
    let outlook = look(&access, &settings, cutoff).await?;
    if !outlook.removes_something() {
        if args.json {
            result(outlook.json(Some(0)))?;
        } else {
            let (key, there) = (access.stream.key(), entries(outlook.length));
            result(format_args!("nothing to remove: all of the stream {key} stays, {there}"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        let shown = text::shown(&access, &outlook, node_entries(&access, &args).await);
        if args.dry_run { result(shown)? } else { news(shown) }
    } else if args.dry_run {
        result(outlook.json(None))?;
    }
    if let Some(why) = outlook.refusal().filter(|_| !args.accept_loss) {
        prose(format_args!("orderflow: refused: {why}"));
        return Ok(ExitCode::from(EXIT_REFUSED));
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        confirm(&format!("Remove {} for good?", outlook.going.entries()), "trimming is for good")?;
    }
    cut(&access, &settings, &args, outlook).await
}

async fn look(access: &Access, settings: &Settings, cutoff: StreamId) -> anyhow::Result<Outlook> {
    Outlook::look(&access.stream, settings, cutoff).await.map_err(|error| access.explain(&error))
}

/// How many entries a node holds; `None` if that does not matter.
async fn node_entries(access: &Access, args: &Args) -> Option<u64> {
    /// What Redis ships with, for a server that does not tell.
    const DEFAULT: u64 = 100;
    if args.exact {
        return None;
    }
    let told = access.stream.node_entries_max().await;
    Some(told.ok().flatten().unwrap_or(DEFAULT))
}

/// Removes what was shown.
async fn cut(
    access: &Access,
    settings: &Settings,
    args: &Args,
    mut shown: Outlook,
) -> anyhow::Result<ExitCode> {
    let cutoff = shown.cutoff;
    // Whoever was asked may have thought about it for long.
    if !args.accept_loss
        && let Some(why) = look(access, settings, cutoff).await?.refusal()
    {
        prose(format_args!("orderflow: refused: {why}"));
        return Ok(ExitCode::from(EXIT_REFUSED));
    }
    let cancel = interruption()?;
    let mut progress = Bar::new(shown.going.exactly());
    let mut removed = 0;
    // One call removes some 10,000 entries at most: the others are served in between.
    let interrupted = loop {
        let step = access.stream.trim_before(cutoff, Precision::Approximate).await;
        let step = step.map_err(|error| {
            access.explain(&error).context(format!("stopped after removing {}", entries(removed)))
        })?;
        removed += step;
        progress.advance(removed, format_args!("{} removed", entries(removed)));
        let interrupted = cancel.is_cancelled();
        if step == 0 || interrupted {
            break interrupted;
        }
    };
    if args.exact && !interrupted {
        let rest = access.stream.trim_before(cutoff, Precision::Exact).await;
        removed += rest.map_err(|error| access.explain(&error))?;
    }
    progress.finish();
    shown.length = access.stream.length().await.map_err(|error| access.explain(&error))?;
    if args.json {
        result(shown.json(Some(removed)))?;
    } else {
        result(format_args!("removed {}; {} left", entries(removed), entries(shown.length)))?;
        if removed == 0 && !interrupted {
            prose(
                "the oldest node still holds entries that stay, so that it stays whole; --exact removes to the entry",
            );
        }
    }
    Ok(if interrupted { ExitCode::from(EXIT_INTERRUPTED) } else { ExitCode::SUCCESS })
}
