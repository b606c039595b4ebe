//! orderflow: the operator's command.

mod address;
mod admin_client;
mod api_key;
mod bar;
mod cli;
mod completions;
mod configuration;
mod confirm;
mod dlq;
mod durations;
mod embedded_record;
mod entries;
mod exit;
mod import;
mod interruption;
mod key;
mod man;
mod moment;
mod output;
mod produce;
mod redis_access;
mod replay;
mod table;
mod terminal;
mod tools;
mod trim;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    service_kit::tls::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_error) => return exit::usage(&help_or_error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::failure(&anyhow::Error::new(error).context("cannot start the async runtime"));
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(*args).await,
            Command::Produce(args) => produce::run(*args).await,
            Command::Tail(args) => tools::tail::run(args).await,
            Command::Replay(args) => replay::run(*args).await,
            Command::Import(args) => import::run(*args).await,
            Command::Groups(args) => tools::groups::run(args).await,
            Command::Pending(args) => tools::pending::run(args).await,
            Command::Doctor(args) => tools::doctor::run(args).await,
            Command::Dlq(args) => dlq::run(*args).await,
            Command::Analytics(args) => tools::analytics::run(args).await,
            Command::Consumers(args) => tools::consumers::run(args).await,
            Command::Claim(args) => tools::claim::run(args).await,
            Command::Handover(args) => tools::handover::run(args).await,
            Command::Log(args) => tools::log::run(*args).await,
            Command::Trim(args) => trim::run(*args).await,
            Command::Key(args) => key::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
        }
    });
    // A thread that waits for standard input must not hold up the end.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| exit::failure(&error))
}
