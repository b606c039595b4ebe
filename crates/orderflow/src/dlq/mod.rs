//! `orderflow dlq`: the dead letters of a group, looked at, sent back to it, or purged.

mod bulk;
mod list;
mod progress;
mod purge;
mod redrive;
mod selection;
mod show;
mod text;

use std::process::ExitCode;

use clap::Subcommand;

/// Not everything that was asked for could be done; each reason is on standard error.
pub(crate) const EXIT_SKIPPED: u8 = 3;

/// Arguments of `orderflow dlq`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: see the --help of each; 3 is always: not all that was asked for could be done"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, the newest first; without a group, how many each group has
    Ls(list::Args),
    /// Show one dead letter: its story, its payload, and where the entry is now
    Show(show::Args),
    /// Send dead letters back to the group that failed them, and to no other
    Redrive(redrive::Args),
    /// Delete dead letters for good
    Purge(purge::Args),
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Ls(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Redrive(args) => redrive::run(args).await,
        Command::Purge(args) => purge::run(args).await,
    }
}
