//! `orderflow dlq redrive`: sends dead letters back to the group that failed them.

use std::{process::ExitCode, time::Duration};

use service_kit::config::ConfigArgs;
use stream_core::{BulkEnd, BulkTotals, DeadLetters, RedriveOutcome, StreamId};
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_SKIPPED,
    bulk::{Choice, report},
    progress::Progress,
};
use crate::{
    configuration::Configuration,
    exit,
    interruption::{EXIT_INTERRUPTED, interruption},
    output::{news, result},
    redis_access::Access,
};

/// Arguments of `orderflow dlq redrive`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A dead letter that is sent back is no dead letter any more; doing it twice does nothing. The group's workers handle \
the entry again, the other groups do not see it. What dies again while the command runs is left alone.

Exit codes:
  0    everything that was asked for was sent back
  1    failed; the same command goes on with the rest
  2    wrong usage
  3    some could not be sent back: not there, without payload, or no dead
       letters (standard error says which)
  78   wrong configuration
  130  interrupted; what was sent back stays so")]
pub(super) struct Args {
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
    let cancel = interruption()?;
    if !choice.ids.is_empty() {
        return each(&access, &dead_letters, choice, &cancel).await;
    }
    let verb = if choice.dry_run { "would be sent back" } else { "sent back" };
    let mut progress = Progress::new(verb, there);
    let ended = dead_letters.redrive_all(&choice.bulk(), &cancel, |totals| progress.advance(totals)).await;
    report(&access, &progress, ended, choice.json, verb)
}

/// Those that were named, one by one, each with its outcome.
async fn each(
    access: &Access,
    dead_letters: &DeadLetters,
    choice: &Choice,
    cancel: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (mut totals, mut end) = (BulkTotals::default(), BulkEnd::Finished);
    // A dry run sends nothing.
    let rate = choice.rate().filter(|_| !choice.dry_run);
    let pause = rate.map(|rate| Duration::from_secs(1) / rate.get());
    for (at, id) in choice.ids.iter().enumerate() {
        if at > 0
            && let Some(pause) = pause
        {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if cancel.is_cancelled() {
            end = BulkEnd::Cancelled;
            break;
        }
        totals.scanned += 1;
        let redriven =
            if choice.dry_run { dry(dead_letters, *id).await } else { dead_letters.redrive(*id).await };
        let redriven = redriven.map_err(|error| {
            let done = totals.done;
            access.explain(&error).context(format!("stopped at {id} with {done} sent back"))
        })?;
        tell(&mut totals, *id, redriven, choice);
    }
    let left = totals.absent + totals.payload_lost + totals.unreadable;
    totals.matched = totals.scanned - totals.absent;
    let verb = if choice.dry_run { "would be sent back" } else { "sent back" };
    if choice.json {
        result(serde_json::to_string(&totals)?)?;
    } else {
        result(format_args!("{} {verb}, {left} not", totals.done))?;
    }
    Ok(match end {
        BulkEnd::Cancelled => ExitCode::from(EXIT_INTERRUPTED),
        BulkEnd::Finished if left > 0 => ExitCode::from(EXIT_SKIPPED),
        BulkEnd::Finished => ExitCode::SUCCESS,
    })
}

/// What a redrive would say, without doing it.
async fn dry(dead_letters: &DeadLetters, id: StreamId) -> Result<RedriveOutcome, stream_core::Error> {
    Ok(match dead_letters.get(id).await? {
        None => RedriveOutcome::Absent,
        Some(Err(_)) => RedriveOutcome::Unreadable,
        Some(Ok(letter)) if letter.payload_lost() => RedriveOutcome::PayloadLost,
        Some(Ok(_)) => RedriveOutcome::Sent(StreamId::MIN),
    })
}

fn tell(totals: &mut BulkTotals, id: StreamId, redriven: RedriveOutcome, choice: &Choice) {
    let group = &choice.group;
    match redriven {
        RedriveOutcome::Sent(sent) => {
            totals.done += 1;
            if !choice.dry_run {
                news(format_args!("{id} sent back to group {group} as {sent}"));
            }
        }
        RedriveOutcome::Absent => {
            totals.absent += 1;
            news(format_args!(
                "{id} is no dead letter of group {group}: sent back before, purged, or dropped; nothing was done"
            ));
        }
        RedriveOutcome::PayloadLost => {
            totals.payload_lost += 1;
            news(format_args!("{id} has no payload left to send back; it stays until it is purged"));
        }
        RedriveOutcome::Unreadable => {
            totals.unreadable += 1;
            news(format_args!(
                "{id} is no dead letter: somebody else has written it; it stays until it is purged"
            ));
        }
    }
}
