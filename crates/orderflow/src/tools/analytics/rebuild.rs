//! `orderflow analytics rebuild`: asks the workers to count all history anew, and watches them do it.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{RebuildPhase, RebuildRequest, RebuildStatus, StreamId};

use super::{GROUP, progress::Progress};
use crate::{
    configuration::Configuration,
    output::{news, printable, prose, result},
    redis_access::Access,
};

/// It was not done, since history has lost entries.
const EXIT_REFUSED: u8 = 3;
/// Somebody has called it off.
const EXIT_ABORTED: u8 = 4;

/// Time between two looks at how far it is.
const POLL: Duration = Duration::from_millis(200);
/// Looks in a row that may fail: half a minute and more, for a restart or a failover of Redis.
const FAILED_LOOKS_MAX: u32 = 60;

/// Arguments of `orderflow analytics rebuild`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A running analytics-worker does it: it counts what the stream holds into new figures while every new event goes into \
both, and swaps them in at the end. If it dies, another goes on where it was. This command asks for it and watches; \
stopping the command does not stop the rebuild (--abort does). Events that are counted today but are not in the stream \
any more would be missing from the new figures: the rebuild is refused then, unless --accept-loss is given.

Exit codes:
  0   the new figures are live (--abort: it was called off, or there was none)
  1   failed; the figures are as they were
  2   wrong usage
  3   refused: events would be lost
  4   called off by somebody
  78  wrong configuration")]
pub(crate) struct Args {
    /// Go on although events that are not in the stream any more will be missing
    #[arg(long)]
    accept_loss: bool,

    /// Call off the rebuild that is under way; the figures stay as they are
    #[arg(long, conflicts_with = "accept_loss")]
    abort: bool,

    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// What came of it, for scripts.
#[derive(Debug, Serialize)]
struct Report<'a> {
    outcome: &'a str,
    /// Events looked at, and those of them that were counted.
    entries: u64,
    counted: u64,
    /// Events that were counted once and that the projection rejects today.
    rejected: u64,
    /// Events that are not in the stream any more, at least.
    lost: u64,
    oldest_id: Option<StreamId>,
    generation: u64,
    message: Option<&'a str>,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    if args.abort {
        return abort(&access, args.json).await;
    }
    let request = access.stream.request_rebuild(GROUP, args.accept_loss).await;
    let number = match request.map_err(|error| access.explain(&error))? {
        RebuildRequest::Requested(number) => number,
        RebuildRequest::UnderWay(number) => {
            news("a rebuild is asked for or under way already; watching that one, as it was asked for");
            number
        }
    };
    let status = watch(&access, number).await?;
    tell(&status, number, args.json)
}

async fn abort(access: &Access, json: bool) -> anyhow::Result<ExitCode> {
    let aborted = access.stream.abort_rebuild(GROUP).await.map_err(|error| access.explain(&error))?;
    if json {
        result(serde_json::json!({ "aborted": aborted }))?;
    } else {
        result(if aborted {
            "called off; the figures are as they were"
        } else {
            "there is no rebuild under way"
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the rebuild has ended, or another one has been asked for since.
async fn watch(access: &Access, number: u64) -> anyhow::Result<RebuildStatus> {
    let mut progress = Progress::new();
    let mut failed_looks = 0;
    loop {
        match access.stream.rebuild_status(GROUP).await {
            Ok(status) if status.request != number || !status.phase.is_active() => {
                progress.finish();
                return Ok(status);
            }
            Ok(status) => {
                failed_looks = 0;
                progress.show(&status);
            }
            // The workers wait for Redis, and so does who watches them.
            Err(_) if failed_looks < FAILED_LOOKS_MAX => failed_looks += 1,
            Err(error) => {
                progress.finish();
                return Err(access.explain(&error).context("how far the rebuild is cannot be told any more"));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn tell(status: &RebuildStatus, number: u64, json: bool) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        status.request == number,
        "another rebuild was asked for since; what came of this one is not known any more"
    );
    if json {
        result(serde_json::to_string(&Report {
            outcome: status.phase.label(),
            entries: status.seen,
            counted: status.replayed,
            rejected: status.rejected,
            lost: status.lost,
            oldest_id: status.oldest,
            generation: status.live,
            message: status.message.as_deref(),
        })?)?;
    }
    Ok(match status.phase {
        RebuildPhase::Done => {
            if !json {
                result(format_args!(
                    "rebuilt: {} events counted; the new figures are live",
                    status.replayed
                ))?;
            }
            if status.rejected > 0 {
                prose(format_args!(
                    "{} events that were counted before are not understood any more and were left out",
                    status.rejected
                ));
            }
            if status.lost > 0 {
                news(format_args!("without the events that are lost: at least {}", status.lost));
            }
            ExitCode::SUCCESS
        }
        RebuildPhase::Refused => {
            prose(refusal(status));
            ExitCode::from(EXIT_REFUSED)
        }
        _ => {
            let why =
                status.message.as_deref().map_or_else(String::new, |why| format!(": {}", printable(why)));
            news(format_args!("orderflow: the rebuild was called off{why}; the figures are as they were"));
            ExitCode::from(EXIT_ABORTED)
        }
    })
}

fn refusal(status: &RebuildStatus) -> String {
    let left = status.oldest.map_or_else(
        || "the stream is empty".to_owned(),
        |oldest| format!("the oldest event left is {oldest}, of {}", time_of(oldest)),
    );
    format!(
        "orderflow: refused: at least {} events that were added, and may have been counted, are not in the stream any \
         more ({left}); they would be missing from the new figures. The figures are as they were. --accept-loss goes on",
        status.lost
    )
}

fn time_of(id: StreamId) -> String {
    let time = i64::try_from(id.ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
}
