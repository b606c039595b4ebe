//! The command line: one variant a subcommand; each has its arguments beside its code.

use clap::{Parser, Subcommand};

use crate::{completions, dlq, import, key, man, produce, replay, tools, trim, up};

/// Runs the Orderflow pipeline on this machine, produces events, and looks into its Redis.
#[derive(Debug, Parser)]
#[command(name = "orderflow", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Settings come from built-in defaults < --config FILE < environment (REDIS_URL, ORDERFLOW__SECTION__KEY) < flags. \
Where none of them names Redis, a server that `orderflow up` runs from this directory is used.

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration. Some subcommands have more, see their --help.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the whole pipeline on this machine, with a Redis of its own unless one is named
    Up(Box<up::Args>),
    /// Send events to producer-api: one from flags, many from a file, or made-up ones
    Produce(Box<produce::Args>),
    /// Follow the stream live, outside of any group
    Tail(tools::tail::Args),
    /// Print a stretch of history, or write it to a file
    Replay(Box<replay::Args>),
    /// Append the entries of a file that `replay --output` wrote, as new events
    Import(Box<import::Args>),
    /// Show the stream's consumer groups: pending, lag, oldest pending
    Groups(tools::groups::Args),
    /// List what a group was handed and has not acknowledged
    Pending(tools::pending::Args),
    /// Check Redis, the stream, its groups and the reaper, and say what to do about what is wrong
    Doctor(tools::doctor::Args),
    /// Look at a group's dead letters, send them back to it, or purge them
    Dlq(Box<dlq::Args>),
    /// Show what analytics-worker has counted, or have it counted anew
    Analytics(tools::analytics::Args),
    /// List the consumers: alive or dead, where they run, what they have done
    Consumers(tools::consumers::Args),
    /// Let a live consumer take idle entries over and handle them, now
    Claim(tools::claim::Args),
    /// Give one consumer's pending entries to another
    Handover(tools::handover::Args),
    /// Show or change what a running service logs
    Log(Box<tools::log::Args>),
    /// Remove the oldest entries of the stream, after showing who still needs them
    Trim(Box<trim::Args>),
    /// Make API keys for the services' callers
    Key(Box<key::Args>),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write those of all subcommands
    Man(man::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
