//! `orderflow dlq purge`: deletes dead letters for good, after asking.

use std::process::ExitCode;

use service_kit::config::ConfigArgs;
use stream_core::BulkTotals;

use super::{
    EXIT_SKIPPED,
    bulk::{Choice, report},
    progress::Progress,
};
use crate::{
    configuration::Configuration, confirm::confirm, exit, interruption::interruption, output::result,
    redis_access::Access,
};

/// Arguments of `orderflow dlq purge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is purged is gone for good. On a terminal the command asks first; elsewhere it needs --yes or --dry-run. What dies \
while it runs is left alone. Entries that are no dead letters (somebody else's) go with --all or a time alone.

Exit codes:
  0    everything that was asked for was purged
  1    failed, or not confirmed
  2    wrong usage
  3    some of the IDs were not there
  78   wrong configuration
  130  interrupted; what was purged stays so")]
pub(super) struct Args {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    choice: Choice,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let choice = &args.choice;
    if let Err(error) = choice.check() {
        return Ok(exit::usage(&error));
    }
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let dead_letters = access.stream.dead_letters(&choice.group);
    let there = dead_letters.count().await.map_err(|error| access.explain(&error))?;
    if there == 0 {
        access.group_exists(&choice.group).await?;
    }
    if !choice.dry_run && !args.yes {
        let what = match choice.ids.len() {
            0 if choice.all => format!("all dead letters ({there})"),
            0 => format!("what fits of the {there} dead letters"),
            count => format!("{count} dead letters"),
        };
        confirm(&format!("Purge {what} of group {} for good?", choice.group), "purging is for good")?;
    }
    let verb = if choice.dry_run { "would be purged" } else { "purged" };
    if choice.ids.is_empty() {
        let cancel = interruption()?;
        let mut progress = Progress::new(verb, there);
        let ended = dead_letters.purge_all(&choice.bulk(), &cancel, |totals| progress.advance(totals)).await;
        return report(&access, &progress, ended, choice.json, verb);
    }
    let asked = choice.ids.len() as u64;
    let mut done = 0;
    if choice.dry_run {
        for id in &choice.ids {
            done += u64::from(dead_letters.get(*id).await.map_err(|error| access.explain(&error))?.is_some());
        }
    } else {
        done = dead_letters.purge(&choice.ids).await.map_err(|error| access.explain(&error))?;
    }
    let absent = asked - done;
    if choice.json {
        result(serde_json::to_string(&BulkTotals {
            scanned: asked,
            matched: done,
            done,
            absent,
            ..BulkTotals::default()
        })?)?;
    } else {
        result(format_args!("{done} {verb}, {absent} not there"))?;
    }
    Ok(if absent > 0 { ExitCode::from(EXIT_SKIPPED) } else { ExitCode::SUCCESS })
}
