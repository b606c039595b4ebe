//! `orderflow completions`: a shell's completion script, from the definition of the command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Cli, output::result};

/// Arguments of `orderflow completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where each shell looks for it (zsh: with fpath+=~/.zfunc before compinit):
  bash  ~/.local/share/bash-completion/completions/orderflow
  zsh   ~/.zfunc/_orderflow
  fish  ~/.config/fish/completions/orderflow.fish

For this session alone: source <(orderflow completions bash)

Exit codes: 0 done, 1 failed, 2 wrong usage")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "orderflow", &mut script);
    result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
