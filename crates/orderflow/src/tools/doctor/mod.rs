//! `orderflow doctor`: checks what the pipeline stands on, and says what to do about what is wrong.

mod check;
mod groups;
mod server;
mod stream;

use std::process::ExitCode;

use service_kit::config::ConfigArgs;

use self::check::{Check, Report, State};
use crate::{
    configuration::Configuration,
    output::result,
    redis_access::Access,
    terminal::{stdout_takes_colour, width},
};

/// Arguments of `orderflow doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads only, except for throw-away keys `{<stream>}:probe:…` on which it tries what the server can do.

Exit codes:
  0   nothing is wrong, or there are warnings only
  1   a problem was found, or with --strict a warning
  2   wrong usage
  78  wrong configuration")]
pub(crate) struct Args {
    /// Print one JSON object: {"healthy": …, "checks": [{"name", "state", "message", "remedy"}]}
    #[arg(long)]
    json: bool,

    /// Fail on warnings too
    #[arg(long)]
    strict: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let mut report = Report::default();
    // Without a server there is nothing else to look at.
    if server::check(&access, &mut report).await {
        stream::check(&access, &mut report).await;
        groups::check(&access, &configuration.settings, &mut report).await;
    }
    let tolerated = if args.strict { State::Ok } else { State::Warning };
    let healthy = report.worst() <= tolerated;
    result(if args.json { report.to_json(healthy) } else { report.to_text(width(), stdout_takes_colour()) })?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
