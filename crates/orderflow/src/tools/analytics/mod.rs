//! `orderflow analytics`: what was counted, and counting it anew.

mod progress;
mod rebuild;
mod summary;

use std::process::ExitCode;

use clap::Subcommand;

/// The consumer group of analytics-worker.
const GROUP: &str = "analytics";

/// Arguments of `orderflow analytics`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration; rebuild has more, see its --help"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show revenue, events by type and customers, as analytics-worker has counted them
    Summary(summary::Args),
    /// Count all history anew and swap the result in, while the workers go on
    Rebuild(rebuild::Args),
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Summary(args) => summary::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
    }
}
